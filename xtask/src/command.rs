//! Running other programs: loudly, and with an error that names the command.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Runs a command; an error names it and its exit.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let line = format!("{command:?}");
    println!("$ {line}");
    let status = command.status().map_err(|error| format!("cannot start {line}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{line} failed: {status}")) }
}

/// Runs a command, shows what it prints and gives it back as lines too, with whether it succeeded.
pub(crate) fn tee(command: &mut Command) -> Result<(Vec<String>, bool), String> {
    let line = format!("{command:?}");
    println!("$ {line}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cannot start {line}: {error}"))?;
    let mut lines = Vec::new();
    if let Some(output) = child.stdout.take() {
        for text in BufReader::new(output).lines().map_while(Result::ok) {
            println!("{text}");
            lines.push(text);
        }
    }
    let status = child.wait().map_err(|error| format!("{line} did not end: {error}"))?;
    Ok((lines, status.success()))
}
