//! A target without a standard library, to prove that core needs none.

use super::wasm_target::{self, Toolchain};
use crate::project;
use std::path::Path;
use std::process::Command;

const TARGET: &str = "thumbv7em-none-eabihf";

/// `cargo build` for it, with whichever toolchain is here; none when neither can.
pub(crate) fn cargo_build() -> Result<Option<Command>, String> {
    if Path::new(DEBIAN_SOURCE).exists() {
        let mut build = Toolchain::Debian.cargo()?;
        build.args(["build", "--target", TARGET, "-Zbuild-std=core,alloc", "--target-dir"]);
        build.arg(project::path("target/no-std")).env("RUSTC_BOOTSTRAP", "1");
        return Ok(Some(build));
    }
    let here = wasm_target::has_library("rustc", TARGET, "libcore-") || wasm_target::rustup_adds(TARGET);
    Ok(here.then(|| {
        let mut build = Command::new("cargo");
        build.args(["build", "--target", TARGET]);
        build
    }))
}

/// Where Debian's compiler looks for its source.
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";
