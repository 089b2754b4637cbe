//! The reader page: the files of a folder, held in memory.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files by their path in an address, such as `/js/reader.js`.
#[derive(Debug, Default)]
pub(super) struct Page(BTreeMap<String, File>);

/// One file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) bytes: Bytes,
    pub(super) media_type: &'static str,
}

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// A file or folder cannot be read.
    #[error("cannot read the page's {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is no page there.
    #[error("{0} holds no index.html; build the page there (`cargo xtask www`)")]
    NoIndex(PathBuf),
    /// It is more than a page.
    #[error("{0} holds more than a page: at most {MAX_BYTES} bytes in {MAX_FILES} files")]
    TooMuch(PathBuf),
}

impl Page {
    /// Reads a folder.
    pub(super) fn load(folder: &Path) -> Result<Self, PageError> {
        let mut page = Self::default();
        let mut left = MAX_BYTES;
        page.add(folder, "/", &mut left, folder)?;
        if page.0.contains_key("/index.html") { Ok(page) } else { Err(PageError::NoIndex(folder.to_owned())) }
    }

    fn add(&mut self, folder: &Path, prefix: &str, left: &mut u64, root: &Path) -> Result<(), PageError> {
        let failed = |path: &Path, source| PageError::Read { path: path.to_owned(), source };
        for entry in std::fs::read_dir(folder).map_err(|error| failed(folder, error))? {
            let path = entry.map_err(|error| failed(folder, error))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let address = format!("{prefix}{name}");
            // What a link leads to is no part of the page.
            let known = std::fs::symlink_metadata(&path).map_err(|error| failed(&path, error))?;
            if known.is_dir() {
                self.add(&path, &format!("{address}/"), left, root)?;
            } else if known.is_file() {
                let rest = left.checked_sub(known.len()).filter(|_| self.0.len() < MAX_FILES);
                *left = rest.ok_or_else(|| PageError::TooMuch(root.to_owned()))?;
                let bytes = Bytes::from(std::fs::read(&path).map_err(|error| failed(&path, error))?);
                self.0.insert(address, File { bytes, media_type: media_type(name) });
            }
        }
        Ok(())
    }

    /// The file at a path of an address.
    pub(super) fn get(&self, path: &str) -> Option<&File> {
        match path.strip_suffix('/') {
            Some(folder) => self.0.get(&format!("{folder}/index.html")),
            None => self.0.get(path),
        }
    }
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "webmanifest") => "application/json",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

const MAX_BYTES: u64 = 64 << 20;
const MAX_FILES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_the_folder_is_served() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("page");
        std::fs::create_dir_all(folder.join("js")).unwrap();
        assert!(matches!(Page::load(&folder), Err(PageError::NoIndex(_))));
        std::fs::write(folder.join("index.html"), "<!doctype html>").unwrap();
        std::fs::write(folder.join("js/a.js"), "1").unwrap();
        std::fs::write(outer.path().join("secret"), "2").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(outer.path().join("secret"), folder.join("link")).unwrap();
        let page = Page::load(&folder).unwrap();
        assert_eq!(page.get("/").map(|file| file.media_type), Some("text/html; charset=utf-8"));
        assert_eq!(page.get("/js/a.js").map(|file| &file.bytes[..]), Some(&b"1"[..]));
        for path in ["/link", "/../secret", "/js/../../secret", "/js/", "/js", "secret", ""] {
            assert!(page.get(path).is_none(), "{path}");
        }
        assert!(Page::load(&outer.path().join("none")).is_err());
    }
}
