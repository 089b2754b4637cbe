//! Packages of a Debian-like system, by `apt-get`.

use super::say;
use crate::command::{capture, find, run};
use std::process::Command;
use std::sync::Once;

/// Installs packages; an error says what to install by hand where that is not possible.
pub(super) fn install(packages: &[&str], why: &str) -> Result<(), String> {
    let names = packages.join(" ");
    say(&names, why);
    if find("apt-get").is_none() {
        return Err(format!("this system has no apt-get; install what these Debian packages hold: {names} ({why})"));
    }
    UPDATED.call_once(|| {
        if let Err(error) = run(apt(&["update", "-qq"]).stdout(std::process::Stdio::null())) {
            println!("{error}; going on with the lists that are there");
        }
    });
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(packages);
    run(apt(&arguments).stdout(std::process::Stdio::null()))
        .map_err(|error| format!("{error}; install them by hand: {names}"))
}

fn apt(arguments: &[&str]) -> Command {
    let root = capture(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
    let mut command = if root { Command::new("apt-get") } else { Command::new("sudo") };
    if !root {
        command.arg("apt-get");
    }
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

static UPDATED: Once = Once::new();
