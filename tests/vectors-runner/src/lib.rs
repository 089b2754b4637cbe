//! Every golden-vector file, entry by entry, in both directions. `cargo test` runs the project's own folder;
//! `cargo xtask vectors DIR` any other of the same layout.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a vector file of another shape is a fault of the caller, told loudly"
)]

mod crypto;
mod json;
mod manifest;
mod merkle;
mod primitives;
mod report;
mod streams;
mod wire;

pub use report::Report;

use serde_json::Value;
use std::path::Path;

/// Checks one file's content.
pub type Check = fn(&Value, &mut Report);

/// The files and their checks.
pub const FILES: &[(&str, Check)] = &[
    ("compact-encoding", primitives::compact_encoding),
    ("flat-tree", primitives::flat_tree),
    ("merkle", merkle::merkle),
    ("crypto", crypto::crypto),
    ("corestore", crypto::corestore),
    ("encryption", crypto::encryption),
    ("manifest", manifest::manifest),
    ("wire-messages", wire::wire_messages),
    ("secret-stream", streams::secret_stream),
    ("protomux", streams::protomux),
];

/// Runs every check on a folder; files that are not there are skipped.
///
/// # Errors
/// A text that names the file that cannot be read.
pub fn run_folder(folder: &Path) -> Result<Report, String> {
    let mut report = Report::default();
    for (name, check) in FILES {
        let path = folder.join(format!("{name}.json"));
        if path.exists() {
            report.file(name);
            check(&load(&path)?, &mut report);
        }
    }
    Ok(report)
}

/// Reads one file.
///
/// # Errors
/// A text that names the file and the fault.
pub fn load(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}
