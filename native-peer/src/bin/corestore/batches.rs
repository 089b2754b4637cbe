//! Many blocks in batches of a decent size.

use crate::failure::Failure;
use bytes::Bytes;
use corestore_peer::Hypercore;

/// Appends `blocks` in order, in as few batches as memory allows.
pub(crate) async fn append_all(core: &Hypercore, blocks: Vec<Bytes>) -> Result<(), Failure> {
    let mut batch = Vec::new();
    let mut bytes = 0_usize;
    for block in blocks {
        bytes = bytes.saturating_add(block.len());
        batch.push(block);
        if bytes >= BATCH_BYTES || batch.len() >= BATCH_BLOCKS {
            core.append_batch(std::mem::take(&mut batch)).await?;
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        core.append_batch(batch).await?;
    }
    Ok(())
}

const BATCH_BYTES: usize = 8 << 20;
const BATCH_BLOCKS: usize = 512;
