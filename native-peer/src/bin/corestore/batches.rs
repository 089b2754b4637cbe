//! Many blocks in batches of a decent size.

use crate::failure::Failure;
use bytes::Bytes;
use corestore_peer::Hypercore;

/// Gathers blocks for one core and appends them in as few batches as memory allows.
#[derive(Debug)]
pub(crate) struct Batches<'a> {
    core: &'a Hypercore,
    batch: Vec<Bytes>,
    bytes: usize,
}

impl<'a> Batches<'a> {
    pub(crate) fn new(core: &'a Hypercore) -> Self {
        Self { core, batch: Vec::new(), bytes: 0 }
    }

    pub(crate) async fn push(&mut self, block: Bytes) -> Result<(), Failure> {
        self.bytes = self.bytes.saturating_add(block.len());
        self.batch.push(block);
        if self.bytes >= BATCH_BYTES || self.batch.len() >= BATCH_BLOCKS {
            self.flush().await?;
        }
        Ok(())
    }

    /// Appends what is left.
    pub(crate) async fn finish(mut self) -> Result<(), Failure> {
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() {
            self.core.append_batch(batch).await?;
            // An append never waits, so a signal would not be seen before the last one.
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

const BATCH_BYTES: usize = 8 << 20;
const BATCH_BLOCKS: usize = 512;
