//! The program `corestore` and genuine JavaScript peers find each other by the core's key on private networks.
//!
//! They need Node and the npm packages of `tests/js`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use corestore_tests::harness::{Process, corestore, js_peer};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn ours(arguments: &[&str]) -> Process {
    let mut command = Command::new(corestore());
    command.args(arguments);
    Process::start(command)
}

fn bootstrap(network: &mut Process) -> String {
    let line = network.line();
    let at = |node: &Value| format!("{}:{}", node["host"].as_str().unwrap(), node["port"]);
    at(&line["bootstrap"][0])
}

fn our_network() -> (Process, String) {
    let mut network = ours(&["testnet", "--nodes", "4", "--json"]);
    let nodes = bootstrap(&mut network);
    (network, nodes)
}

fn js_network() -> (Process, String) {
    let mut network = js_peer("dht_testnet.mjs", &["--nodes", "4"]);
    let nodes = bootstrap(&mut network);
    (network, nodes)
}

fn folders() -> (TempDir, TempDir) {
    (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn our_writer(storage: &Path, nodes: &str) -> (Process, String) {
    let mut writer = ours(&["write", "--storage", text(storage), "--bootstrap", nodes, "--json"]);
    let key = writer.line()["key"].as_str().unwrap().to_owned();
    (writer, key)
}

fn our_reader(storage: &Path, nodes: &str, key: &str) -> Process {
    ours(&["read", key, "--storage", text(storage), "--bootstrap", nodes, "--json", "--quiet-values"])
}

/// Digests of the next blocks, in order.
fn read(reader: &mut Process, count: usize) -> Vec<String> {
    let mut next = || reader.line_where(|line| line["seq"].is_u64() && line["event"].is_null());
    (0..count).map(|_| next()["sha256"].as_str().unwrap().to_owned()).collect()
}

fn written(writer: &mut Process, blocks: &[&str]) -> Vec<String> {
    blocks.iter().for_each(|block| writer.say(block));
    let mut next = || writer.line_where(|line| line["event"] == "append");
    blocks.iter().map(|_| next()["sha256"].as_str().unwrap().to_owned()).collect()
}

const BLOCKS: [&str; 3] = ["a first block", "a second one", "and a third"];

#[test]
fn ours_meet_on_a_network_of_ours() {
    let (_network, nodes) = our_network();
    let (one, two) = folders();
    let (mut writer, key) = our_writer(one.path(), &nodes);
    let mut reader = our_reader(two.path(), &nodes, &key);
    let expected = written(&mut writer, &BLOCKS);
    assert_eq!(read(&mut reader, 3), expected);
}

#[test]
fn our_reader_that_waits_is_found_by_our_writer() {
    let (_network, nodes) = our_network();
    let (one, two) = folders();
    let (mut writer, key) = our_writer(one.path(), &nodes);
    writer.terminate();
    assert!(writer.wait().success());
    let mut reader = our_reader(two.path(), &nodes, &key);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let (mut writer, again) = our_writer(one.path(), &nodes);
    assert_eq!(again, key);
    let expected = written(&mut writer, &BLOCKS);
    assert_eq!(read(&mut reader, 3), expected);
}

#[test]
fn a_js_reader_finds_our_writer_on_their_network() {
    let (_network, nodes) = js_network();
    let (one, two) = folders();
    let (mut writer, key) = our_writer(one.path(), &nodes);
    let mut reader = js_peer("swarm.mjs", &["--storage", text(two.path()), "--bootstrap", &nodes, "--key", &key]);
    let expected = written(&mut writer, &BLOCKS);
    assert_eq!(read(&mut reader, 3), expected);
}

#[test]
fn our_reader_finds_a_js_writer_on_their_network() {
    let (_network, nodes) = js_network();
    let (one, two) = folders();
    let mut writer = js_peer("swarm.mjs", &["--storage", text(one.path()), "--bootstrap", &nodes]);
    let key = writer.line()["key"].as_str().unwrap().to_owned();
    let mut reader = our_reader(two.path(), &nodes, &key);
    let values: Vec<String> = BLOCKS.iter().map(|block| BASE64.encode(block)).collect();
    writer.say(&json!({ "append": values }).to_string());
    assert_eq!(read(&mut reader, 3).len(), 3);
}

#[test]
fn a_node_relays_under_a_key_that_it_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay");
    let mut keys = Vec::new();
    for _ in 0..2 {
        let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let mut node = ours(&["node", "--host", "127.0.0.1", "--port", &port, "--relay", text(&file), "--json"]);
        keys.push(node.line()["relay"].as_str().unwrap().to_owned());
        node.terminate();
        assert!(node.wait().success());
    }
    assert_eq!((keys[0].len(), &keys[0]), (64, &keys[1]));
}

#[test]
fn ping_tells_the_stages_and_where_it_ended() {
    let (_network, nodes) = our_network();
    let (one, _) = folders();
    let (writer, key) = our_writer(one.path(), &nodes);
    let mut ping = ours(&["ping", &key, "--bootstrap", &nodes, "--json"]);
    let mut stages = Vec::new();
    let answer = loop {
        let line = ping.line();
        match line["stage"].as_str() {
            Some(stage) => stages.push(stage.to_owned()),
            None => break line,
        }
    };
    assert!(stages.iter().any(|stage| stage == "agreed on keys"), "{stages:?}");
    assert!(answer["path"].is_string() && answer["ms"].is_u64(), "{answer}");
    let done = ping.line();
    let failed = &done["ways"]["failed"];
    assert_eq!((&done["event"], &done["peers"], failed), (&"done".into(), &1.into(), &0.into()));
    assert!(ping.wait().success());
    drop(writer);
    // It died without a word: it is still named, and nobody answers.
    let mut ping = ours(&["ping", &key, "--bootstrap", &nodes, "--json"]);
    let told = ping.line_where(|line| line["error"].is_string());
    assert!(told["while"].is_string(), "{told}");
    assert!(!ping.wait().success());
}
