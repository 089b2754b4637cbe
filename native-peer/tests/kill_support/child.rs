//! The processes that are killed: this test's own program, told by its environment what to be. Each line a child says
//! is whole and begins with [`MARK`].

use super::model::{Change, block};
use crate::store_support::Dice;
use crate::store_support::losing::LosingDisk;
use corestore_peer::store::{DurabilityLevel, FileStore, StoreOptions};
use corestore_peer::{Corestore, Hypercore, Options, keys};
use std::path::Path;
use std::sync::Arc;

/// What a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Appends, truncates and clears, and serves.
    Writer,
    /// Downloads everything.
    Reader,
}

/// What of a child survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// All that the system was given.
    Process,
    /// What was synced; the writer acknowledges at the power level.
    Power,
}

pub const MARK: &str = "peer: ";
pub const ROLE: &str = "CORESTORE_KILLED_PEER";

/// Small files, so that segments roll, checkpoints run and blocks move all the time.
pub fn options(level: Level) -> StoreOptions {
    let mut options = StoreOptions::default();
    options.log_segment_bytes = 256 << 10;
    options.tree_segment_bytes = 64 << 10;
    options.dirty_bytes = 32 << 10;
    if level == Level::Power {
        options.durability = DurabilityLevel::Power;
    }
    options
}

/// The environment of a child, in one word.
pub fn role(kind: Kind, level: Level, seed: u64, port: u16, key: &str, folder: &Path) -> String {
    format!("{kind:?} {level:?} {seed} {port} {key} {}", folder.display())
}

/// Runs until it is killed, or far longer than a round lasts.
pub async fn run(role: &str) {
    let mut words = role.splitn(6, ' ');
    let mut word = || words.next().unwrap();
    let (kind, level, seed) = (word(), word(), word().parse().unwrap());
    let level = if level == "Power" { Level::Power } else { Level::Process };
    let (port, key, folder) = (word(), word(), Path::new(word()));
    let files = match level {
        Level::Process => FileStore::open(folder, &options(level)),
        Level::Power => FileStore::open_on(Arc::new(LosingDisk::new(folder, seed).unwrap()), &options(level)),
    };
    let store = Corestore::over_files(files.unwrap(), &Options::default()).unwrap();
    if kind == "Writer" { write(&store, seed).await } else { read(&store, key, port).await }
}

async fn write(store: &Corestore, seed: u64) {
    let core = store.get("log").await.unwrap();
    let listener = store.listen_tcp("127.0.0.1:0").await.unwrap();
    println!("{MARK}open {} {}", core.key(), listener.local_addr().port());
    let mut dice = Dice(seed);
    for _ in 0..200_000 {
        let change = Change::random(&mut dice, core.length());
        println!("{MARK}try {change}");
        apply(&core, change).await;
        println!("{MARK}done");
    }
}

async fn apply(core: &Hypercore, change: Change) {
    match change {
        Change::Append { count, seed } => {
            let blocks = (0..count).map(|at| block(seed.wrapping_add(at)));
            core.append_batch(blocks).await.map(drop)
        }
        Change::Truncate { length } => core.truncate(length).await,
        Change::Clear { start, end } => core.clear(start..end).await,
    }
    .unwrap();
}

async fn read(store: &Corestore, key: &str, port: &str) {
    let core = store.get(keys::parse(key).map(corestore_peer::CoreKey).unwrap()).await.unwrap();
    println!("{MARK}open {} 0", core.key());
    let _connection = store.connect_tcp(format!("127.0.0.1:{port}")).await.unwrap();
    let _download = core.download(..);
    for _ in 0..20_000 {
        println!("{MARK}have {}", core.contiguous_length());
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
