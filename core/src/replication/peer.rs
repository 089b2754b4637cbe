//! One remote: where it stands, what it has, what it asked to be told, what we asked of it.

use super::wire::{Request, Sync, Want};
use crate::log::Bitfield;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// What is known of a remote.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its last sync; until it came, nothing is asked of it.
    pub(super) sync: Option<Sync>,
    /// Blocks from 0 on that it has.
    contiguous: u64,
    /// Blocks past that it has.
    bits: Bitfield,
    /// Blocks it could not give; asked again once it tells of new ones.
    refused: BTreeSet<u64>,
    /// It could not prove an upgrade; asked again after its next sync.
    pub(super) refused_upgrade: bool,
    /// We can prove its length's upgrade to ours.
    pub(super) can_upgrade: bool,
    /// The length of its that we can prove from, while the fork lasts.
    pub(super) proven_length: u64,
    /// Requests of ours without an answer.
    pub(super) in_flight: BTreeSet<u64>,
    /// It gave something untrue: nothing is asked any more.
    pub(super) paused: bool,
    pub(super) not_available: u32,
    pub(super) invalid_requests: u32,
    /// Regions it wants to hear of; `None` for all.
    wants: Option<Vec<Range<u64>>>,
    /// Regions we asked it to tell of.
    pub(super) wanted: BTreeSet<u64>,
    /// We told it that we have everything.
    pub(super) told_everything: bool,
    /// Requests of its that are being served.
    pub(super) serving: BTreeMap<u64, Request>,
    /// The last extension it named.
    pub(super) extension: String,
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            sync: None,
            contiguous: 0,
            bits: Bitfield::default(),
            refused: BTreeSet::new(),
            refused_upgrade: false,
            can_upgrade: true,
            proven_length: 0,
            in_flight: BTreeSet::new(),
            paused: false,
            not_available: 0,
            invalid_requests: 0,
            wants: Some(Vec::new()),
            wanted: BTreeSet::new(),
            told_everything: false,
            serving: BTreeMap::new(),
            extension: String::new(),
        }
    }

    /// Its length in blocks.
    pub(super) fn length(&self) -> u64 {
        self.sync.map_or(0, |sync| sync.length)
    }

    /// Blocks from 0 on that it has.
    pub(super) fn contiguous(&self) -> u64 {
        self.contiguous
    }

    /// True when it has block `index` and did not fail to give it.
    pub(super) fn offers(&self, index: u64) -> bool {
        (index < self.contiguous || self.bits.get(index)) && !self.refused.contains(&index)
    }

    /// The first block at or after `index` that it has.
    pub(super) fn next_offer(&self, index: u64) -> Option<u64> {
        if index < self.contiguous { Some(index) } else { self.bits.first_set(index) }
    }

    pub(super) fn refuse(&mut self, index: u64) {
        self.refused.insert(index);
    }

    /// It has, or dropped, a run of blocks. Nothing past `bound` is remembered.
    pub(super) fn note_range(&mut self, start: u64, length: u64, drop: bool, bound: u64) {
        let end = start.saturating_add(length).min(bound);
        self.refused.clear();
        if drop {
            if start < self.contiguous {
                self.bits.set_range(start.min(bound)..self.contiguous, true);
                self.contiguous = start;
            }
            self.bits.set_range(start..end, false);
        } else if start <= self.contiguous {
            self.contiguous = self.contiguous.max(end);
        } else {
            self.bits.set_range(start..end, true);
        }
    }

    /// The truth about a region, as bytes of bits.
    pub(super) fn note_bits(&mut self, start: u64, bits: &[u8], bound: u64) {
        self.refused.clear();
        if start < self.contiguous {
            self.bits.set_range(start..self.contiguous, true);
            self.contiguous = start;
        }
        let mut index = start;
        for byte in bits {
            if index >= bound {
                return;
            }
            for bit in 0..8 {
                self.bits.set(index.saturating_add(bit), byte >> bit & 1 == 1);
            }
            index = index.saturating_add(8);
        }
    }

    /// It moved to another fork: what it has is unknown again.
    pub(super) fn forget_blocks(&mut self, from: u64) {
        self.contiguous = self.contiguous.min(from);
        self.bits.truncate(from);
        self.refused.clear();
        self.wanted.clear();
    }

    /// It wants to hear of a region; false when the region is malformed and nothing is to be answered.
    pub(super) fn add_want(&mut self, want: Want) -> bool {
        if want.length > MAX_WANT {
            return false;
        }
        let aligned =
            want.length >= MIN_WANT && want.length.is_power_of_two() && want.start.is_multiple_of(want.length);
        match &mut self.wants {
            Some(wants) if aligned && wants.len() < MAX_WANTS => {
                wants.push(want.start..want.start.saturating_add(want.length));
            }
            wants => *wants = None,
        }
        true
    }

    pub(super) fn remove_want(&mut self, want: Want) {
        if let Some(wants) = &mut self.wants {
            wants.retain(|range| *range != (want.start..want.start.saturating_add(want.length)));
        }
    }

    /// True when it wants to hear of any block of the range.
    pub(super) fn wants_any(&self, range: &Range<u64>) -> bool {
        match &self.wants {
            None => true,
            Some(wants) => wants.iter().any(|want| want.start < range.end && range.start < want.end),
        }
    }
}

/// The smallest and the largest region of a want (bits), and how many a peer may have (`wants.js`).
const MIN_WANT: u64 = 32;
const MAX_WANT: u64 = 1 << 21;
const MAX_WANTS: usize = 512;

/// The region we ask about at once (bits).
pub(super) const WANT_REGION: u64 = 1 << 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_of_everything_costs_nothing() {
        let mut peer = Peer::new();
        peer.note_range(1 << 50, 1 << 50, false, 1000);
        assert!(!peer.offers(1 << 50));
        peer.note_range(0, 1 << 50, false, 1000);
        assert!(peer.offers(999) && !peer.offers(1000));
    }

    #[test]
    fn a_drop_within_the_prefix_keeps_the_rest() {
        let mut peer = Peer::new();
        peer.note_range(0, 100, false, 100);
        peer.note_range(10, 5, true, 100);
        assert!(peer.offers(9) && !peer.offers(10) && !peer.offers(14) && peer.offers(15) && peer.offers(99));
        peer.note_bits(8, &[0b0000_0101], 100);
        assert!(peer.offers(8) && !peer.offers(9) && peer.offers(10) && peer.offers(16));
    }

    #[test]
    fn odd_wants_mean_everything_and_huge_ones_nothing() {
        let want = |start, length| Want { start, length, any: false };
        let mut peer = Peer::new();
        assert!(!peer.add_want(want(0, 1 << 22)));
        assert!(!peer.wants_any(&(0..10)));
        assert!(peer.add_want(want(64, 32)));
        assert!(peer.wants_any(&(64..65)) && !peer.wants_any(&(0..64)));
        peer.remove_want(want(64, 32));
        assert!(!peer.wants_any(&(64..65)));
        assert!(peer.add_want(want(5, 33)));
        assert!(peer.wants_any(&(0..1)));
    }
}
