//! The native writer as a child process, spoken to in lines.

use crate::command::{Running, run as run_command};
use crate::project;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// A writer that runs.
pub(crate) struct Writer {
    stdin: ChildStdin,
    /// What it prints after its first line; ends when it does.
    pub(crate) events: Receiver<Value>,
    /// Core-1's key in hex.
    pub(crate) key: String,
    /// The port of its WebSocket.
    pub(crate) ws: u16,
    // Last, so that stdin is closed before the process is asked to end.
    _running: Running,
}

impl Writer {
    /// Builds the native program and starts its writer on loopback.
    pub(crate) fn start(storage: &Path) -> Result<Self, String> {
        run_command(Command::new("cargo").args(["build", "--release", "--quiet", "--package", "corestore-peer"]))?;
        let mut command = Command::new(project::path("target/release/corestore"));
        command
            .args(["write", "--json", "--no-swarm", "--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--storage"])
            .arg(storage);
        let mut running = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let stdin = running.0.stdin.take().ok_or("the writer has no stdin")?;
        let stdout = running.0.stdout.take().ok_or("the writer has no stdout")?;
        let (sender, events) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.filter_map(|line| serde_json::from_str(&line).ok()).try_for_each(|event| sender.send(event))
        });
        let first: Value = events.recv_timeout(START_LIMIT).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("the writer said nothing within {} s", START_LIMIT.as_secs()),
            RecvTimeoutError::Disconnected => "the writer ended before it was ready".to_owned(),
        })?;
        let key = first.get("key").and_then(Value::as_str).ok_or("the writer's first line names no key")?.to_owned();
        let ws = first.get("ws").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        Ok(Self { stdin, events, key, ws: ws.ok_or("the writer's first line names no ws port")?, _running: running })
    }

    /// Gives it a line; whether it still listens.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        writeln!(self.stdin, "{line}").and_then(|()| self.stdin.flush()).is_ok()
    }

    /// The page's address that reads this writer.
    pub(crate) fn page(&self, server: std::net::SocketAddr) -> String {
        format!("http://{server}/?peer=ws://127.0.0.1:{}#{}", self.ws, self.key)
    }
}

const START_LIMIT: Duration = Duration::from_secs(30);
