//! A core larger than the disk should hold: its blocks are made anew whenever they are read, its tree is stored.

use crate::data::block;
use crate::job::Failure;
use bytes::Bytes;
use corestore_core::storage::{ReadBatch, ReadReply, StorageError, StorageOp, StorageReply, Store, WriteOp};
use corestore_peer::store::{FileStore, StoreOptions};
use corestore_peer::{Corestore, Hypercore, Options};
use std::path::Path;

/// A store that keeps everything but the bytes of blocks.
struct Simulated {
    store: FileStore,
    /// Bytes of each block.
    size: usize,
}

impl Store for Simulated {
    fn execute(&mut self, op: StorageOp) -> Result<StorageReply, StorageError> {
        match op {
            StorageOp::Read(batch) => {
                let wanted = batch.blocks.clone();
                let reply = self.store.execute(StorageOp::Read(ReadBatch { ..batch }))?;
                let StorageReply::Read(ReadReply { records, nodes, blocks }) = reply else { return Ok(reply) };
                let made = |index| Bytes::from(block(index, self.size));
                let blocks = wanted.into_iter().zip(blocks);
                let blocks = blocks.map(|((_, index), found)| found.map(|_| made(index))).collect();
                Ok(StorageReply::Read(ReadReply { records, nodes, blocks }))
            }
            StorageOp::Write(mut batch) => {
                for op in &mut batch.ops {
                    if let WriteOp::PutBlocks { blocks, .. } = op {
                        blocks.fill(Bytes::new());
                    }
                }
                self.store.execute(StorageOp::Write(batch))
            }
            scan @ StorageOp::Scan(_) => self.store.execute(scan),
        }
    }
}

/// A store in `folder` whose core `log` has `length` blocks of `size` bytes.
pub(crate) async fn open(folder: &Path, length: u64, size: usize) -> Result<(Corestore, Hypercore), Failure> {
    let store = Simulated { store: FileStore::open(folder, &StoreOptions::default())?, size };
    let store = Corestore::with_store(Box::new(store), &Options::default())?;
    let core = store.get("log").await?;
    while core.length() < length {
        let start = core.length();
        core.append_batch((start..length.min(start.saturating_add(BATCH))).map(|index| block(index, size))).await?;
    }
    Ok((store, core))
}

/// Blocks in one append.
const BATCH: u64 = 64;
