//! The program `corestore`: its commands on a store at rest, and what it says when something is wrong.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_corestore");
const SECRET: &str = "2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a";

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses early does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn good(arguments: &[&str], input: &str) -> String {
    let output = run(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The one sentence it says when it fails.
fn bad(arguments: &[&str]) -> String {
    let output = run(arguments, "");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// One that fails in its own words, not those of the arguments' parser.
fn sentence(arguments: &[&str]) -> String {
    let text = bad(arguments);
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

struct Running(Child, #[expect(dead_code, reason = "its output stays open")] BufReader<ChildStdout>);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A writer, and its first line.
fn writer(storage: &str) -> (Running, serde_json::Value) {
    let mut child = Command::new(PROGRAM)
        .args(["write", "--storage", storage, "--tcp", "0", "--json", "--no-swarm"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    (Running(child, output), serde_json::from_str(&line).unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_store_at_rest_is_looked_into_and_worked_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = text(folder.path());
    let at = ["--storage", store];
    assert!(good(&[&["append", "notes", "one", "two"], &at[..]].concat(), "").contains("2 in all"));
    good(&[&["append", "notes"], &at[..]].concat(), "three\nfour");
    assert_eq!(good(&[&["cat", "notes"], &at[..]].concat(), ""), "one\ntwo\nthree\nfour\n");
    assert_eq!(good(&[&["cat", "notes", "--start", "1", "--end", "2"], &at[..]].concat(), ""), "two\n");
    let listed = good(&[&["ls", "--json"], &at[..]].concat(), "");
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed["names"][0], &listed["length"], &listed["fork"]), (&"notes".into(), &4.into(), &0.into()));
    for name in ["key", "id", "discoveryKey"] {
        let info = good(&[&["info", listed[name].as_str().unwrap(), "--json"], &at[..]].concat(), "");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&info).unwrap(), listed, "by {name}");
    }
    assert!(good(&[&["truncate", "notes", "1"], &at[..]].concat(), "").contains("fork 1"));
    assert_eq!(good(&[&["cat", "notes"], &at[..]].concat(), ""), "one\n");
    assert!(good(&[&["verify"], &at[..]].concat(), "").starts_with("whole: 1 cores, 1 blocks"));
    assert!(good(&[&["info"], &at[..]].concat(), "").starts_with("1 cores"));
}

#[test]
fn a_damaged_index_is_named_and_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let at = ["--storage", text(folder.path())];
    good(&[&["append", "notes", "one", "two"], &at[..]].concat(), "");
    let index = folder.path().join("tree/00000001");
    let mut bytes = std::fs::read(&index).unwrap();
    // Past the headers of the file and of its first page.
    bytes[32 + 8 + 5] ^= 1;
    std::fs::write(&index, bytes).unwrap();
    let damaged = run(&[&["verify", "--json"], &at[..]].concat(), "");
    assert!(!damaged.status.success());
    let repaired = good(&[&["verify", "--repair"], &at[..]].concat(), "");
    assert!(repaired.starts_with("tree/00000001 is damaged at byte 32"), "{repaired}");
    assert!(repaired.contains("the index was made anew: nothing is lost\nwhole: 1 cores, 2 blocks"), "{repaired}");
    let again = good(&[&["verify", "--repair", "--json"], &at[..]].concat(), "");
    assert!(again.contains(r#""outcome":"whole""#), "{again}");
    assert_eq!(good(&[&["cat", "notes"], &at[..]].concat(), ""), "one\ntwo\n");
    let nothing = tempfile::tempdir().unwrap();
    assert!(sentence(&["verify", "--repair", "--storage", text(nothing.path())]).contains("there is no store at"));
}

#[test]
fn what_is_dropped_gives_its_room_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = text(folder.path());
    let run = |arguments: &[&str], input: &str| good(&[arguments, &["--storage", store]].concat(), input);
    let line = "x".repeat(4096);
    run(&["append", "notes"], &format!("{line}\n").repeat(100));
    run(&["append", "diary", "stays"], "");
    assert_eq!(run(&["clear", "notes", "0"], ""), "1 blocks dropped, 99 stay\n");
    assert_eq!(run(&["clear", "notes", "1", "90"], ""), "89 blocks dropped, 10 stay\n");
    let reclaimed = run(&["reclaim", "--json"], "");
    let reclaimed: serde_json::Value = serde_json::from_str(&reclaimed).unwrap();
    let (before, after) = (reclaimed["bytesBefore"].as_u64().unwrap(), reclaimed["bytesAfter"].as_u64().unwrap());
    assert!(before > 400 << 10 && after < 120 << 10, "{before} bytes before, {after} after");
    assert!(sentence(&["purge", "notes", "--storage", store]).contains("--own"));
    assert!(run(&["purge", "notes", "--own"], "").contains("its 10 blocks are gone"));
    run(&["reclaim"], "");
    assert!(run(&["verify"], "").starts_with("whole: 1 cores, 1 blocks"));
    assert_eq!(run(&["cat", "diary"], ""), "stays\n");
    assert!(sentence(&["cat", "notes", "--storage", store]).contains("no core `notes`"));
}

#[test]
fn a_writer_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let storage = ["--storage", text(folder.path()), "--offline", "--json"];
    let first = |more: &[&str]| {
        let out = good(&[&["write"], &storage[..], more].concat(), "");
        serde_json::from_str::<serde_json::Value>(out.lines().next().unwrap()).unwrap()
    };
    let one = first(&["--append", "1000", "--block-size", "3", "--truncate", "core-2:990"]);
    let two = first(&["--append", "2"]);
    assert_eq!((&one["key"], &one["otherKeys"]), (&two["key"], &two["otherKeys"]));
    assert_eq!((&one["lengths"]["core-2"], &one["forks"]["core-2"]), (&990.into(), &1.into()));
    assert_eq!((&two["lengths"]["core-2"], &two["lengths"]["core-3"]), (&990.into(), &2.into()));
    assert!(one["tcp"].is_null() && one["ws"].is_null());
}

#[test]
fn what_is_wrong_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let store = text(&store);
    good(&["write", "--storage", store, "--offline"], "");

    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let said = sentence(&["write", "--storage", store, "--no-swarm", "--tcp", &port]);
    assert!(said.contains(&port) && said.contains("in use"), "{said}");

    let nobody = sentence(&["write", "--storage", store, "--no-swarm"]);
    assert!(nobody.contains("--tcp"), "{nobody}");
    assert!(bad(&["read", "abc", "--storage", store, "--no-swarm", "--tcp", "1"]).contains("is not a key"));
    let short = bad(&["write", "--storage", store, "--offline", "--encryption-key", "abcd"]);
    assert!(short.contains("32 bytes"), "{short}");
    let wrong = sentence(&["write", "--storage", store, "--offline", "--encryption-key", SECRET]);
    assert!(wrong.contains("encryption key") && !wrong.contains(SECRET), "{wrong}");

    let missing = sentence(&["write", "--storage", store, "--offline", "--preload-file", "/does/not/exist"]);
    assert!(missing.contains("/does/not/exist"), "{missing}");
    let preload = folder.path().join("preload");
    std::fs::write(&preload, "{\"value\":\"YQ==\"}\n{\"value\":7}\n").unwrap();
    let broken = sentence(&["write", "--storage", store, "--offline", "--preload-file", text(&preload)]);
    assert!(broken.contains("line 2"), "{broken}");
    assert_eq!(good(&["cat", "core-2", "--storage", store], ""), "", "nothing of the file was appended");

    assert!(sentence(&["cat", "nothing", "--storage", store]).contains("nothing"));
    assert!(sentence(&["truncate", "core-2", "9", "--storage", store]).contains("outside"));
    let nowhere = folder.path().join("nowhere");
    assert!(sentence(&["ls", "--storage", text(&nowhere)]).contains("nowhere"));
    assert!(!nowhere.exists(), "looking makes nothing");
}

#[test]
fn a_store_in_use_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = text(folder.path());
    let (_running, _) = writer(store);
    for command in [vec!["ls"], vec!["append", "notes", "x"], vec!["write", "--offline"]] {
        let said = sentence(&[&command[..], &["--storage", store]].concat());
        assert!(said.contains("in use"), "{said}");
    }
}

#[test]
fn a_wrong_encryption_key_names_the_core() {
    let folder = tempfile::tempdir().unwrap();
    let (running, first) = writer(text(folder.path()));
    let (key, at) = (first["key"].as_str().unwrap(), format!("127.0.0.1:{}", first["tcp"]));
    let copy = folder.path().join("copy");
    let options = ["--no-swarm", "--tcp", &at, "--encryption-key", SECRET, "--timeout", "60"];
    let said = sentence(&[&["read", key, "--storage", text(&copy)][..], &options[..]].concat());
    assert!(said.contains(key) && !said.contains(SECRET), "{said}");
    drop(running);
}

/// Changes one bit of a block in every file below `folder` that holds it.
fn damage(folder: &Path) -> u32 {
    let mut damaged = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
        if entry.is_dir() {
            damaged += damage(&entry);
            continue;
        }
        let mut bytes = std::fs::read(&entry).unwrap();
        if let Some(at) = bytes.windows(7).position(|piece| piece == b"of text") {
            bytes[at] ^= 1;
            std::fs::write(&entry, bytes).unwrap();
            damaged += 1;
        }
    }
    damaged
}

#[test]
fn damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = text(folder.path());
    good(&["append", "notes", "--storage", store], &"a line of text to look for\n".repeat(50));
    let damaged = damage(folder.path());
    assert!(damaged > 0, "the block's bytes are in no file");
    let output = run(&["verify", "--storage", store], "");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("damaged"), "{said}");
}

#[test]
fn a_store_in_use_is_backed_up_and_the_backup_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (_writer, first) = writer(&path("store"));
    for (name, more) in [("copied", None), ("linked", Some("--link"))] {
        let arguments: Vec<String> =
            ["backup", "--storage"].map(str::to_owned).into_iter().chain([path("store"), path(name)]).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more).collect();
        assert!(good(&arguments, "").starts_with("whole: "));
        assert!(good(&["verify", "--storage", &path(name)], "").starts_with("whole: 3 cores"));
        assert!(good(&["ls", "--storage", &path(name), "--json"], "").contains(first["key"].as_str().unwrap()));
        assert!(sentence(&arguments).contains("choose a new directory"));
    }
}
