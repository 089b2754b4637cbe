//! Running other programs: loudly, within bounds, and with an error that names the command.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A child process that does not outlive this value.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Starts a command.
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        command.spawn().map(Self).map_err(|error| format!("cannot start {command:?}: {error}"))
    }

    /// Waits; whether it succeeded, or an error when the time is over (the process is ended then).
    pub(crate) fn wait(mut self, limit: Duration) -> Result<bool, String> {
        match self.wait_until(Instant::now() + limit)? {
            Some(succeeded) => Ok(succeeded),
            None => Err(format!("it did not end within {} s", limit.as_secs())),
        }
    }

    fn wait_until(&mut self, end: Instant) -> Result<Option<bool>, String> {
        loop {
            match self.0.try_wait() {
                Ok(Some(status)) => return Ok(Some(status.success())),
                Ok(None) if Instant::now() >= end => return Ok(None),
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => return Err(format!("cannot wait for a process: {error}")),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        // A request first, so that it can end what it started itself.
        let asked = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        if asked.is_ok_and(|status| status.success())
            && matches!(self.wait_until(Instant::now() + FAREWELL), Ok(Some(_)))
        {
            return;
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs a command; an error names it and its exit.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let line = spoken(command);
    println!("$ {line}");
    let status = command.status().map_err(|error| format!("cannot start {line}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{line} failed: {status}")) }
}

/// Runs a command and gives back what it printed; none when it cannot start or fails.
pub(crate) fn capture(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command, shows what it prints and gives it back as lines too, with whether it succeeded.
pub(crate) fn tee(command: &mut Command) -> Result<(Vec<String>, bool), String> {
    let line = spoken(command);
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

/// Where a program is on PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// PATH with folders in front.
pub(crate) fn path_with(folders: &[&Path]) -> Result<OsString, String> {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let all = folders.iter().map(|folder| folder.to_path_buf()).chain(std::env::split_paths(&rest));
    std::env::join_paths(all).map_err(|error| format!("cannot extend PATH: {error}"))
}

/// The command as a person would type it.
fn spoken(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// How long a process may take to end when asked.
const FAREWELL: Duration = Duration::from_secs(5);
