//! Writers and readers of both kinds, each on a machine of the small internet.

use super::internet::{HOSTS, Machine, PUBLIC};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use corestore_tests::harness::{Process, corestore, js_script};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Whose program a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Js,
}

/// A DHT in public of nodes of both kinds, with a blind relay of each.
#[derive(Debug)]
pub(crate) struct Network {
    _nodes: Vec<Process>,
    _js: Process,
    pub(crate) bootstrap: String,
    our_relay: String,
    js_relay: String,
}

/// What a peer is told at its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) kind: Kind,
    pub(crate) machine: Machine,
    pub(crate) storage: &'a Path,
    /// Arguments that say how it finds others.
    pub(crate) finding: &'a [&'a str],
}

impl Network {
    /// `folder` keeps the key of our relay.
    pub(crate) fn start(folder: &Path) -> Self {
        let mut js = PUBLIC.command(Path::new("node"));
        js.arg(js_script("dht_testnet.mjs")).args(["--nodes", "4", "--hosts", &HOSTS[1..].join(",")]);
        let mut js = Process::start(js);
        let bootstrap = address(&js.line()["bootstrap"][0]);
        js.say(&json!({ "id": 1, "method": "relay", "args": ["77".repeat(32)] }).to_string());
        let js_relay = js.line()["result"].as_str().unwrap().to_owned();
        let (mut nodes, mut our_relay) = (Vec::new(), String::new());
        for port in ["40001", "40002", "40003"] {
            let mut node = PUBLIC.command(corestore());
            node.args(["node", "--json", "--host", HOSTS[0], "--port", port, "--bootstrap", &bootstrap]);
            node.arg("--relay").arg(folder.join(port));
            let mut node = Process::start(node);
            our_relay = node.line()["relay"].as_str().unwrap().to_owned();
            nodes.push(node);
        }
        Self { _nodes: nodes, _js: js, bootstrap, our_relay, js_relay }
    }

    /// The key of a blind relay.
    pub(crate) fn relay(&self, of: Kind) -> &str {
        match of {
            Kind::Ours => &self.our_relay,
            Kind::Js => &self.js_relay,
        }
    }
}

impl Setting<'_> {
    /// Starts a writer; gives the key of its first core too.
    fn write(&self) -> (Process, String) {
        let mut writer = self.start(None);
        let key = writer.line()["key"].as_str().unwrap().to_owned();
        (writer, key)
    }

    /// Starts a reader.
    fn read(&self, key: &str) -> Process {
        self.start(Some(key))
    }

    /// Has a writer append a block.
    fn append(&self, writer: &mut Process, block: &str) {
        match self.kind {
            Kind::Ours => writer.say(block),
            Kind::Js => writer.say(&json!({ "append": [BASE64.encode(block)] }).to_string()),
        }
    }

    fn start(&self, key: Option<&str>) -> Process {
        let mut command = match self.kind {
            Kind::Js => {
                let mut command = self.machine.command(Path::new("node"));
                command.arg(js_script("swarm.mjs"));
                command
            }
            Kind::Ours => {
                let mut command = self.machine.command(corestore());
                command.args([if key.is_some() { "read" } else { "write" }, "--json"]);
                command
            }
        };
        match (self.kind, key) {
            (_, None) => &mut command,
            (Kind::Js, Some(key)) => command.args(["--key", key]),
            (Kind::Ours, Some(key)) => command.args([key, "--quiet-values"]),
        };
        command.arg("--storage").arg(self.storage).args(self.finding);
        Process::start(command)
    }
}

/// Brings a writer and a reader together: a block that was there, and one that is appended later. Gives the time from the
/// start of the later one of them to the first block.
pub(crate) fn meet(writing: Setting<'_>, reading: Setting<'_>, reader_first: bool) -> Duration {
    let (mut writer, key) = writing.write();
    let mut begun = Instant::now();
    let mut reader = if reader_first {
        end(writer);
        let reader = reading.read(&key);
        std::thread::sleep(HEAD_START);
        begun = Instant::now();
        writer = writing.write().0;
        reader
    } else {
        reading.read(&key)
    };
    writing.append(&mut writer, BLOCKS[0].0);
    let first = next_block(&mut reader);
    let took = begun.elapsed();
    writing.append(&mut writer, BLOCKS[1].0);
    assert_eq!([first.as_str(), &next_block(&mut reader)], BLOCKS.map(|block| block.1), "{writing:?}, {reading:?}");
    end(reader);
    end(writer);
    took
}

fn end(mut process: Process) {
    process.terminate();
    process.wait();
}

/// The digest of a reader's next block.
fn next_block(reader: &mut Process) -> String {
    let block = reader.line_where(|line| line["seq"].is_u64() && line["event"].is_null());
    block["sha256"].as_str().unwrap().to_owned()
}

fn address(node: &Value) -> String {
    format!("{}:{}", node["host"].as_str().unwrap(), node["port"])
}

/// Of a reader that waits for its writer.
const HEAD_START: Duration = Duration::from_secs(2);
/// Two blocks, and their SHA-256.
const BLOCKS: [(&str, &str); 2] = [
    ("a first block", "4a3b2a172337f9c43798c103124c3ab997cf5c4930d529a723646f46940919b7"),
    ("a second one", "ff11e2a4b367eeeac01a1d34811d6a977e07b6f0b9643531f861ea9e0748038e"),
];
