//! Why a store did not open.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a store did not open. Each text is one sentence that names the culprit and says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another part of this one, has the store open.
    Locked {
        /// The store.
        path: PathBuf,
    },
    /// Something that is no directory is in the way.
    NotADirectory {
        /// What is in the way.
        path: PathBuf,
    },
    /// There is no store, and none may be made.
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The user of this process may not read or write there.
    Permission {
        /// The file or directory.
        path: PathBuf,
    },
    /// The disk cannot be written to.
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// A newer program made the store.
    NewerVersion {
        /// The store.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// Bytes are not what was written.
    Damaged {
        /// The file.
        file: PathBuf,
        /// The first byte that is in doubt.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// No room to begin.
    Full {
        /// The store.
        path: PathBuf,
    },
    /// The operating system refused for another reason.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Its words.
        error: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { path } => {
                write!(f, "the store {} is in use: close the other program or choose another directory", path.display())
            }
            Self::NotADirectory { path } => {
                write!(f, "{} is not a directory: choose another place for the store", path.display())
            }
            Self::Missing { path } => {
                write!(f, "there is no store at {}: check the path, or open it for writing to make one", path.display())
            }
            Self::Permission { path } => {
                write!(f, "no permission for {}: let this user read and write it", path.display())
            }
            Self::ReadOnly { path } => {
                write!(f, "{} is on a read-only disk: open the store read-only or choose another", path.display())
            }
            Self::NewerVersion { path, found, known } => write!(
                f,
                "the store {} has format {found} and this program knows up to {known}: use a newer program",
                path.display()
            ),
            Self::Damaged { file, offset, what } => write!(
                f,
                "{} is damaged at byte {offset} ({what}): restore the store from a backup, or open it accepting the \
                 loss of what was written from there on",
                file.display()
            ),
            Self::Full { path } => write!(f, "no room left for the store {}: free some space", path.display()),
            Self::Io { path, error } => write!(f, "{} cannot be used ({error}): check the disk", path.display()),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
