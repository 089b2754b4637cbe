//! What can go wrong inside the store, before it is told to anyone.

use super::error::OpenError;
use corestore_core::storage::StorageError;
use std::io;
use std::path::Path;

/// What went wrong, and in which of the store's files.
#[derive(Debug)]
pub(super) enum Fault {
    /// No room.
    Full,
    /// The operating system refused.
    Io { file: String, error: io::Error },
    /// Bytes are not what was written.
    Damaged { file: String, offset: u64, what: &'static str },
    /// A newer program wrote this.
    Newer { found: u32, known: u32 },
}

impl Fault {
    /// A refusal of the operating system; lack of room is told apart.
    pub(super) fn io(file: &str, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { file: file.to_owned(), error },
        }
    }

    /// As [`Fault::io`] for a read, where a file that is missing or too short is damage.
    pub(super) fn read(file: &str, offset: u64, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::damaged(file, 0, "the file is missing"),
            io::ErrorKind::UnexpectedEof => Self::damaged(file, offset, "the file is too short"),
            _ => Self::io(file, error),
        }
    }

    pub(super) fn damaged(file: &str, offset: u64, what: &'static str) -> Self {
        Self::Damaged { file: file.to_owned(), offset, what }
    }

    /// As the opener is told.
    pub(super) fn into_open_error(self, store: &Path) -> OpenError {
        let path = store.to_path_buf();
        match self {
            Self::Full => OpenError::Full { path },
            Self::Damaged { file, offset, what } => OpenError::Damaged { file: path.join(file), offset, what },
            Self::Newer { found, known } => OpenError::NewerVersion { path, found, known },
            Self::Io { file, error } => {
                let path = if file.is_empty() { path } else { path.join(file) };
                match error.kind() {
                    io::ErrorKind::PermissionDenied => OpenError::Permission { path },
                    io::ErrorKind::ReadOnlyFilesystem => OpenError::ReadOnly { path },
                    io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => OpenError::NotADirectory { path },
                    io::ErrorKind::NotFound => OpenError::Missing { path },
                    io::ErrorKind::WouldBlock => OpenError::Locked { path: store.to_path_buf() },
                    _ => OpenError::Io { path, error },
                }
            }
        }
    }

    /// As the reader or writer is told.
    pub(super) fn to_storage_error(&self) -> StorageError {
        match self {
            Self::Full => StorageError::Full,
            Self::Io { file, error } => StorageError::Broken(format!("{file}: {error}; check the disk and reopen")),
            Self::Damaged { file, offset, what } => StorageError::Damaged(format!(
                "{file} is damaged at byte {offset} ({what}); repair the store (`corestore verify --repair`) or restore it \
                 from a backup"
            )),
            Self::Newer { found, known } => {
                StorageError::Broken(format!("format {found} is newer than {known}; use a newer program"))
            }
        }
    }
}
