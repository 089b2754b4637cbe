//! The program `corestore` and genuine JavaScript peers, both ways over TCP.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use corestore_tests::harness::{Process, corestore, js_peer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Core and sequence number of a block, and its digest.
type Blocks = BTreeMap<(String, u64), String>;

/// A writer with three cores, whoever made it.
struct Writer {
    process: Process,
    key: String,
    others: Vec<String>,
    port: String,
}

impl Writer {
    fn ours(storage: &Path, more: &[&str]) -> Self {
        let arguments = ["write", "--storage", text(storage), "--tcp", "0", "--json", "--no-swarm"];
        Self::of(ours(&[&arguments, more].concat()))
    }

    fn js(storage: &Path, more: &[&str]) -> Self {
        Self::of(js_peer("writer.mjs", &[&["--storage", text(storage)], more].concat()))
    }

    fn of(mut process: Process) -> Self {
        let first = process.line();
        let others = first["otherKeys"].as_array().unwrap().iter().map(owned).collect();
        Self { key: owned(&first["key"]), others, port: first["tcp"].to_string(), process }
    }

    fn js_append(&mut self, core: &str, values: &[&str]) {
        let values: Vec<String> = values.iter().map(|value| BASE64.encode(value)).collect();
        self.process.say(&json!({ "append": core, "values": values }).to_string());
    }

    /// The next `count` acknowledgements.
    fn acknowledged(&mut self, count: usize) -> Blocks {
        let mut block = || {
            let line = self.process.line_where(|line| line["event"] == "append");
            let core = if line["key"].is_string() { &line["key"] } else { &line["core"] };
            ((owned(core), line["seq"].as_u64().unwrap()), owned(&line["sha256"]))
        };
        (0..count).map(|_| block()).collect()
    }
}

fn ours(arguments: &[&str]) -> Process {
    let mut command = Command::new(corestore());
    command.args(arguments);
    Process::start(command)
}

fn our_reader(storage: &Path, key: &str, port: &str, more: &[&str]) -> Process {
    let at = format!("127.0.0.1:{port}");
    let arguments = ["read", key, "--storage", text(storage), "--tcp", &at, "--json", "--no-swarm", "--quiet-values"];
    ours(&[&arguments, more].concat())
}

fn js_reader(storage: &Path, key: &str, port: &str, more: &[&str]) -> Process {
    js_peer("reader.mjs", &[&["--storage", text(storage), "--key", key, "--port", port], more].concat())
}

/// The next `count` blocks a reader tells of.
fn read(reader: &mut Process, count: usize) -> Blocks {
    let mut block = || {
        let line = reader.line_where(|line| line["seq"].is_u64() && line["event"].is_null());
        ((owned(&line["core"]), line["seq"].as_u64().unwrap()), owned(&line["sha256"]))
    };
    (0..count).map(|_| block()).collect()
}

/// The next truncation a peer tells of: core, length and fork.
fn cut(peer: &mut Process) -> (String, u64, u64) {
    let line = peer.line_where(|line| line["event"] == "truncate");
    (owned(&line["core"]), line["length"].as_u64().unwrap(), line["fork"].as_u64().unwrap())
}

