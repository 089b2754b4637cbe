//! Bytes as the log holds them: without long runs of zeros, so that a disk sector that was never written, which reads as
//! zeros, is told from one that was damaged later.

/// Whether a block could be part of a run of [`super::entry::ALIGNMENT`] zeros, also together with its neighbours.
pub(super) fn is_needed(block: &[u8]) -> bool {
    let zeros = |piece: &[u8]| piece.iter().all(|byte| *byte == 0);
    match (block.first_chunk::<PIECE>(), block.last_chunk::<PIECE>()) {
        (Some(first), Some(last)) => {
            let (pieces, _) = block.as_chunks::<PIECE>();
            zeros(first) || zeros(last) || pieces.chunks(GROUP).any(any_zero)
        }
        _ => !block.is_empty() && zeros(block),
    }
}

/// Whether a piece is zero. Few are even by half, and halves are looked for several at once.
fn any_zero(pieces: &[[u8; PIECE]]) -> bool {
    let (halves, _) = pieces.as_flattened().as_chunks();
    let half = halves.iter().fold(0, |any, half| any | u32::from(u32::from_le_bytes(*half) == 0));
    half != 0 && pieces.iter().any(|piece| u64::from_le_bytes(*piece) == 0)
}

/// Changes bytes to their masked form, or back.
pub(in crate::store) fn flip(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte ^= MASK);
}

/// Bytes looked at together: a run of zeros that none of them shows is shorter than two.
const PIECE: usize = 8;
/// Pieces looked at before it is asked whether a half was zero.
const GROUP: usize = 64;
/// Seldom in long runs.
const MASK: u8 = 0x5c;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(block: &[u8]) -> Vec<u8> {
        let mut bytes = block.to_vec();
        if is_needed(block) {
            flip(&mut bytes);
        }
        bytes
    }

    proptest! {
        #[test]
        fn neighbours_never_make_a_run_of_sixteen_zeros(
            lengths in prop::collection::vec((0_usize..40, 0_usize..40, 0_usize..3), 0..12)
        ) {
            let blocks = lengths.iter().map(|(before, after, ones)| [vec![0; *before], vec![1; *ones], vec![0; *after]].concat());
            let log: Vec<u8> = blocks.flat_map(|block| masked(&block)).collect();
            prop_assert!(!log.windows(16).any(|run| run.iter().all(|byte| *byte == 0)));
        }

        #[test]
        fn masking_twice_changes_nothing(block: Vec<u8>) {
            let mut bytes = block.clone();
            flip(&mut bytes);
            flip(&mut bytes);
            prop_assert_eq!(bytes, block);
        }
    }

    #[test]
    fn most_blocks_stay_as_they_are() {
        assert!(!is_needed(b""));
        assert!(!is_needed(b"text"));
        assert!(!is_needed(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
        assert!(is_needed(&[0]));
        assert!(is_needed(&[1, 0, 0, 0, 0, 0, 0, 0, 0]));
        for at in [1, 63, 64, 65, 127, 200] {
            let mut block = [1; 210 * PIECE];
            block[at * PIECE..][..PIECE / 2].fill(0);
            assert!(!is_needed(&block), "{at}");
            block[at * PIECE..][..PIECE].fill(0);
            assert!(is_needed(&block), "{at}");
        }
        assert!(!is_needed(&[1; 210 * PIECE]));
    }
}
