//! `cargo xtask demo --headless`: the demo proved in headless Chromium.

use crate::command::Running;
use crate::install::{browser, npm};
use crate::writer::Writer;
use crate::{project, serve, www};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Opens the page, types lines into the writer, and is true when the page showed every one of them.
pub(crate) fn run() -> Result<bool, String> {
    let started = Instant::now();
    let chromium = browser::ensure()?.chromium;
    npm::ensure(&project::path("tests/browser"), "playwright-core drives the browser")?;
    www::build()?;
    let storage = project::path("target/demo-headless");
    project::remove_folder(&storage)?;
    let mut writer = Writer::start(&storage.join("store"))?;
    let server = serve::start(project::path("target/www"), 0)?;
    let page = writer.page(server);
    println!("page: {page}");

    let mut command = Command::new("node");
    command.arg(project::path("tests/browser/demo.mjs")).arg(&page).args(LINES);
    let mut watcher = Running::start(command.env("CHROMIUM", chromium).stdout(Stdio::piped()))?;
    let said = watcher.0.stdout.take().ok_or("the browser's script has no stdout")?;
    for line in BufReader::new(said).lines().map_while(Result::ok) {
        println!("{line}");
        // The page follows the empty cores now: what is typed from here on can only arrive live.
        if line == READY {
            for typed in LINES {
                println!("typed: {typed}");
                if !writer.line(typed) {
                    return Err("the writer ended".to_owned());
                }
            }
        }
    }
    let shown = watcher.wait(LIMIT)?;
    println!("{} after {} s", if shown { "shown" } else { "FAILED" }, started.elapsed().as_secs());
    Ok(shown)
}

/// Two for core-2, two for core-3.
const LINES: [&str; 4] = ["hi", "a line that is long enough for core-3", "yes", "and one more, live"];
const READY: &str = "the page is live";
/// After its output ended; the script bounds itself before.
const LIMIT: Duration = Duration::from_secs(30);
