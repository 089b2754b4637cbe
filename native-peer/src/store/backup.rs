//! Backups: a store's files in another directory, taken while its owner goes on writing.
//!
//! What a checkpoint refers to never changes, and what the log holds past it only grows: the files are taken in that
//! order, without the owner's lock. Files that the owner removes meanwhile make for another attempt, which takes what is
//! missing only.

use super::check::CheckReport;
use super::disk::{Directory, Disk};
use super::error::OpenError;
use super::fault::Fault;
use super::file_store::FileStore;
use super::index::checkpoint::{self, Checkpoint};
use super::index::head;
use super::log::segment::{self, Kind};
use super::options::StoreOptions;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a backup gets files that never change again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackupFiles {
    /// All bytes are copied.
    #[default]
    Copied,
    /// As hard links where the file system can: at once and without room, but damage to one is damage to both.
    Linked,
}

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Files that share their bytes with the store's.
    pub linked_files: u64,
    /// Bytes that were copied.
    pub copied_bytes: u64,
    /// What reading all of the backup found: damage there was in the store before.
    pub report: CheckReport,
}

/// Why a backup was not made.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackupError {
    /// The store cannot be read.
    Store(OpenError),
    /// The backup cannot be written.
    Backup(OpenError),
    /// Something is there already.
    NotEmpty {
        /// Where the backup should go.
        path: PathBuf,
    },
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) | Self::Backup(error) => error.fmt(f),
            Self::NotEmpty { path } => {
                write!(f, "{} is not empty: choose a new directory for the backup", path.display())
            }
        }
    }
}

impl std::error::Error for BackupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) | Self::Backup(error) => Some(error),
            Self::NotEmpty { .. } => None,
        }
    }
}

/// Makes a backup of the store in directory `from` in the new or empty directory `to`, whoever has the store open. It
/// holds every batch that was acknowledged before, maybe some of those since, and none in part; it is read to its end
/// and synced before this returns.
///
/// # Errors
/// [`BackupError`]; what is in `to` then is no backup.
pub fn backup(from: &Path, to: &Path, files: BackupFiles) -> Result<Backup, BackupError> {
    let source = Directory::unlocked(from);
    let logs = segment::list(&source, Kind::Log).map_err(|fault| BackupError::Store(fault.into_open_error(from)))?;
    if logs.is_empty() {
        return Err(BackupError::Store(OpenError::Missing { path: from.to_path_buf() }));
    }
    let failed = |error: io::Error| BackupError::Backup(Fault::io("", error).into_open_error(to));
    fs::create_dir_all(to).map_err(failed)?;
    if fs::read_dir(to).map_err(failed)?.next().is_some() {
        return Err(BackupError::NotEmpty { path: to.to_path_buf() });
    }
    let mut taking = Taking { from, to, source: Arc::new(source), files, linked: BTreeSet::new(), copied_bytes: 0 };
    let mut store = taking.try_often()?;
    let told = |error: corestore_core::storage::StorageError| failed(io::Error::other(error.to_string()));
    let report = store.check().map_err(told)?;
    store.close().map_err(told)?;
    sync_all(to).map_err(failed)?;
    let linked_files = super::units::len64(taking.linked.len());
    Ok(Backup { linked_files, copied_bytes: taking.copied_bytes, report })
}

struct Taking<'a> {
    from: &'a Path,
    to: &'a Path,
    source: Arc<dyn Disk>,
    files: BackupFiles,
    linked: BTreeSet<String>,
    copied_bytes: u64,
}