fn owned(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

const SECRET: &str = "2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a";
const THOUSANDS: usize = 5000;

#[test]
fn thousands_of_blocks_from_js_and_live_ones_after_them() {
    let (there, here) = (folder(), folder());
    let mut writer = Writer::js(there.path(), &[]);
    writer.process.say(&json!({ "random": "core-3", "count": THOUSANDS, "seed": 7 }).to_string());
    let mut reader = our_reader(here.path(), &writer.key, &writer.port, &["--download", "all"]);
    let written = writer.acknowledged(THOUSANDS);
    assert!(read(&mut reader, THOUSANDS) == written, "blocks differ");
    for block in ["a live block", "another", ""] {
        writer.js_append("core-2", &[block]);
        assert_eq!(read(&mut reader, 1), writer.acknowledged(1));
    }
    reader.terminate();
    assert!(reader.wait().success());
}

#[test]
fn thousands_of_blocks_to_js_and_live_ones_after_them() {
    let (there, here) = (folder(), folder());
    let preload = here.path().join("preload");
    std::fs::write(&preload, random_lines(THOUSANDS)).unwrap();
    let mut writer = Writer::ours(&here.path().join("store"), &["--preload-file", text(&preload)]);
    let mut reader = js_reader(there.path(), &writer.key, &writer.port, &[]);
    let read_back = read(&mut reader, THOUSANDS);
    let mut own = our_reader(&here.path().join("copy"), &writer.key, &writer.port, &["--download", "all"]);
    assert!(read(&mut own, THOUSANDS) == read_back, "our own reader and the JavaScript one differ");
    for block in ["tiny", "a live block", ""] {
        writer.process.say(block);
        assert_eq!(read(&mut reader, 1), writer.acknowledged(1));
    }
    writer.process.terminate();
    assert!(writer.process.wait().success());
}

/// A preload file with blocks of 0 bytes to 1 MiB.
#[test]
fn blocks_nobody_asked_for_go_both_ways() {
    let (there, here) = (folder(), folder());
    let mut writer = Writer::ours(&here.path().join("store"), &[]);
    let mut reader = js_reader(there.path(), &writer.key, &writer.port, &["--allow-push"]);
    for block in 0..30 {
        writer.process.say(&format!("a live block, number {block}"));
        assert_eq!(read(&mut reader, 1), writer.acknowledged(1));
    }
    let mut writer = Writer::js(&there.path().join("writer"), &[]);
    let copy = here.path().join("copy");
    let mut reader = our_reader(&copy, &writer.key, &writer.port, &["--download", "all"]);
    for block in 0..30 {
        let value = BASE64.encode(format!("a live block, number {block}"));
        writer.process.say(&json!({ "append": "core-2", "values": [value], "push": true }).to_string());
        assert_eq!(read(&mut reader, 1), writer.acknowledged(1));
    }
    reader.terminate();
    assert!(reader.wait().success());
    // A reader that has most of it already is not answered from the beginning.
    let mut reader = our_reader(&copy, &writer.key, &writer.port, &["--download", "all"]);
    read(&mut reader, 30);
    for block in ["and one more", "and the last"] {
        writer.js_append("core-2", &[block]);
        assert_eq!(read(&mut reader, 1), writer.acknowledged(1));
    }
    reader.terminate();
    assert!(reader.wait().success());
}

fn random_lines(count: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut lines = String::new();
    for _ in 0..count {
        let bits = next() % 21;
        let size = usize::try_from(next() % ((1 << bits) + 1)).unwrap();
        let block = next().to_le_bytes().repeat(size / 8 + 1);
        lines.push_str(&json!({ "value": BASE64.encode(&block[..size]) }).to_string());
        lines.push('\n');
    }
    lines
}

#[test]
fn encrypted_cores_both_ways() {
    let (a, b, c, d) = (folder(), folder(), folder(), folder());
    let mut writer = Writer::js(a.path(), &["--encryption-key", SECRET]);
    writer.js_append("core-2", &["one", "two"]);
    let mut reader = our_reader(b.path(), &writer.key, &writer.port, &["--encryption-key", SECRET]);
    assert_eq!(read(&mut reader, 2), writer.acknowledged(2));
    let mut blind = our_reader(&b.path().join("blind"), &writer.key, &writer.port, &[]);
    assert!(!blind.wait().success());
    assert!(blind.stderr().contains(&writer.key), "the core is named");

    let mut writer = Writer::ours(c.path(), &["--encryption-key", SECRET]);
    let mut reader = js_reader(d.path(), &writer.key, &writer.port, &["--encryption-key", SECRET]);
    writer.process.say("a longer line");
    assert_eq!(read(&mut reader, 1), writer.acknowledged(1));
}

#[test]
fn a_truncation_by_js_is_followed() {
    let (a, b) = (folder(), folder());
    let mut writer = Writer::js(a.path(), &[]);
    writer.js_append("core-3", &["one", "two", "three", "four"]);
    let mut reader = our_reader(b.path(), &writer.key, &writer.port, &["--exit-after", "7"]);
    assert_eq!(read(&mut reader, 4), writer.acknowledged(4));
    writer.process.say(&json!({ "truncate": "core-3", "length": 2 }).to_string());
    writer.js_append("core-3", &["THREE", "FOUR", "FIVE"]);
    assert_eq!(cut(&mut reader), (writer.others[1].clone(), 2, 1));
    assert_eq!(read(&mut reader, 3), writer.acknowledged(3));
    assert!(reader.wait().success());
}

#[test]
fn a_truncation_by_ours_is_followed() {
    let (a, b) = (folder(), folder());
    let mut writer = Writer::ours(a.path(), &[]);
    let mut reader = js_reader(b.path(), &writer.key, &writer.port, &[]);
    ["block one", "block two", "block three"].iter().for_each(|line| writer.process.say(line));
    assert_eq!(read(&mut reader, 3), writer.acknowledged(3));
    writer.process.say("!truncate core-3 1");
    writer.process.say("block TWO");
    assert_eq!(cut(&mut writer.process).1, 1);
    assert_eq!(cut(&mut reader), (writer.others[1].clone(), 1, 1));
    assert_eq!(read(&mut reader, 1), writer.acknowledged(1));
}

#[test]
fn a_chain_through_ours() {
    let (a, b, c) = (folder(), folder(), folder());
    let mut writer = Writer::js(a.path(), &[]);
    writer.js_append("core-2", &["one", "two"]);
    let mut middle = our_reader(b.path(), &writer.key, &writer.port, &["--serve", "0"]);
    let port = middle.line_where(|line| line["event"] == "serving")["tcp"].to_string();
    let mut end = js_reader(c.path(), &writer.key, &port, &[]);
    assert_eq!(read(&mut end, 2), writer.acknowledged(2));
    writer.js_append("core-3", &["a later block"]);
    assert_eq!(read(&mut end, 1), writer.acknowledged(1));
}

#[test]
fn a_chain_through_js() {
    let (a, b, c) = (folder(), folder(), folder());
    let mut writer = Writer::ours(a.path(), &[]);
    let mut middle = js_reader(b.path(), &writer.key, &writer.port, &["--serve", "0"]);
    let port = middle.line_where(|line| line["event"] == "serving")["tcp"].to_string();
    let mut end = our_reader(c.path(), &writer.key, &port, &[]);
    writer.process.say("through the middle");
    assert_eq!(read(&mut end, 1), writer.acknowledged(1));
}

#[test]
fn a_writer_that_restarts_goes_on_and_its_reader_finds_it_again() {
    let (a, b) = (folder(), folder());
    let mut writer = Writer::ours(a.path(), &[]);
    let mut reader = js_reader(b.path(), &writer.key, &writer.port, &[]);
    writer.process.say("before the restart");
    assert_eq!(read(&mut reader, 1), writer.acknowledged(1));
    writer.process.terminate();
    assert!(writer.process.wait().success());
    let mut again =
        Writer::of(ours(&["write", "--storage", text(a.path()), "--tcp", &writer.port, "--json", "--no-swarm"]));
    assert_eq!((&again.key, &again.others), (&writer.key, &writer.others));
    again.process.say("after the restart");
    let read = read(&mut reader, 1);
    assert_eq!(read, again.acknowledged(1));
    assert_eq!(read.keys().next().unwrap().1, 1);
}
