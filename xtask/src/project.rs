//! Where things are in this project.

use std::path::{Path, PathBuf};

/// The project's root folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// A path below the root.
pub(crate) fn path(relative: &str) -> PathBuf {
    root().join(relative)
}

/// Copies a folder's files, all levels, except those that `skip` names by file name.
pub(crate) fn copy_folder(from: &Path, to: &Path, skip: &[&str]) -> Result<(), String> {
    std::fs::create_dir_all(to).map_err(|error| format!("cannot create {}: {error}", to.display()))?;
    for entry in list(from)? {
        let Some(name) = entry.file_name() else { continue };
        if skip.iter().any(|skipped| name == *skipped) {
            continue;
        }
        let target = to.join(name);
        if entry.is_dir() {
            copy_folder(&entry, &target, skip)?;
        } else {
            std::fs::copy(&entry, &target).map_err(|error| format!("cannot copy {}: {error}", entry.display()))?;
        }
    }
    Ok(())
}

/// A folder's entries, sorted.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let complain = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    let entries: Result<Vec<PathBuf>, _> =
        std::fs::read_dir(folder).map_err(complain)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut entries = entries.map_err(complain)?;
    entries.sort();
    Ok(entries)
}

/// How much a folder's files hold, all levels, in KiB; what cannot be read counts nothing.
pub(crate) fn kibibytes(folder: &Path) -> u64 {
    let entries = list(folder).unwrap_or_default().into_iter();
    let each = entries.map(|entry| match std::fs::metadata(&entry) {
        Ok(found) if found.is_dir() => kibibytes(&entry),
        Ok(found) => found.len().div_ceil(1024),
        Err(_) => 0,
    });
    each.sum()
}

/// Removes a folder, if there, so that nothing of an earlier build stays.
pub(crate) fn remove_folder(folder: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file and the folders above it.
pub(crate) fn write(file: &Path, text: &str) -> Result<(), String> {
    let complain = |error: std::io::Error| format!("cannot write {}: {error}", file.display());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(complain)?;
    }
    std::fs::write(file, text).map_err(complain)
}
