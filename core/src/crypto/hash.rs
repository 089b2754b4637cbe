//! BLAKE2b-256, plain and keyed, and the tree's hashes (`hypercore-crypto/index.js`).

use super::id::Hash;
use alloc::vec::Vec;
use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{FixedOutput, KeyInit, Update};
use blake2b_simd::State;
use blake2b_simd::many::{HashManyJob, hash_many, update_many};
use bytes::Bytes;

/// The hash of `parts`, one after the other.
pub fn blake2b(parts: &[&[u8]]) -> Hash {
    let mut state = params().to_state();
    parts.iter().for_each(|part| {
        state.update(part);
    });
    hash_of(&state.finalize())
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
    let mut scratch = Vec::new();
    let large = |block: &Bytes| block.len() >= LARGE_BLOCK;
    for alike in blocks.chunk_by(|block, next| large(block) == large(next)) {
        if alike.len() < LANES {
            hashes.extend(alike.iter().map(|block| leaf_hash(block)));
        } else if alike.first().is_some_and(large) {
            hash_large(alike, &mut hashes);
        } else {
            alike.chunks(GROUP_BLOCKS).for_each(|group| hash_group(group, &mut scratch, &mut hashes));
        }
    }
    hashes
}

/// Lanes take whole messages, so each block is copied behind its prefix.
fn hash_group(blocks: &[Bytes], scratch: &mut Vec<u8>, hashes: &mut Vec<Hash>) {
    scratch.clear();
    for block in blocks {
        scratch.extend_from_slice(&LEAF);
        scratch.extend_from_slice(&u64::try_from(block.len()).unwrap_or(u64::MAX).to_le_bytes());
        scratch.extend_from_slice(block);
    }
    let mut rest = scratch.as_slice();
    let messages = blocks.iter().map(|block| {
        let (message, after) = rest.split_at(block.len().saturating_add(LEAF_PREFIX).min(rest.len()));
        rest = after;
        message
    });
    hash_messages(messages, hashes);
}

fn hash_messages<'a>(messages: impl Iterator<Item = &'a [u8]>, hashes: &mut Vec<Hash>) {
    let params = params();
    let mut jobs: Vec<HashManyJob<'_>> = messages.map(|message| HashManyJob::new(&params, message)).collect();
    hash_many(jobs.iter_mut());
    hashes.extend(jobs.iter().map(|job| hash_of(&job.to_hash())));
}

/// Blocks that are long beside their prefix stay where they are: only what a prefix shares its first 128 bytes with is
/// hashed one by one.
fn hash_large(blocks: &[Bytes], hashes: &mut Vec<Hash>) {
    let params = params();
    let begun = |block: &Bytes| {
        let mut state = params.to_state();
        state.update(&LEAF).update(&u64::try_from(block.len()).unwrap_or(u64::MAX).to_le_bytes());
        state
    };
    let mut states: Vec<State> = blocks.iter().map(begun).collect();
    update_many(states.iter_mut().zip(blocks));
    hashes.extend(states.iter().map(|state| hash_of(&state.finalize())));
}

/// The hash over two children; `size` is the bytes below both.
pub fn parent_hash(size: u64, left: &Hash, right: &Hash) -> Hash {
    hash_of(&params().hash(&parent_message(size, left, right)))
}

/// As [`parent_hash`] for many pairs of children, several at once where the processor can.
pub fn parent_hashes(pairs: impl Iterator<Item = (u64, Hash, Hash)>) -> Vec<Hash> {
    let messages: Vec<[u8; PARENT_BYTES]> =
        pairs.map(|(size, left, right)| parent_message(size, &left, &right)).collect();
    let mut hashes = Vec::with_capacity(messages.len());
    hash_messages(messages.iter().map(<[u8; PARENT_BYTES]>::as_slice), &mut hashes);
    hashes
}

fn parent_message(size: u64, left: &Hash, right: &Hash) -> [u8; PARENT_BYTES] {
    let mut message = [0; PARENT_BYTES];
    let (kind, rest) = message.split_at_mut(PARENT.len());
    let (sizes, hashes) = rest.split_at_mut(size_of::<u64>());
    let (lefts, rights) = hashes.split_at_mut(left.0.len());
    kind.copy_from_slice(&PARENT);
    sizes.copy_from_slice(&size.to_le_bytes());
    lefts.copy_from_slice(&left.0);
    rights.copy_from_slice(&right.0);
    message
}

fn hash_of(hash: &blake2b_simd::Hash) -> Hash {
    Hash(hash.as_bytes().first_chunk().copied().unwrap_or([0; 32]))
}

/// Fewer blocks are hashed one by one: that is as fast and needs no copy.
const LANES: usize = 4;
/// Small blocks hashed together, at most: their copies stay in the processor's nearest memory.
const GROUP_BLOCKS: usize = 32;
/// Blocks from this size on are not copied.
const LARGE_BLOCK: usize = 4 << 10;
/// Bytes in front of a block when it is hashed.
const LEAF_PREFIX: usize = 9;
/// Bytes that a parent hashes.
const PARENT_BYTES: usize = 73;
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
        let large = [LARGE_BLOCK - 1, LARGE_BLOCK, LARGE_BLOCK + 119, 3 * LARGE_BLOCK, 70_000, LARGE_BLOCK + 120];
        let sizes = (0..300).map(|at| at * 7 % 500).chain(large).chain([0, 1, LARGE_BLOCK, 2, 118, 119, 120]);
        let blocks: Vec<Bytes> = sizes.enumerate().map(|(at, size)| Bytes::from(alloc::vec![at as u8; size])).collect();
        let single: Vec<Hash> = blocks.iter().map(|block| leaf_hash(block)).collect();
        assert_eq!(leaf_hashes(&blocks), single);
        assert_eq!(leaf_hashes(&[]), []);
    }

    #[test]
    fn many_parents_are_the_single_ones() {
        let pairs: Vec<(u64, Hash, Hash)> = (0..9).map(|at| (at << 40, Hash([at as u8; 32]), Hash([7; 32]))).collect();
        let single: Vec<Hash> = pairs.iter().map(|(size, left, right)| parent_hash(*size, left, right)).collect();
        assert_eq!(parent_hashes(pairs.into_iter()), single);
    }
}
