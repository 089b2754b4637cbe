//! BLAKE2b-256, plain and keyed, and the tree's hashes (`hypercore-crypto/index.js`).

use super::id::Hash;
use alloc::vec::Vec;
use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{FixedOutput, KeyInit, Update};
use blake2b_simd::many::{HashManyJob, hash_many};
use bytes::Bytes;

/// The hash of `parts`, one after the other.
pub fn blake2b(parts: &[&[u8]]) -> Hash {
    let mut state = params().to_state();
    parts.iter().for_each(|part| {
        state.update(part);
    });
    Hash(state.finalize().as_bytes().first_chunk().copied().unwrap_or([0; 32]))
}

fn params() -> blake2b_simd::Params {
    let mut params = blake2b_simd::Params::new();
    params.hash_length(32);
    params
}

/// The hash of `parts` under `key` (at most 64 bytes; what is over is cut off).
pub fn blake2b_keyed(key: &[u8], parts: &[&[u8]]) -> Hash {
    let key = key.get(..64).unwrap_or(key);
    let Ok(mut state) = Blake2bMac::<U32>::new_from_slice(key) else {
        return blake2b(parts);
    };
    parts.iter().for_each(|part| Update::update(&mut state, part));
    Hash(state.finalize_fixed().into())
}

/// The hash of a block.
pub fn leaf_hash(block: &[u8]) -> Hash {
    let size = u64::try_from(block.len()).unwrap_or(u64::MAX);
    blake2b(&[&LEAF, &size.to_le_bytes(), block])
}

/// The hashes of many blocks, several at once where the processor can.
pub fn leaf_hashes(blocks: &[Bytes]) -> Vec<Hash> {
    let mut hashes = Vec::with_capacity(blocks.len());
    let mut rest = blocks;
    while !rest.is_empty() {
        let (group, after) = rest.split_at(group_length(rest));
        if group.len() < LANES {
            hashes.extend(group.iter().map(|block| leaf_hash(block)));
        } else {
            hash_group(group, &mut hashes);
        }
        rest = after;
    }
    hashes
}

/// How many blocks to hash together: as many as fit into the scratch bytes, at least one.
fn group_length(blocks: &[Bytes]) -> usize {
    let mut bytes = 0_usize;
    let fitting = blocks.iter().take(GROUP_BLOCKS).take_while(|block| {
        bytes = bytes.saturating_add(block.len());
        bytes <= GROUP_BYTES
    });
    fitting.count().max(1)
}

/// Lanes take whole messages, so each block is copied behind its prefix.
fn hash_group(blocks: &[Bytes], hashes: &mut Vec<Hash>) {
    let length = |block: &Bytes| block.len().saturating_add(LEAF_PREFIX);
    let mut scratch = Vec::with_capacity(blocks.iter().map(length).fold(0, usize::saturating_add));
    for block in blocks {
        scratch.extend_from_slice(&LEAF);
        scratch.extend_from_slice(&u64::try_from(block.len()).unwrap_or(u64::MAX).to_le_bytes());
        scratch.extend_from_slice(block);
    }
    let params = params();
    let mut rest = scratch.as_slice();
    let mut jobs: Vec<HashManyJob<'_>> = Vec::with_capacity(blocks.len());
    for block in blocks {
        let (message, after) = rest.split_at(length(block).min(rest.len()));
        jobs.push(HashManyJob::new(&params, message));
        rest = after;
    }
    hash_many(jobs.iter_mut());
    hashes.extend(jobs.iter().map(|job| Hash(*job.to_hash().as_bytes().first_chunk().unwrap_or(&[0; 32]))));
}

/// The hash over two children; `size` is the bytes below both.
pub fn parent_hash(size: u64, left: &Hash, right: &Hash) -> Hash {
    blake2b(&[&PARENT, &size.to_le_bytes(), left.as_ref(), right.as_ref()])
}

/// Fewer blocks are hashed one by one: that is as fast and needs no copy.
const LANES: usize = 4;
/// Blocks hashed together, at most.
const GROUP_BLOCKS: usize = 256;
/// Bytes hashed together, at most, unless one block has more.
const GROUP_BYTES: usize = 1 << 20;
/// Bytes in front of a block when it is hashed.
const LEAF_PREFIX: usize = 9;
/// First byte of what a leaf hashes.
const LEAF: [u8; 1] = [0];
/// First byte of what a parent hashes.
const PARENT: [u8; 1] = [1];
/// First byte of what the tree hash hashes.
pub const ROOTS: [u8; 1] = [2];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn known_hashes() {
        let hello = leaf_hash(b"hello");
        assert_eq!(hello.to_string(), "f2391083cfaa8043205fed76cdff843902146ca92aebcd7a196814ec45d8c8f8");
        let parent = parent_hash(10, &hello, &leaf_hash(b"world"));
        assert_eq!(parent.to_string(), "56826d33f98cbe1757d804b3ad818a97b61d7ae83d505ba5ca4fb619646355f9");
        let keyed = blake2b_keyed(&[1; 32], &[b"hypercore"]);
        assert_eq!(keyed.to_string(), "1624ec2f8e32de3e5d060a240ff6a0193d6b35d44d173311958dec134fd9bba4");
    }

    #[test]
    fn many_hashes_are_the_single_ones() {
        let sizes = (0..300).map(|at| at * 7 % 500).chain([0, GROUP_BYTES + 1, GROUP_BYTES, 0, 1, GROUP_BYTES - 1, 2]);
        let blocks: Vec<Bytes> = sizes.enumerate().map(|(at, size)| Bytes::from(alloc::vec![at as u8; size])).collect();
        let single: Vec<Hash> = blocks.iter().map(|block| leaf_hash(block)).collect();
        assert_eq!(leaf_hashes(&blocks), single);
        assert_eq!(leaf_hashes(&[]), []);
    }
}
