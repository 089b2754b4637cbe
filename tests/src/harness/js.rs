//! The genuine JavaScript peers of `tests/js`, with their packages.

use super::paths::{target, workspace};
use super::process::Process;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Starts `script` of `tests/js`.
///
/// # Panics
/// When Node or the packages are missing and cannot be installed.
pub fn js_peer(script: &str, arguments: &[&str]) -> Process {
    let mut node = Command::new("node");
    node.arg(js_script(script)).args(arguments);
    Process::start(node)
}

/// `script` of `tests/js`, with its packages in place.
///
/// # Panics
/// When the packages are missing and cannot be installed.
pub fn js_script(script: &str) -> PathBuf {
    installed().join(script)
}

/// The folder with scripts and packages; installs them when they are missing or others are wanted.
fn installed() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = workspace().join("tests").join("js");
        fs::create_dir_all(target()).expect("target can be written");
        // Test programs run side by side.
        let lock = File::create(target().join("js.lock")).expect("target can be written");
        lock.lock().expect("files can be locked");
        install(&folder);
        folder
    })
}

/// As `cargo xtask test` installs them, and with the same note of what was installed.
fn install(folder: &Path) {
    let wanted = fs::read(folder.join("package.json")).expect("tests/js/package.json is there");
    let done = folder.join("node_modules").join(".installed-package.json");
    if fs::read(&done).is_ok_and(|installed| installed == wanted) {
        return;
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder);
    let status = npm.status().expect("npm can be started; Node 20 and npm are needed");
    assert!(status.success(), "npm install failed in {}", folder.display());
    fs::write(done, wanted).expect("tests/js can be written");
}
