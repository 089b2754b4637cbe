//! Which check reads which file.

use crate::json::Value;
use crate::report::Report;
use crate::{
    big, compact_encoding, corestore, crypto, dht_relay, dht_rpc, encryption, flat_tree, hyperdht, manifest, merkle,
    proofs, protomux, signatures, streams, transcripts, udx, wire,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Checks one file's content.
pub type Check = fn(&Value, &mut Report);

/// The files and their checks.
pub const FILES: &[(&str, Check)] = &[
    ("compact-encoding", compact_encoding::compact_encoding),
    ("flat-tree", flat_tree::flat_tree),
    ("merkle", merkle::merkle),
    ("crypto", crypto::crypto),
    ("corestore", corestore::corestore),
    ("encryption", encryption::encryption),
    ("manifest", manifest::manifest),
    ("signatures", signatures::signatures),
    ("proofs", proofs::proofs),
    ("wire-messages", wire::wire_messages),
    ("secret-stream", streams::secret_stream),
    ("protomux", protomux::protomux),
    ("replication", transcripts::replication),
    ("reorg", transcripts::reorg),
    ("dht-rpc", dht_rpc::dht_rpc),
    ("hyperdht", hyperdht::hyperdht),
    ("dht-relay", dht_relay::dht_relay),
    ("big", big::big),
    ("udx", udx::udx),
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
            run_file(name, *check, &load(&path)?, &mut report);
        }
    }
    Ok(report)
}

/// Runs one file's check. A file of another shape and a value that no check read are failures too.
pub fn run_file(name: &str, check: Check, file: &Value, report: &mut Report) {
    report.file(name);
    for (key, why) in [("about", "prose"), ("source", "prose"), ("label", "names the seeds")] {
        file[key].skip(why);
    }
    if catch_unwind(AssertUnwindSafe(|| check(file, report))).is_err() {
        report.check("the file has the layout of the reference's", false);
    }
    for (place, count) in file.unread() {
        report.check(&format!("{place} is checked by nothing, {count} times"), false);
    }
}

/// Reads one file.
///
/// # Errors
/// A text that names the file and the fault.
pub fn load(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(&text);
    parsed.map(Value::from).map_err(|error| format!("{}: {error}", path.display()))
}
