//! Core's dependencies, as cargo resolves them for a normal build: none that needs `std`, draws randomness, or does I/O.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::process::Command;

/// Crates that exist only with `std`, or bring randomness, clocks, threads or I/O with them.
const BARRED: &[&str] = &[
    "getrandom",
    "rand",
    "rand_chacha",
    "libc",
    "mio",
    "tokio",
    "futures",
    "async-std",
    "parking_lot",
    "crossbeam",
    "rayon",
    "log",
    "tracing",
    "once_cell",
    "lazy_static",
    "thiserror",
    "anyhow",
    "serde_json",
    "memmap2",
    "rustix",
    "windows-sys",
    "wasm-bindgen",
    "js-sys",
    "web-sys",
    "ring",
    "aws-lc-rs",
    "openssl",
];

#[test]
fn core_depends_on_nothing_that_needs_std() {
    let tree = tree(&["-e", "normal", "--prefix", "none", "-f", "{p} features={f}"]);
    assert!(tree.contains("corestore-core"), "cargo tree gave\n{tree}");
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let name = line.split_whitespace().next().unwrap_or_default();
        assert!(!BARRED.contains(&name), "core depends on {line}");
        let features = line.split_once("features=").map(|(_, features)| features).unwrap_or_default();
        let features = features.trim_end_matches(" (*)");
        let std = features.split(',').find(|feature| *feature == "std");
        assert!(std.is_none(), "core's dependency turns on std: {line}");
    }
}

/// `cargo tree` of core, with the features its own manifest asks for.
fn tree(args: &[&str]) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["tree", "-p", "corestore-core", "--target", "thumbv7em-none-eabihf"])
        .args(args)
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
