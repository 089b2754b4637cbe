//! `cargo xtask bench browser`: the browser's rows, measured in headless Chromium by `tests/browser/bench.mjs`.

use crate::command::run as run_command;
use crate::install::{browser, npm};
use crate::{project, www};
use std::process::Command;

/// Builds the package and the native writer and runs the script; `words` are its options.
pub(crate) fn run(words: &[&str]) -> Result<bool, String> {
    let chromium = browser::ensure()?.chromium;
    npm::ensure(&project::path("tests/browser"), "ws speaks to the browser that is measured")?;
    npm::ensure(
        &project::path("tests/browser/javascript"),
        "the JavaScript stack that runs in the browser beside ours",
    )?;
    npm::ensure(&project::path("tests/js"), "the JavaScript peer it reads from")?;
    www::build()?;
    run_command(Command::new("cargo").args(["build", "--release", "--quiet", "--package", "corestore-peer"]))?;
    let mut command = Command::new("node");
    command.arg(project::path("tests/browser/bench.mjs")).args(words).env("CHROMIUM", chromium);
    run_command(command.env("CORESTORE", project::path("target/release/corestore")))?;
    Ok(true)
}
