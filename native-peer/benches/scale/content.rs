//! Blocks that everybody can make and check.

use bytes::Bytes;
use corestore_core::crypto::{Hash, blake2b};
use corestore_peer::Hypercore;

/// Block `number`, of 64 KiB.
pub(crate) fn block(number: u64) -> Bytes {
    let seed = blake2b(&[&number.to_le_bytes()]).0;
    let part = |index: u32| blake2b(&[&seed, &index.to_le_bytes()]).0;
    (0..2048).flat_map(part).collect()
}

/// The hash of so many blocks as they were written.
pub(crate) fn digest(blocks: u64) -> Hash {
    let hashes: Vec<[u8; 32]> = (0..blocks).map(|number| blake2b(&[&block(number)]).0).collect();
    blake2b(&[&hashes.concat()])
}

/// The hash of so many blocks as they were read; waits for them.
pub(crate) async fn read(core: &Hypercore, blocks: u64) -> Hash {
    core.download(0..blocks).done().await.unwrap();
    let mut hashes = Vec::new();
    for number in 0..blocks {
        hashes.push(blake2b(&[&core.get(number).await.unwrap()]).0);
    }
    blake2b(&[&hashes.concat()])
}
