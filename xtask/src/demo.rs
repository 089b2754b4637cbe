//! `cargo xtask demo`: a native writer, the page, and a terminal whose lines appear on it.

use crate::writer::Writer;
use crate::{project, serve, www};
use serde_json::Value;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// The page's port, kept so that the page finds what it stored the last time.
const PORT: u16 = 8787;

/// Runs until Ctrl-C.
pub(crate) fn run() -> Result<bool, String> {
    www::build()?;
    let mut writer = Writer::start(&project::path("target/demo/store"))?;
    let server = serve::start(project::path("target/www"), PORT)?;
    let (sender, happenings) = channel();
    let on_signal = sender.clone();
    ctrlc::set_handler(move || drop(on_signal.send(Happening::Stop)))
        .map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    read_terminal(sender);

    println!("\nOpen this in a browser:\n\n  {}\n", writer.page(server));
    println!("Lines typed here appear there: shorter than 5 bytes in core-2, longer ones in core-3. Ctrl-C ends it.\n");
    loop {
        match happenings.recv_timeout(PULSE) {
            Ok(Happening::Stop) => break,
            Ok(Happening::Line(line)) if !writer.line(&line) => return Err("the writer ended".to_owned()),
            _ => {}
        }
        writer.events.try_iter().filter_map(|event| told(&event)).for_each(|line| println!("{line}"));
    }
    println!("\nending the writer");
    Ok(true)
}

enum Happening {
    Stop,
    Line(String),
}

fn read_terminal(sender: Sender<Happening>) {
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(Happening::Line(line)))
    });
}

/// One of the writer's events in words.
fn told(event: &Value) -> Option<String> {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let number = |name: &str| event.get(name).and_then(Value::as_u64);
    match text("event")? {
        "append" => {
            Some(format!("stored as block {} of {}, {} bytes", number("seq")?, text("core")?, number("bytes")?))
        }
        "truncate" => {
            Some(format!("{} was cut to {} blocks, fork {}", text("core")?, number("length")?, number("fork")?))
        }
        "connection" => Some("a reader connected".to_owned()),
        "error" => Some(format!("the writer says: {}", text("message")?)),
        _ => None,
    }
}

const PULSE: Duration = Duration::from_millis(50);
