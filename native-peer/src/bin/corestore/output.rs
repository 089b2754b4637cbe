//! Standard output: one JSON object a line, or text for people.

use crate::failure::Failure;
use corestore_peer::CoreKey;
use serde_json::Value;
use std::io::{self, Write};

/// Prints lines; each is out when `print` returns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints one line in the form asked for.
    pub(crate) fn print(self, json: &Value, human: impl FnOnce() -> String) -> Result<(), Failure> {
        self.raw(self.line(json, human).as_bytes())
    }

    /// The line [`Self::print`] would print; an empty text for people prints nothing.
    pub(crate) fn line(self, json: &Value, human: impl FnOnce() -> String) -> String {
        let mut line = if self.json { json.to_string() } else { human() };
        if !line.is_empty() {
            line.push('\n');
        }
        line
    }

    /// Prints bytes as they are.
    pub(crate) fn raw(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let written = out.write_all(bytes).and_then(|()| out.flush());
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputGone,
            _ => Failure::Output(error),
        })
    }
}

/// A block as people may read it: its text, or its first bytes in hex.
pub(crate) fn preview(block: &[u8]) -> String {
    match std::str::from_utf8(block) {
        Ok(text) if !text.chars().any(|c| c.is_control() && c != '\t') => cut(text, MAX_TEXT),
        _ => {
            let head = block.get(..MAX_BYTES).unwrap_or(block);
            let more = if block.len() > MAX_BYTES { "…" } else { "" };
            format!("<{} bytes> {}{more}", block.len(), hex::encode(head))
        }
    }
}

fn cut(text: &str, max: usize) -> String {
    let mut short: String = text.chars().take(max).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// The first letters of a key, enough to tell cores apart on a screen.
pub(crate) fn short(key: &[u8; 32]) -> String {
    cut(&CoreKey(*key).to_z32(), 8)
}

const MAX_TEXT: usize = 200;
const MAX_BYTES: usize = 32;
