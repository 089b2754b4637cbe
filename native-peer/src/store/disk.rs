//! The narrow seam to the disk: names, files, syncing. A test puts a disk of its own here that fills up, loses writes
//! or stops at any step.

use super::log::segment::Kind;
use super::options::StoreOptions;
use super::units::len64;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a store's files live. Names have the form `file` or `folder/file`.
pub trait Disk: Debug + Send + Sync {
    /// The files of a folder and their sizes in bytes; none when there is no such folder.
    ///
    /// # Errors
    /// Those of the operating system.
    fn list(&self, folder: &str) -> io::Result<BTreeMap<String, u64>>;

    /// A new, empty file in place of any old one; makes its folder.
    ///
    /// # Errors
    /// Those of the operating system.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// An existing file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] and others of the operating system.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the operating system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names in a folder survive a power cut.
    ///
    /// # Errors
    /// Those of the operating system.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;
}

/// One file.
pub trait DiskFile: Debug + Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// Those of the operating system.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the file ends before, and others of the operating system.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// The `length` bytes at `offset`, in memory of their own.
    ///
    /// # Errors
    /// As [`DiskFile::read_at`].
    fn read_new(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes `parts` one after the other from `offset` on; a failure may leave some of the bytes written.
    ///
    /// # Errors
    /// Those of the operating system.
    fn write_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Asks for room on the disk up to byte `end`, past the file's own end, which stays as it is. Only a hint.
    fn reserve(&self, _end: u64) {}

    /// Cuts the file, and gives back what was reserved past its new end.
    ///
    /// # Errors
    /// Those of the operating system.
    fn set_size(&self, size: u64) -> io::Result<()>;

    /// Makes what was written survive a power cut.
    ///
    /// # Errors
    /// Those of the operating system.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of the file system, locked for its owner.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    read_only: bool,
    _lock: Option<File>,
}

impl Directory {
    /// Makes the directory where needed and allowed, and takes its lock: alone to write, shared to read.
    pub(super) fn open(path: &Path, options: &StoreOptions) -> io::Result<Self> {
        let read_only = options.read_only;
        if options.must_exist {
            fs::metadata(path.join(Kind::Log.folder()))?;
        }
        if read_only {
            if !fs::metadata(path)?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
        } else {
            fs::create_dir_all(path)?;
        }
        let lock = lock(&path.join(LOCK), read_only)?;
        Ok(Self { path: path.to_path_buf(), read_only, _lock: lock })
    }

    /// The directory whoever has it open; nothing of it may be written then.
    pub(super) fn unlocked(path: &Path) -> Self {
        Self { path: path.to_path_buf(), read_only: false, _lock: None }
    }
}

/// A reader takes a shared lock where there is a lock file; a copied store may have none.
fn lock(path: &Path, read_only: bool) -> io::Result<Option<File>> {
    let opened = if read_only {
        File::open(path)
    } else {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    };
    let file = match opened {
        Ok(file) => file,
        Err(error) if read_only && error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let locked = if read_only { file.try_lock_shared() } else { file.try_lock() };
    match locked {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Disk for Directory {
    fn list(&self, folder: &str) -> io::Result<BTreeMap<String, u64>> {
        let entries = match fs::read_dir(self.path.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let sized = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            let size = match entry.metadata() {
                Ok(metadata) => metadata.len(),
                // Removed between the two calls.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            Ok(Some((entry.file_name().to_string_lossy().into_owned(), size)))
        };
        entries.filter_map(|entry| sized(entry).transpose()).collect()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(PlainFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(!self.read_only).open(self.path.join(name))?;
        leave_access_time(&file);
        Ok(Arc::new(PlainFile(file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        File::open(self.path.join(folder))?.sync_all()
    }
}

/// Nobody asks when a store's file was read last, and the system looks at that with each read. Another user's file it
/// notes all the same.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn leave_access_time(file: &File) {
    if let Ok(flags) = rustix::fs::fcntl_getfl(file) {
        let _ = rustix::fs::fcntl_setfl(file, flags | rustix::fs::OFlags::NOATIME);
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn leave_access_time(_: &File) {}

#[derive(Debug)]
struct PlainFile(File);

impl DiskFile for PlainFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    /// Memory that is read into needs no zeros first.
    fn read_new(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = offset.saturating_add(len64(bytes.len()));
            match rustix::io::pread(&self.0, spare_capacity(&mut bytes), at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    fn write_at(&self, offset: u64, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        if let [part] = parts {
            return self.0.write_all_at(part, offset);
        }
        let mut file = &self.0;
        file.seek(SeekFrom::Start(offset))?;
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match file.write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut parts, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn reserve(&self, end: u64) {
        let Ok(size) = self.size() else { return };
        if let Some(more) = end.checked_sub(size).filter(|more| *more > 0) {
            // A file system that cannot, or a full disk, is met by the write itself.
            let _ = rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::KEEP_SIZE, size, more);
        }
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

const LOCK: &str = "lock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_anew_is_what_is_read_into_place() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Directory::open(folder.path(), &StoreOptions::default()).unwrap();
        let file = disk.create("log/1").unwrap();
        let bytes: Vec<u8> = (0..100_000).map(|at: u32| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
        file.write_at(0, &mut [IoSlice::new(&bytes)]).unwrap();
        for (offset, length) in [(0, 0), (0, 1), (3, 10), (5, 70_000), (0, 100_000), (100_000, 0)] {
            let from = usize::try_from(offset).unwrap();
            assert_eq!(file.read_new(offset, length).unwrap(), bytes[from..from + length]);
        }
        for (offset, length) in [(0, 100_001), (99_999, 2), (100_000, 1), (1 << 40, 1)] {
            assert_eq!(file.read_new(offset, length).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
