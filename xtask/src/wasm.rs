//! `cargo xtask wasm`: the npm-ready package in `target/wasm-package`.

use crate::command::run as run_command;
use crate::install::{npm, tools, wasm_target};
use crate::project;
use std::path::Path;
use std::process::Command;

/// Builds the package and prints the size of its `.wasm`.
pub(crate) fn run() -> Result<bool, String> {
    build().map(|()| true)
}

/// Builds the package: compiled, bound, optimised, with its JavaScript, types, manifest, README and licences.
pub(crate) fn build() -> Result<(), String> {
    let toolchain = wasm_target::ensure()?;
    let wasm_bindgen = tools::wasm_bindgen()?;
    let wasm_opt = npm::wasm_opt()?;

    let mut cargo = toolchain.cargo()?;
    cargo.args(["build", "--release", "--quiet", "--target", wasm_target::TARGET, "--manifest-path"]);
    run_command(cargo.arg(project::path("wasm/Cargo.toml")))?;

    let package = project::path("target/wasm-package");
    project::remove_folder(&package)?;
    let scripts = package.join("js");
    project::copy_folder(&project::path("wasm/js"), &scripts, &[])?;
    for (from, to) in PACKAGE_FILES {
        let from = project::path(from);
        std::fs::copy(&from, package.join(to)).map_err(|error| format!("cannot copy {}: {error}", from.display()))?;
    }

    let compiled = project::path("wasm/target").join(wasm_target::TARGET).join("release/corestore_wasm.wasm");
    let mut bind = Command::new(wasm_bindgen);
    bind.args(["--target", "web", "--no-typescript", "--out-name", "corestore_wasm", "--out-dir"]);
    run_command(bind.arg(&scripts).arg(&compiled))?;
    optimise(&wasm_opt, &scripts.join("corestore_wasm_bg.wasm"))?;
    println!("target/wasm-package is ready for npm");
    Ok(())
}

fn optimise(wasm_opt: &Path, file: &Path) -> Result<(), String> {
    let smaller = file.with_extension("optimised");
    run_command(Command::new(wasm_opt).args(OPTIMISATION).arg(file).arg("-o").arg(&smaller))?;
    std::fs::rename(&smaller, file).map_err(|error| format!("cannot replace {}: {error}", file.display()))?;
    run_command(Command::new("node").arg(project::path("xtask/wasm-sizes.mjs")).arg(file))
}

const PACKAGE_FILES: [(&str, &str); 4] = [
    ("wasm/package.json", "package.json"),
    ("wasm/README.md", "README.md"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
];

/// Speed before size: the module hashes, decrypts and verifies. Callers take in small functions only, since the browser
/// compiles what is hot while it runs. The features are those rustc turns on by itself; SIMD is not among them, since
/// none of the hashes and ciphers has code for WebAssembly's (measured: not 1 % faster with it).
const OPTIMISATION: [&str; 9] = [
    "-O3",
    "--one-caller-inline-max-function-size=50",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];
