//! The walls of ARCHITECTURE.md, read from the sources: floors import downwards only, core stays free of `std` and
//! `async`, nothing is `unsafe`, `lib.rs` and `mod.rs` only list, and no file outgrows a reader.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};

/// Core's modules and their floors.
const FLOORS: &[(&str, u8)] = &[
    ("encoding", 0),
    ("crypto", 0),
    ("flat_tree", 0),
    ("time", 0),
    ("entropy", 0),
    ("budget", 0),
    ("merkle", 1),
    ("manifest", 1),
    ("log", 2),
    ("storage", 3),
    ("stream", 4),
    ("protomux", 4),
    ("replication", 5),
    ("dht", 5),
    ("hyperswarm", 5),
    ("relay_client", 5),
    ("corestore", 6),
];

/// These stand on the ground floor alone, whatever lies between.
const ON_THE_GROUND: &[&str] = &["stream", "protomux"];

/// The most lines a file may have.
const MAX_LINES: usize = 700;

/// Source folders whose `lib.rs` and `mod.rs` only list.
const CRATES: &[&str] = &["core", "native-peer", "wasm", "tests", "tests/vectors-runner", "xtask"];

#[test]
fn core_imports_downwards_only() {
    let faults: Vec<String> = core_files().iter().flat_map(upward_imports).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_module_of_core_has_a_floor() {
    for file in core_files() {
        if file.module != "lib" {
            assert!(floor(&file.module).is_some(), "{} has no floor", file.module);
        }
    }
    for (module, _) in FLOORS {
        assert!(core_files().iter().any(|file| file.module == *module), "there is no module {module}");
    }
}

#[test]
fn core_uses_neither_std_nor_async() {
    let mut faults = Vec::new();
    for file in core_files() {
        for (number, line) in product_lines(&file.text) {
            let words = ["std::", "async ", ".await", "tokio", "getrandom", "thread::"];
            if let Some(word) = words.iter().find(|word| has_word(&line, word)) {
                faults.push(format!("{}:{number} uses `{}`", file.path.display(), word.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn nothing_is_unsafe() {
    let mut faults = Vec::new();
    for path in all_sources() {
        let text = read(&path);
        for (number, line) in code_lines(&text) {
            // This file names the word it looks for.
            if has_word(&line, "unsafe ") && !path.ends_with("architecture.rs") {
                faults.push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_file_is_longer_than_a_reader_likes() {
    for path in all_sources() {
        let lines = read(&path).lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines; {MAX_LINES} are the most", path.display());
    }
}

#[test]
fn lib_and_mod_only_list() {
    let mut faults = Vec::new();
    for name in CRATES {
        for path in sources(&root().join(name).join("src")) {
            if !path.ends_with("lib.rs") && !path.ends_with("mod.rs") {
                continue;
            }
            for (number, line) in unlisted(&read(&path)) {
                faults.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "these only list modules and what they give out:\n{}", faults.join("\n"));
}

#[test]
fn no_test_or_script_joins_the_public_network() {
    let folders = ["native-peer/tests", "tests/tests", "tests/browser", "xtask/src"];
    let files: Vec<PathBuf> = folders.iter().flat_map(|folder| files(&root().join(folder), &["rs", "mjs"])).collect();
    assert!(files.len() > 30, "the folders are there");
    let starts = ["[\"write\"", "[\"read\"", "['write'", "['read'"];
    let tame = ["no-swarm", "bootstrap", "offline"];
    for path in files.iter().filter(|path| !path.ends_with("architecture.rs")) {
        let text = read(path);
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| starts.iter().any(|start| line.contains(start))) {
            let near = lines[at.saturating_sub(3)..lines.len().min(at + 3)].join("\n");
            assert!(tame.iter().any(|word| near.contains(word)), "{}:{}: {line}", path.display(), at + 1);
        }
    }
}

#[test]
fn the_reader_of_imports_sees_every_kind() {
    let file = |path: &str, text: &str| CoreFile::new(PathBuf::from(path), text.to_owned());
    let faults = |path: &str, text: &str| upward_imports(&file(path, text)).len();
    assert_eq!(faults("log/append.rs", "use crate::merkle::Roots;\nuse crate::{crypto, encoding::Reader};"), 0);
    assert_eq!(faults("log/append.rs", "use crate::storage::Store;"), 1);
    assert_eq!(faults("log/append.rs", "use crate::{\n    merkle,\n    storage::{Store, op},\n};"), 1);
    assert_eq!(faults("log/append.rs", "fn f(x: crate::replication::Sync) {}"), 1);
    assert_eq!(faults("log/append.rs", "// crate::storage is above\n/// [`crate::storage`]\nfn f() {}"), 0);
    assert_eq!(faults("log/append.rs", "use super::super::storage::Store;"), 1);
    assert_eq!(faults("time.rs", "use super::log::Head;"), 1);
    assert_eq!(faults("stream/seal.rs", "use crate::crypto::Hash;\nuse crate::merkle::Node;"), 1);
    assert_eq!(faults("protomux/mux.rs", "use crate::stream::Seal;"), 1);
    assert_eq!(faults("merkle/node.rs", "use crate::manifest::Manifest;"), 1);
    assert_eq!(faults("manifest/verifier.rs", "use crate::merkle::Roots;"), 0);
    assert!(unlisted("//! Docs.\nmod a;\npub use a::{\n    B, C,\n};\n#[cfg(test)]\nmod tests;\n").is_empty());
    assert_eq!(unlisted("mod a;\npub fn f() {}\n").len(), 1);
}

/// A source file of core.
struct CoreFile {
    path: PathBuf,
    /// The top-level module it belongs to; `lib` for the list of them.
    module: String,
    /// How many names lead from the crate to its module.
    depth: usize,
    text: String,
}

impl CoreFile {
    /// `path` counts from core's source folder.
    fn new(path: PathBuf, text: String) -> Self {
        let names: Vec<String> = path.iter().map(|name| name.to_string_lossy().replace(".rs", "")).collect();
        let depth = names.len() - usize::from(names.last().is_some_and(|name| name == "mod"));
        Self { module: names[0].clone(), depth, path, text }
    }
}

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// True when a module may import another: one below, or its own. Of one floor, the later in the list may import the
/// earlier, so that no two import each other.
fn allowed(from: &str, to: &str) -> bool {
    let (Some(own), Some(other)) = (floor(from), floor(to)) else { return true };
    let place = |module: &str| FLOORS.iter().position(|(name, _)| *name == module);
    match () {
        () if from == to => true,
        () if ON_THE_GROUND.contains(&from) => other == 0,
        () if own == 0 && other == 0 => true,
        () => other < own || (other == own && place(to) < place(from)),
    }
}

fn upward_imports(file: &CoreFile) -> Vec<String> {
    if file.module == "lib" {
        return Vec::new();
    }
    let code: String = code_lines(&file.text).map(|(_, line)| line + "\n").collect();
    let mut imported = Vec::new();
    for prefix in ["crate::".to_owned(), "super::".repeat(file.depth)] {
        for (at, _) in code.match_indices(&prefix) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|letter| letter == ':' || letter == '_' || letter.is_alphanumeric()) {
                continue;
            }
            imported.extend(first_names(&code[at + prefix.len()..]));
        }
    }
    let upwards = imported.into_iter().filter(|to| !allowed(&file.module, to));
    upwards.map(|to| format!("{} imports {to}, which is not below it", file.path.display())).collect()
}

/// The first name of each path in `a::b`, or in `{a::b, c::{d, e}}`.
fn first_names(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else { return Vec::from([name(path)]) };
    let (mut depth, mut names, mut start) = (0_usize, Vec::new(), true);
    for (at, letter) in group.char_indices() {
        match letter {
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            '{' => depth += 1,
            ',' if depth == 0 => start = true,
            _ if start && !letter.is_whitespace() => {
                names.push(name(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    names
}

fn name(path: &str) -> String {
    path.chars().take_while(|letter| *letter == '_' || letter.is_alphanumeric()).collect()
}

/// The lines of a `lib.rs` or `mod.rs` that neither name a module nor give something out.
fn unlisted(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open = None;
    for (number, line) in code_lines(text) {
        let line = line.trim();
        if let Some(end) = open {
            if line.ends_with(end) {
                open = None;
            }
            continue;
        }
        let seen = ["pub ", "pub(crate) ", "pub(super) "];
        let item = seen.iter().find_map(|visibility| line.strip_prefix(visibility)).unwrap_or(line);
        if line.starts_with("#[") || line.starts_with("#![") {
            open = Some("]").filter(|end| !line.ends_with(end));
        } else if item.starts_with("use ") {
            open = Some(";").filter(|end| !line.ends_with(end));
        } else if !(line.is_empty() || is_list_item(item) && line.ends_with(';')) {
            found.push((number, line.to_owned()));
        }
    }
    found
}

fn is_list_item(item: &str) -> bool {
    item.starts_with("mod ") || item.starts_with("extern crate ")
}

/// Numbered lines without comments.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    text.lines().enumerate().map(|(at, line)| {
        let code = if line.trim_start().starts_with("//") { "" } else { line.split(" // ").next().unwrap_or("") };
        (at + 1, code.to_owned())
    })
}

/// The code lines before a file's unit tests.
fn product_lines(text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    code_lines(text).take_while(|(_, line)| line != "#[cfg(test)]")
}

/// True when `line` holds `word` and not as the end of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        word.starts_with('.') || !line[..at].ends_with(|letter: char| letter == '_' || letter.is_alphanumeric())
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn core_files() -> Vec<CoreFile> {
    let source = root().join("core/src");
    let file = |path: PathBuf| {
        let text = read(&path);
        CoreFile::new(path.strip_prefix(&source).unwrap().to_owned(), text)
    };
    sources(&source).into_iter().map(file).collect()
}

fn all_sources() -> Vec<PathBuf> {
    CRATES.iter().flat_map(|name| sources(&root().join(name))).collect()
}

/// The Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    files(folder, &["rs"])
}

/// The files below a folder whose names end so, without what was built or installed there.
fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = Vec::from([folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() && name != "target" && name != "node_modules" {
                folders.push(path);
            } else if path.extension().is_some_and(|end| extensions.iter().any(|extension| end == *extension)) {
                files.push(path);
            }
        }
    }
    files.sort();
    files.dedup();
    files
}
