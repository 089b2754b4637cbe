//! The regions a remote asked to be told of (`hypercore/lib/wants.js`, `RemoteWants`).

use super::wire::Want;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Range;

/// What a remote wants to hear of. However much it asks for, memory stays bounded: past that it wants everything.
#[derive(Debug, Default)]
pub(super) struct RemoteWants {
    all: bool,
    /// Aligned regions: (length, first block).
    regions: BTreeSet<(u64, u64)>,
    any: Vec<Range<u64>>,
}

impl RemoteWants {
    /// Adds a region; false when it is too long and nothing is to be answered.
    pub(super) fn add(&mut self, want: Want) -> bool {
        if want.any {
            if self.any.len() < MAX_ANY {
                self.any.push(region(want))
            } else {
                self.all = true
            }
            return true;
        }
        if want.length > MAX_REGION {
            return false;
        }
        if is_aligned(want) && self.regions.len() < MAX_REGIONS && self.has_room_for(want.length) {
            self.regions.insert((want.length, want.start));
        } else {
            self.all = true;
        }
        true
    }

    /// Takes a region back.
    pub(super) fn remove(&mut self, want: Want) {
        if want.any {
            if let Some(place) = self.any.iter().position(|any| *any == region(want)) {
                self.any.swap_remove(place);
            }
        } else {
            self.regions.remove(&(want.length, want.start));
        }
    }

    /// True when the remote wants to hear of any block of the range.
    pub(super) fn wants(&self, range: &Range<u64>) -> bool {
        let meets = |want: &Range<u64>| want.start < range.end && range.start < want.end;
        self.all
            || self.any.iter().any(meets)
            || self.lengths().any(|length| {
                let first = range.start.saturating_sub(range.start % length);
                self.regions.range((length, first)..(length, range.end)).next().is_some()
            })
    }

    fn has_room_for(&self, length: u64) -> bool {
        let mut others = 0_usize;
        self.lengths().all(|of| {
            others = others.saturating_add(usize::from(of != length));
            others < MAX_LENGTHS
        })
    }

    /// The different lengths, at most [`MAX_LENGTHS`].
    fn lengths(&self) -> impl Iterator<Item = u64> + '_ {
        let mut next = 0;
        core::iter::from_fn(move || {
            let (length, _) = self.regions.range((next, 0)..).next()?;
            next = length.saturating_add(1);
            Some(*length)
        })
    }
}

fn region(want: Want) -> Range<u64> {
    want.start..want.start.saturating_add(want.length)
}

fn is_aligned(want: Want) -> bool {
    want.length >= MIN_REGION && want.length.is_power_of_two() && want.start.is_multiple_of(want.length)
}

/// The smallest and the largest region (blocks).
const MIN_REGION: u64 = 32;
/// The largest region (blocks); longer ones are not answered.
pub(super) const MAX_REGION: u64 = 1 << 21;
/// Regions of one remote.
const MAX_REGIONS: usize = 512;
/// Different lengths among them.
const MAX_LENGTHS: usize = 4;
/// Regions of which one block is enough.
const MAX_ANY: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn want(start: u64, length: u64) -> Want {
        Want { start, length, any: false }
    }

    #[test]
    fn odd_wants_mean_everything_and_huge_ones_nothing() {
        let mut wants = RemoteWants::default();
        assert!(!wants.add(want(0, 1 << 22)));
        assert!(!wants.wants(&(0..10)));
        assert!(wants.add(want(64, 32)));
        assert!(wants.wants(&(64..65)) && wants.wants(&(60..200)) && !wants.wants(&(0..64)));
        wants.remove(want(64, 32));
        assert!(!wants.wants(&(64..65)));
        assert!(wants.add(want(5, 33)));
        assert!(wants.wants(&(0..1)));
    }

    #[test]
    fn any_wants_need_no_alignment() {
        let mut wants = RemoteWants::default();
        assert!(wants.add(Want { start: 7, length: 1 << 40, any: true }));
        assert!(wants.wants(&(8..9)) && !wants.wants(&(0..7)));
        wants.remove(Want { start: 7, length: 1 << 40, any: true });
        assert!(!wants.wants(&(8..9)));
    }

    #[test]
    fn more_wants_than_a_remote_may_have_mean_everything() {
        let mut wants = RemoteWants::default();
        for region in 0..1000 {
            wants.add(want(region * 32, 32));
        }
        assert!(wants.regions.len() <= MAX_REGIONS && wants.all);
        let mut wants = RemoteWants::default();
        for shift in 5..10 {
            wants.add(want(0, 1 << shift));
        }
        assert!(wants.regions.len() <= MAX_LENGTHS && wants.all);
    }
}
