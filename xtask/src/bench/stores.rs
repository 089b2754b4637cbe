//! Where a run keeps its stores: a folder of its own, and cores made once that several workloads start from.

use super::job::{Job, Side, text};
use crate::project;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The run's folder, removed with it.
pub(crate) struct Stores {
    folder: PathBuf,
    made: BTreeMap<(Side, u64, u64), Stored>,
    many: BTreeMap<(Side, u64), (PathBuf, PathBuf)>,
    last: u64,
}

/// A core at rest, named `log`.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) storage: PathBuf,
    pub(crate) key: String,
    pub(crate) tree_hash: String,
}

impl Stores {
    /// On the disk the project lies on.
    pub(crate) fn new() -> Result<Self, String> {
        // Two runs at once measure little, but must not remove each other's stores.
        let folder = project::path("target/bench").join(std::process::id().to_string());
        project::remove_folder(&folder)?;
        std::fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        Ok(Self { folder, made: BTreeMap::new(), many: BTreeMap::new(), last: 0 })
    }

    /// A path nobody used yet.
    pub(crate) fn fresh(&mut self) -> PathBuf {
        self.last += 1;
        self.folder.join(self.last.to_string())
    }

    /// A core of so many blocks of so many bytes.
    pub(crate) fn core(&mut self, side: Side, blocks: u64, size: u64) -> Result<Stored, String> {
        if let Some(stored) = self.made.get(&(side, blocks, size)) {
            return Ok(stored.clone());
        }
        let storage = self.fresh();
        let flags = [
            ("storage", shown(&storage)),
            ("blocks", blocks.to_string()),
            ("block-size", size.to_string()),
            ("batch", (1000 * 1024 / size.max(1024)).to_string()),
        ];
        let made = Job::run(side, "append", &flags)?;
        let stored = Stored { storage, key: text(&made.ready, "key")?, tree_hash: text(&made.result, "treeHash")? };
        self.made.insert((side, blocks, size), stored.clone());
        Ok(stored)
    }

    /// A copy of such a core, to be changed.
    pub(crate) fn copy(&mut self, side: Side, blocks: u64, size: u64) -> Result<Stored, String> {
        let stored = self.core(side, blocks, size)?;
        let storage = self.fresh();
        project::copy_folder(&stored.storage, &storage, &[])?;
        Ok(Stored { storage, ..stored })
    }

    /// A store of so many named cores with a block each, and the file with their keys.
    pub(crate) fn many(&mut self, side: Side, cores: u64, size: u64) -> Result<(PathBuf, PathBuf), String> {
        if let Some(made) = self.many.get(&(side, cores)) {
            return Ok(made.clone());
        }
        let (storage, keys) = (self.fresh(), self.fresh());
        let flags = [
            ("storage", shown(&storage)),
            ("cores", cores.to_string()),
            ("block-size", size.to_string()),
            ("mode", "create".to_owned()),
            ("out", shown(&keys)),
        ];
        Job::run(side, "many", &flags)?;
        self.many.insert((side, cores), (storage.clone(), keys.clone()));
        Ok((storage, keys))
    }

    /// Gives back the room of a store nobody needs any more.
    pub(crate) fn drop_store(&self, storage: &Path) {
        // What cannot be removed now goes with the folder.
        drop(project::remove_folder(storage));
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        drop(project::remove_folder(&self.folder));
    }
}

/// A path as an argument.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}
