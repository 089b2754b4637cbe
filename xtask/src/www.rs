//! `cargo xtask www`: the reader page in `target/www`, ready for any static server.

use crate::project;
use crate::wasm;
use std::path::Path;

/// Builds the page and the package it uses.
pub(crate) fn run() -> Result<bool, String> {
    build().map(|()| true)
}

/// The page, the package beside it, and the list of files that the service worker keeps for a page without network.
pub(crate) fn build() -> Result<(), String> {
    wasm::build()?;
    let site = project::path("target/www");
    project::remove_folder(&site)?;
    project::copy_folder(&project::path("www"), &site, &[])?;
    project::copy_folder(&project::path("target/wasm-package/js"), &site.join("corestore"), &["index.d.ts"])?;
    let mut files = Vec::new();
    collect(&site, "./", &mut files)?;
    let list = serde_json::Value::from(files);
    project::write(&site.join("files.json"), &list.to_string())?;
    println!("target/www holds the page");
    Ok(())
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<String>) -> Result<(), String> {
    for entry in project::list(folder)? {
        let Some(name) = entry.file_name() else { continue };
        let address = format!("{prefix}{}", name.to_string_lossy());
        if entry.is_dir() {
            collect(&entry, &format!("{address}/"), files)?;
        } else if address != "./sw.js" {
            files.push(address);
        }
    }
    Ok(())
}
