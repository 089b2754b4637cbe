//! The bytes every workload writes, so that any reader can check them: block `i` of `size` bytes is `size` bytes of a
//! fixed pool from offset `i * 1024 mod 2 MiB` on, the first 8 replaced with `i` (u64, little-endian). The pool is
//! xorshift32 output (13, 17, 5; seed 0x9e3779b9).

use crate::job::Failure;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Block `index` of `size` bytes.
pub(crate) fn block(index: u64, size: usize) -> Vec<u8> {
    let mut block = pool(index, size).to_vec();
    let stamped = size.min(8);
    if let (Some(head), Some(stamp)) = (block.get_mut(..stamped), index.to_le_bytes().get(..stamped)) {
        head.copy_from_slice(stamp);
    }
    block
}

/// Compares a block with what was written.
pub(crate) fn check(block: &[u8], index: u64, size: usize) -> Result<(), Failure> {
    let rest = pool(index, size).get(8..);
    if block.len() == size && block.get(..8) == Some(&index.to_le_bytes()) && block.get(8..) == rest {
        Ok(())
    } else {
        Err(format!("block {index} is not what was written").into())
    }
}

/// `count` distinct numbers below `length`, the same for the same `seed`.
pub(crate) fn sample(length: u64, count: u64, seed: u32) -> Vec<u64> {
    let mut state = 0x9e37_79b9 ^ seed.wrapping_mul(0x85eb_ca6b);
    let wanted = usize::try_from(count.min(length)).unwrap_or(usize::MAX);
    let mut seen = HashSet::new();
    let mut picked = Vec::new();
    while picked.len() < wanted {
        state = step(state);
        let index = u64::from(state).checked_rem(length).unwrap_or(0);
        if seen.insert(index) {
            picked.push(index);
        }
    }
    picked
}

fn pool(index: u64, size: usize) -> &'static [u8] {
    let from = usize::try_from(index.wrapping_mul(1024) % SPAN).unwrap_or(0);
    POOL.get(from..from.saturating_add(size)).unwrap_or(&[])
}

fn step(mut state: u32) -> u32 {
    state ^= state << 13;
    state ^= state >> 17;
    state ^ (state << 5)
}

static POOL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_u32;
    let words = std::iter::repeat_with(|| {
        state = step(state);
        state.to_le_bytes()
    });
    words.take(POOL_WORDS).flatten().collect()
});

const SPAN: u64 = 2 << 20;
/// 2 MiB and the largest block, 64 KiB.
const POOL_WORDS: usize = ((2 << 20) + (64 << 10)) / 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_those_of_the_definition() {
        let block = block(3, 16);
        assert_eq!(block[..8], [3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(block[8..], POOL[3 * 1024 + 8..3 * 1024 + 16]);
        assert!(check(&block, 3, 16).is_ok());
        assert!(check(&block, 4, 16).is_err());
        let mut other = block;
        other[15] ^= 1;
        assert!(check(&other, 3, 16).is_err());
    }

    #[test]
    fn samples_are_distinct_and_repeatable() {
        let sample_of = |seed| sample(100, 50, seed);
        assert_eq!(sample_of(1), sample_of(1));
        assert_ne!(sample_of(1), sample_of(2));
        assert_eq!(sample_of(1).iter().collect::<HashSet<_>>().len(), 50);
        assert_eq!(sample(3, 10, 1).len(), 3);
    }
}
