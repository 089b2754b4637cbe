//! A directory that lies about writing: what was not synced is held in this process's memory and goes with it, as with
//! a power cut. Now and then a write reaches the disk early, before others that were written first.

use super::{Dice, folder_of};
use corestore_peer::store::disk::{Disk, DiskFile};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

#[derive(Debug)]
pub struct LosingDisk {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    files: BTreeMap<String, Arc<LosingFile>>,
    /// Names that were made (with the path of their bytes) or removed since their folder was synced.
    pending: Vec<(String, Option<PathBuf>)>,
    dice: Dice,
    made: u64,
}

#[derive(Debug)]
struct LosingFile(Mutex<Held>);

#[derive(Debug)]
struct Held {
    /// Where the bytes that survive are.
    file: File,
    bytes: Vec<u8>,
    unsynced: Vec<Change>,
    dice: Dice,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Size(u64),
}

impl LosingDisk {
    pub fn new(root: &Path, seed: u64) -> io::Result<Self> {
        // Files whose names were never synced.
        drop(fs::remove_dir_all(root.join(UNNAMED)));
        fs::create_dir_all(root.join(UNNAMED))?;
        let state = State { files: BTreeMap::new(), pending: Vec::new(), dice: Dice(seed), made: 0 };
        Ok(Self { root: root.to_path_buf(), state: Mutex::new(state) })
    }
}

impl State {
    fn hold(&mut self, name: &str, path: &Path) -> io::Result<Arc<LosingFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let dice = Dice(self.dice.below(u64::MAX));
        let held = Held { file, bytes: fs::read(path)?, unsynced: Vec::new(), dice };
        let file = Arc::new(LosingFile(Mutex::new(held)));
        self.files.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn removed(&self, name: &str) -> bool {
        self.pending.iter().rev().find(|(pending, _)| pending == name).is_some_and(|(_, made)| made.is_none())
    }
}

impl Disk for LosingDisk {
    fn list(&self, folder: &str) -> io::Result<BTreeMap<String, u64>> {
        let state = self.state.lock().unwrap();
        let mut sizes = BTreeMap::new();
        for entry in fs::read_dir(self.root.join(folder)).into_iter().flatten() {
            let entry = entry?;
            sizes.insert(entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len());
        }
        for (name, file) in &state.files {
            if let Some(name) = name.strip_prefix(&format!("{folder}/")) {
                sizes.insert(name.to_owned(), file.size()?);
            }
        }
        sizes.retain(|name, _| !state.removed(&format!("{folder}/{name}")));
        Ok(sizes)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock().unwrap();
        state.made += 1;
        let path = self.root.join(UNNAMED).join(state.made.to_string());
        state.pending.push((name.to_owned(), Some(path.clone())));
        Ok(state.hold(name, &path)?)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock().unwrap();
        if let Some(file) = state.files.get(name) {
            return Ok(Arc::clone(file) as Arc<dyn DiskFile>);
        }
        let path = self.root.join(name);
        if state.removed(name) || !path.exists() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(state.hold(name, &path)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let held = state.files.remove(name).is_some();
        if !held && (state.removed(name) || !self.root.join(name).exists()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.pending.push((name.to_owned(), None));
        Ok(())
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        fs::create_dir_all(self.root.join(folder))?;
        let (due, later) =
            std::mem::take(&mut state.pending).into_iter().partition(|(name, _)| folder_of(name) == folder);
        state.pending = later;
        let due: Vec<(String, Option<PathBuf>)> = due;
        for (name, made) in due {
            match made {
                Some(path) => fs::rename(path, self.root.join(name))?,
                // One that was made and removed in between is not there.
                None => drop(fs::remove_file(self.root.join(name))),
            }
        }
        Ok(())
    }
}

impl DiskFile for LosingFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let held = self.0.lock().unwrap();
        let from = offset as usize;
        buffer.copy_from_slice(held.bytes.get(from..from + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut held = self.0.lock().unwrap();
        let (from, end) = (offset as usize, offset as usize + all.len());
        let length = held.bytes.len().max(end);
        held.bytes.resize(length, 0);
        held.bytes[from..end].copy_from_slice(&all);
        if held.dice.below(5) == 0 {
            // A disk writes whole sectors, with what else was written into them before.
            let (from, end) = (from / SECTOR_BYTES * SECTOR_BYTES, end.next_multiple_of(SECTOR_BYTES).min(length));
            held.file.write_all_at(&held.bytes[from..end], from as u64)?;
        }
        held.unsynced.push(Change::Write(offset, all));
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut held = self.0.lock().unwrap();
        held.bytes.resize(size as usize, 0);
        held.unsynced.push(Change::Size(size));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut held = self.0.lock().unwrap();
        for change in std::mem::take(&mut held.unsynced) {
            match change {
                Change::Write(offset, bytes) => held.file.write_all_at(&bytes, offset)?,
                Change::Size(size) => held.file.set_len(size)?,
            }
        }
        Ok(())
    }
}

const SECTOR_BYTES: usize = 512;
const UNNAMED: &str = "unnamed";