impl Taking<'_> {
    /// The backup, open for writing, so that a batch that was being written is cut off.
    fn try_often(&mut self) -> Result<FileStore, BackupError> {
        let mut attempt = 1;
        loop {
            let again = attempt < ATTEMPTS;
            attempt = attempt.saturating_add(1);
            match self.take() {
                Ok(()) => {}
                Err(Failed::Store(Fault::Damaged { .. })) if again => continue,
                Err(Failed::Store(fault)) => return Err(BackupError::Store(fault.into_open_error(self.from))),
                Err(Failed::Backup(fault)) => return Err(BackupError::Backup(fault.into_open_error(self.to))),
            }
            match FileStore::open(self.to, &StoreOptions::default()) {
                Ok(store) => return Ok(store),
                Err(OpenError::Damaged { .. }) if again => {}
                Err(OpenError::Damaged { file, offset, what }) => {
                    let file = file.strip_prefix(self.to).map_or_else(|_| file.clone(), |name| self.from.join(name));
                    return Err(BackupError::Store(OpenError::Damaged { file, offset, what }));
                }
                Err(error) => return Err(BackupError::Backup(error)),
            }
        }
    }

    /// Takes what the newest checkpoint needs, then the log after it.
    fn take(&mut self) -> Result<(), Failed> {
        let base = checkpoint::find(&self.source).map_err(Failed::Store)?;
        self.forget(&base)?;
        let ends =
            [(Kind::Tree, &base.usage.tree, base.tree_end.segment), (Kind::Log, &base.usage.log, base.log.segment)];
        for (kind, live, end) in ends {
            for number in live.keys().filter(|number| **number < end) {
                self.sealed(&kind.name(*number))?;
            }
        }
        if base.tree_end.segment > 0 {
            self.copy(&Kind::Tree.name(base.tree_end.segment), base.tree_end.offset)?;
        }
        // The sizes are taken before the bytes: what follows a size is none of this backup's.
        let sizes = segment::list(self.source.as_ref(), Kind::Log).map_err(Failed::Store)?;
        for (number, size) in sizes.range(base.log.segment..) {
            self.copy(&Kind::Log.name(*number), *size)?;
        }
        let target = Directory::unlocked(self.to);
        base.place.map_or(Ok(()), |place| head::write(&target, base.number, place)).map_err(Failed::Backup)
    }

    /// Removes what an attempt before took and this checkpoint does not need.
    fn forget(&self, base: &Checkpoint) -> Result<(), Failed> {
        let target = Directory::unlocked(self.to);
        for (kind, live, end) in
            [(Kind::Tree, &base.usage.tree, base.tree_end.segment), (Kind::Log, &base.usage.log, base.log.segment)]
        {
            let taken: BTreeMap<u32, u64> = segment::list(&target, kind).map_err(Failed::Backup)?;
            for number in taken.into_keys().filter(|number| *number >= end || !live.contains_key(number)) {
                let name = kind.name(number);
                target.remove(&name).map_err(|error| Failed::Backup(Fault::io(&name, error)))?;
            }
        }
        Ok(())
    }

    /// A file that never changes again.
    fn sealed(&mut self, name: &str) -> Result<(), Failed> {
        let (from, to) = (self.from.join(name), self.to.join(name));
        let size = fs::metadata(&from).map_err(|error| Failed::Store(Fault::read(name, 0, error)))?.len();
        if fs::metadata(&to).is_ok_and(|taken| taken.len() == size) {
            return Ok(());
        }
        if self.files == BackupFiles::Linked {
            self.make_folder(&to)?;
            if fs::hard_link(&from, &to).is_ok() {
                self.linked.insert(name.to_owned());
                return Ok(());
            }
        }
        self.copy(name, size)
    }

    /// The first `size` bytes of a file.
    fn copy(&mut self, name: &str, size: u64) -> Result<(), Failed> {
        let to = self.to.join(name);
        self.make_folder(&to)?;
        let file = File::open(self.from.join(name)).map_err(|error| Failed::Store(Fault::read(name, 0, error)))?;
        let mut copy = File::create(&to).map_err(|error| Failed::Backup(Fault::io(name, error)))?;
        let copied =
            io::copy(&mut file.take(size), &mut copy).map_err(|error| Failed::Backup(Fault::io(name, error)))?;
        self.copied_bytes = self.copied_bytes.saturating_add(copied);
        if copied == size { Ok(()) } else { Err(Failed::Store(Fault::damaged(name, copied, "the file is too short"))) }
    }

    fn make_folder(&self, file: &Path) -> Result<(), Failed> {
        let folder = file.parent().unwrap_or(self.to);
        fs::create_dir_all(folder).map_err(|error| Failed::Backup(Fault::io("", error)))
    }
}

enum Failed {
    Store(Fault),
    Backup(Fault),
}

/// Makes everything in a directory survive a power cut, its name too.
fn sync_all(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { sync_all(&path)? } else { File::open(&path)?.sync_all()? }
    }
    File::open(directory)?.sync_all()?;
    match directory.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// How often files may go away while they are taken.
const ATTEMPTS: u32 = 32;
