//! `kill -9` of a writer at any moment: nothing it acknowledged is missing, and no reader sees two histories.
//! `CORESTORE_KILLS` sets how often (10 unless given), `CORESTORE_SEED` when.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

use corestore_tests::harness::{Process, corestore, js_peer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

/// Core and sequence number of a block, and its digest.
type Blocks = BTreeMap<(String, u64), String>;

/// Lengths by core.
type Lengths = BTreeMap<String, u64>;

#[test]
fn nothing_acknowledged_is_lost_and_nobody_sees_a_fork() {
    let kills = from_environment("CORESTORE_KILLS", 10);
    let seed = from_environment("CORESTORE_SEED", 0x9e37_79b9);
    println!("CORESTORE_SEED={seed}");
    let mut random = seed | 1;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut acknowledged = Blocks::new();
    let mut readers: Vec<Process> = Vec::new();
    let mut port = String::from("0");
    for round in 0..=kills {
        let mut writer = start(&["write", "--storage", &path("a"), "--tcp", &port, "--json", "--no-swarm"]);
        let first = writer.line();
        port = first["tcp"].to_string();
        let stored = lengths(&first);
        for (core, seq) in acknowledged.keys() {
            assert!(*seq < stored[core], "round {round}: block {seq} of {core} is gone");
        }
        assert!(first["forks"].as_object().unwrap().values().all(|fork| *fork == 0), "round {round}: {first}");
        if readers.is_empty() {
            let (key, at) = (first["key"].as_str().unwrap(), format!("127.0.0.1:{port}"));
            let arguments =
                ["read", key, "--storage", &path("b"), "--tcp", &at, "--json", "--no-swarm", "--quiet-values"];
            readers.push(start(&arguments));
            readers.push(js_peer("reader.mjs", &["--storage", &path("c"), "--key", key, "--port", &port]));
        }
        if round == kills {
            assert!(!acknowledged.is_empty(), "every kill came too early");
            check_readers(&mut readers, &acknowledged, stored.values().sum());
            let blocks = acknowledged.len();
            println!(
                "{kills} kills, {blocks} blocks acknowledged: 0 lost; 0 conflicts at our reader and a JavaScript one"
            );
            return;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        append_until_killed(&mut writer, round, Duration::from_millis(random >> 33 & 0xff), &mut acknowledged);
    }
}

fn lengths(first: &Value) -> Lengths {
    let keys = first["otherKeys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned());
    keys.zip(["core-2", "core-3"]).map(|(key, name)| (key, first["lengths"][name].as_u64().unwrap())).collect()
}

/// Lines of all sizes until the writer is killed in the middle of them.
fn append_until_killed(writer: &mut Process, round: u64, after: Duration, acknowledged: &mut Blocks) {
    let pid = writer.pid().to_string();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(after);
        Command::new("kill").args(["-KILL", &pid]).status().unwrap()
    });
    for at in 0..400_usize {
        writer.say(&if at % 7 == 0 { "x".repeat(at % 5) } else { format!("{round} {at} {}", "y".repeat(at * 11)) });
    }
    assert!(killer.join().unwrap().success(), "the writer ended by itself");
    while let Some(line) = writer.line_or_end() {
        if line["event"] == "append" {
            let block = (line["key"].as_str().unwrap().to_owned(), line["seq"].as_u64().unwrap());
            let before = acknowledged.insert(block, line["sha256"].as_str().unwrap().to_owned());
            assert_eq!(before, None, "acknowledged twice");
        }
    }
    writer.kill();
}

/// Every reader gets every block, each as it was acknowledged, and sees neither cuts nor conflicts.
fn check_readers(readers: &mut [Process], acknowledged: &Blocks, total: u64) {
    for reader in readers {
        let mut seen = Blocks::new();
        while u64::try_from(seen.len()).unwrap() < total {
            let line = reader.line();
            assert!(!["conflict", "truncate", "error"].map(Value::from).contains(&line["event"]), "{line}");
            if let (Some(seq), Some(core)) = (line["seq"].as_u64(), line["core"].as_str()) {
                let before = seen.insert((core.to_owned(), seq), line["sha256"].as_str().unwrap().to_owned());
                assert_eq!(before, None, "told twice");
            }
        }
        for (block, digest) in acknowledged {
            assert_eq!(seen.get(block), Some(digest), "{block:?}");
        }
    }
}

fn start(arguments: &[&str]) -> Process {
    let mut command = Command::new(corestore());
    command.args(arguments);
    Process::start(command)
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}
