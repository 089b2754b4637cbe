//! Programs built from crates, into `target/tools`.

use super::say;
use crate::command::{capture, find, run};
use crate::project;
use std::path::PathBuf;
use std::process::Command;

/// Which programs go with the `wasm-bindgen` that `wasm/Cargo.toml` pins.
const WASM_BINDGEN: &str = "0.2.130";
const WASM_PACK: &str = "0.15.1";

/// `wasm-bindgen` (its test runner lies beside it).
pub(crate) fn wasm_bindgen() -> Result<PathBuf, String> {
    let why = "it writes the JavaScript around the .wasm, and its version must equal the crate's (about 2 minutes)";
    ensure("wasm-bindgen-cli", "wasm-bindgen", WASM_BINDGEN, why)
}

/// `wasm-pack`.
pub(crate) fn wasm_pack() -> Result<PathBuf, String> {
    ensure("wasm-pack", "wasm-pack", WASM_PACK, "it runs the wasm crate's tests in a browser (about 2 minutes)")
}

fn ensure(package: &str, program: &str, version: &str, why: &str) -> Result<PathBuf, String> {
    let tools = project::path("target/tools");
    let own = tools.join("bin").join(program);
    let right = |path: &PathBuf| {
        let said = capture(Command::new(path).arg("--version"));
        said.is_some_and(|said| said.split_whitespace().nth(1) == Some(version))
    };
    if let Some(path) = [Some(own.clone()), find(program)].into_iter().flatten().find(right) {
        return Ok(path);
    }
    say(&format!("{package} {version}"), why);
    let mut install = Command::new("cargo");
    install.args(["install", "--quiet", package, "--version", version, "--force", "--root"]).arg(&tools);
    // Kept, so that an interrupted build goes on and the second tool reuses the first one's crates. These programs
    // run for seconds: building them quickly is worth more than their speed.
    install.arg("--target-dir").arg(tools.join("build"));
    install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_LTO", "off");
    install.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16").env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    run(&mut install)?;
    Ok(own)
}
