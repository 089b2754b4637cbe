//! A toolchain for `wasm32-unknown-unknown`: rustup's where its host can be reached, else Debian's, whose standard
//! library is built once from its source package.

use super::{packages, say};
use crate::command::{Running, capture, path_with, run};
use crate::project;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A toolchain that can build for the browser.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The one that runs this program.
    Rustup,
    /// `/usr/bin/cargo` and `/usr/bin/rustc`.
    Debian,
}

impl Toolchain {
    /// Its cargo.
    pub(crate) fn cargo(self) -> Result<Command, String> {
        let program = if self == Self::Debian { DEBIAN_CARGO } else { "cargo" };
        self.command(Path::new(program))
    }

    /// Another program that calls cargo from its PATH.
    pub(crate) fn command(self, program: &Path) -> Result<Command, String> {
        let mut command = Command::new(program);
        if self == Self::Debian {
            command.env("PATH", path_with(&[Path::new("/usr/bin")])?).env("RUSTC", DEBIAN_RUSTC);
            command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTDOC");
        }
        Ok(command)
    }
}

/// A toolchain with the standard library for the browser, installed if there is none.
pub(crate) fn ensure() -> Result<Toolchain, String> {
    if has_std("rustc") {
        return Ok(Toolchain::Rustup);
    }
    if has_std(DEBIAN_RUSTC) {
        return Ok(Toolchain::Debian);
    }
    say("the Rust target wasm32-unknown-unknown", "the wasm package is built for it");
    if rustup_adds(TARGET) && has_std("rustc") {
        return Ok(Toolchain::Rustup);
    }
    println!("rustup cannot add it here; taking Debian's toolchain instead");
    debian()?;
    Ok(Toolchain::Debian)
}

fn debian() -> Result<(), String> {
    let packages = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld-22"];
    packages::install(&packages, "Debian's Rust with its source, to build the target's standard library from")?;
    say("the standard library for wasm32-unknown-unknown", "built once from that source (about 1 minute)");
    let folder = project::path("target/tools/wasm-std");
    project::write(&folder.join("src/lib.rs"), "")?;
    project::write(&folder.join("Cargo.toml"), EMPTY_CRATE)?;
    let mut build = Toolchain::Debian.cargo()?;
    build.args(["build", "--release", "--target", TARGET, "-Zbuild-std=std,panic_abort,panic_unwind,test"]);
    run(build.current_dir(&folder).env("RUSTC_BOOTSTRAP", "1"))?;
    let library = library(DEBIAN_RUSTC, TARGET).ok_or("/usr/bin/rustc does not say where its libraries are")?;
    std::fs::create_dir_all(&library).map_err(|error| format!("cannot create {}: {error}", library.display()))?;
    for file in project::list(&folder.join("target").join(TARGET).join("release/deps"))? {
        let Some(name) = file.file_name().filter(|_| file.extension().is_some_and(|kind| kind == "rlib")) else {
            continue;
        };
        let target = library.join(name);
        std::fs::copy(&file, &target).map_err(|error| format!("cannot write {}: {error}", target.display()))?;
    }
    if has_std(DEBIAN_RUSTC) { Ok(()) } else { Err(format!("{} holds no libstd", library.display())) }
}

fn has_std(rustc: &str) -> bool {
    has_library(rustc, TARGET, "libstd-")
}

/// Whether a compiler has a library for a target.
pub(super) fn has_library(rustc: &str, target: &str, name: &str) -> bool {
    let entries = library(rustc, target).and_then(|folder| project::list(&folder).ok()).unwrap_or_default();
    entries.iter().any(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)))
}

/// Whether rustup could add a target; where its host cannot be reached it fails.
pub(super) fn rustup_adds(target: &str) -> bool {
    let running = Running::start(Command::new("rustup").args(["target", "add", target]));
    running.and_then(|running| running.wait(RUSTUP_LIMIT)) == Ok(true)
}

fn library(rustc: &str, target: &str) -> Option<PathBuf> {
    let sysroot = capture(Command::new(rustc).args(["--print", "sysroot"]))?;
    Some(Path::new(&sysroot).join("lib/rustlib").join(target).join("lib"))
}

/// The target.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);
const EMPTY_CRATE: &str = "[package]\nname = \"empty\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
