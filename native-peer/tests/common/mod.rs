//! What the tests of this crate share.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its part; a test may fail loudly"
)]

use bytes::Bytes;
use corestore_peer::{Corestore, Hypercore, Options, Role};
use std::future::Future;
use std::time::Duration;

/// A store that keeps nothing.
pub fn store() -> Corestore {
    Corestore::in_memory(&Options::default()).unwrap()
}

/// Connects two stores without a socket; the first is the initiator.
pub fn join(a: &Corestore, b: &Corestore) {
    let (left, right) = tokio::io::duplex(256 << 10);
    a.replicate(left, Role::Initiator).unwrap();
    b.replicate(right, Role::Responder).unwrap();
}

/// Fails a test that hangs.
pub async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(240), what).await.expect("this takes too long")
}

/// Waits until `holds`.
pub async fn until(mut holds: impl FnMut() -> bool) {
    in_time(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Every block of `core`, from peers if need be.
pub async fn all(core: &Hypercore, length: u64) -> Vec<Bytes> {
    let mut blocks = core.blocks(0..length);
    let mut all = Vec::new();
    while let Some(block) = in_time(blocks.next_block()).await {
        let (index, block) = block.unwrap();
        assert_eq!(index, all.len() as u64);
        all.push(block);
    }
    all
}

/// Numbers that look random; the same for the same seed.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A block of 0 bytes to 1 MiB; every order of magnitude is as likely.
    pub fn block(&mut self) -> Bytes {
        let (bits, fill) = (self.next() % 21, self.next());
        let size = usize::try_from(self.next() % ((1 << bits) + 1)).unwrap();
        let mut block = vec![0; size];
        let mut filler = Self(fill | 1);
        block.chunks_mut(8).for_each(|piece| piece.copy_from_slice(&filler.next().to_le_bytes()[..piece.len()]));
        Bytes::from(block)
    }
}
