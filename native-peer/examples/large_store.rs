//! What a large store costs to open, and what clearing gives back. Run `make`, then `open` in a process of its own.
//!
//! `large_store make DIRECTORY [GIB]`: a core of 64 KiB blocks, 50 GiB unless told otherwise. Everything but blocks is
//! really written; of blocks only the first 64 MiB, where the rest would be the files have holes.
//! `large_store open DIRECTORY`: time until the store, its core and block 0 are there, and this process's memory.
//! `large_store space DIRECTORY`: files' bytes after appending 256 MiB, and after clearing a part and all of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a tool may fail loudly"
)]

use bytes::Bytes;
use corestore_peer::store::disk::{Disk, DiskFile};
use corestore_peer::store::{FileStore, StoreOptions};
use corestore_peer::{CoreOptions, Corestore, Options};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const BLOCK: usize = 64 << 10;
const BATCH: usize = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", directory] => make(Path::new(directory), 50).await,
        ["make", directory, gib] => make(Path::new(directory), gib.parse().expect("a number")).await,
        ["open", directory] => open(Path::new(directory)).await,
        ["space", directory] => space(Path::new(directory)).await,
        _ => panic!("make DIRECTORY [GIB], open DIRECTORY or space DIRECTORY"),
    }
}

async fn make(directory: &Path, gib: usize) {
    fs::create_dir_all(directory).unwrap();
    let disk = Arc::new(Hollow(directory.to_path_buf()));
    let files = FileStore::open_on(disk, &StoreOptions::default()).unwrap();
    let store = Corestore::over_files(files, &Options::default()).unwrap();
    let core = store.get("large").await.unwrap();
    let block = Bytes::from(vec![7; BLOCK]);
    for _ in 0..(gib << 30) / BLOCK / BATCH {
        core.append_batch(vec![block.clone(); BATCH]).await.unwrap();
    }
    println!("{} blocks, {} bytes; {}", core.length(), core.byte_length(), memory());
    store.close().await.unwrap();
}

async fn open(directory: &Path) {
    let started = Instant::now();
    let store = Corestore::open(directory, Options::default()).await.unwrap();
    let opened = started.elapsed();
    let core = store.get(CoreOptions::name("large").must_exist()).await.unwrap();
    assert_eq!(core.get(0).await.unwrap().len(), BLOCK);
    let (read, length) = (started.elapsed(), core.length());
    println!("store open after {opened:?}, block 0 of {length} read after {read:?}; {}", memory());
    store.close().await.unwrap();
}

async fn space(directory: &Path) {
    let store = Corestore::open(directory, Options::default()).await.unwrap();
    let core = store.get("large").await.unwrap();
    let mut seed = 1_u64;
    for _ in 0..(256 << 20) / BLOCK / BATCH {
        seed += 1;
        let bytes: Vec<u8> = seed.to_le_bytes().into_iter().cycle().take(BLOCK).collect();
        core.append_batch(vec![Bytes::from(bytes); BATCH]).await.unwrap();
    }
    let length = core.length();
    store.close().await.unwrap();
    tell(directory, "appended");
    for (what, kept) in [("all but each fourth cleared", 4), ("all cleared", u64::MAX)] {
        let store = Corestore::open(directory, Options::default()).await.unwrap();
        let core = store.get("large").await.unwrap();
        for index in (0..length).filter(|index| !(index + 1).is_multiple_of(kept)) {
            core.clear(index..index + 1).await.unwrap();
        }
        store.close().await.unwrap();
        tell(directory, what);
        reclaim(directory);
    }
    let store = Corestore::open(directory, Options::default()).await.unwrap();
    store.get("large").await.unwrap().purge().await.unwrap();
    store.close().await.unwrap();
    tell(directory, "purged");
    reclaim(directory);
}

fn reclaim(directory: &Path) {
    FileStore::open(directory, &StoreOptions::default()).unwrap().reclaim().unwrap();
    tell(directory, "and reclaimed");
}

fn tell(directory: &Path, what: &str) {
    let stats = FileStore::open(directory, &StoreOptions::default()).unwrap().stats().unwrap();
    println!(
        "{what}: log {} bytes, of which {} live; index {}",
        stats.log_bytes, stats.live_log_bytes, stats.tree_bytes
    );
}

/// This process's memory now and at its most, as Linux counts it.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}

/// A directory where blocks past the first segment become holes.
#[derive(Debug)]
struct Hollow(PathBuf);

#[derive(Debug)]
struct HollowFile {
    file: File,
    hollow: bool,
}

impl Hollow {
    fn file(&self, name: &str, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.0.join(name);
        if let Some(folder) = path.parent().filter(|_| create) {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().read(true).write(true).create(create).truncate(create).open(path)?;
        Ok(Arc::new(HollowFile { file, hollow: name.starts_with("log/") && name != "log/00000001" }))
    }
}

impl Disk for Hollow {
    fn list(&self, folder: &str) -> io::Result<BTreeMap<String, u64>> {
        let entries = fs::read_dir(self.0.join(folder)).into_iter().flatten();
        let sized = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()))
        };
        entries.map(sized).collect()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.file(name, true)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.file(name, false)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        File::open(self.0.join(folder))?.sync_all()
    }
}

impl DiskFile for HollowFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_at(&self, mut offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        for part in parts {
            if !self.hollow || part.len() != BLOCK {
                self.file.write_all_at(part, offset)?;
            }
            offset += u64::try_from(part.len()).unwrap();
        }
        // Only an append ends further on.
        if offset > self.size()? { self.file.set_len(offset) } else { Ok(()) }
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
