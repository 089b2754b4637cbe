//! Packages of npm, into the folder whose `package.json` names them.

use super::say;
use crate::command::run;
use crate::project;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Installs what `folder/package.json` names into `folder/node_modules`, unless that is there already.
pub(crate) fn ensure(folder: &Path, why: &str) -> Result<(), String> {
    let manifest = folder.join("package.json");
    let wanted =
        std::fs::read_to_string(&manifest).map_err(|error| format!("cannot read {}: {error}", manifest.display()))?;
    // A copy of what was installed: another manifest means another installation.
    let installed = folder.join("node_modules/.installed-package.json");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    say(&format!("the npm packages of {}", manifest.display()), why);
    let arguments = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"];
    run(Command::new("npm").args(arguments).current_dir(folder))?;
    project::write(&installed, &wanted)
}

/// `wasm-opt` of the npm package binaryen.
pub(crate) fn wasm_opt() -> Result<PathBuf, String> {
    let folder = project::path("target/npm");
    let manifest = folder.join("package.json");
    if !std::fs::read_to_string(&manifest).is_ok_and(|text| text == BINARYEN) {
        project::write(&manifest, BINARYEN)?;
    }
    ensure(&folder, "wasm-opt makes the .wasm smaller and faster")?;
    Ok(folder.join("node_modules/binaryen/bin/wasm-opt"))
}

const BINARYEN: &str = r#"{ "private": true, "dependencies": { "binaryen": "132.0.0" } }
"#;
