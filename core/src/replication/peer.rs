//! One remote: where it stands, what it has, what it asked to be told, what we asked of it.

use super::config::ReplicatorConfig;
use super::wants::RemoteWants;
use super::wire::{Request, Sync};
use crate::log::{Bitfield, PAGE_BITS};
use crate::time::Duration;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use core::ops::Range;

/// What is known of a remote.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// Its last sync; until it came, nothing is asked of it.
    pub(super) sync: Option<Sync>,
    /// It answers seeks.
    pub(super) seeks: bool,
    /// Blocks from 0 on that it has.
    contiguous: u64,
    /// Blocks past that it has.
    bits: Bitfield,
    /// It told of blocks from here on that were not remembered.
    forgotten_from: Option<u64>,
    /// Blocks it could not give; asked again once it tells of new ones.
    refused: BTreeSet<u64>,
    /// It could not prove an upgrade; asked again after its next sync.
    pub(super) refused_upgrade: bool,
    /// The fork it could not prove.
    pub(super) refused_fork: Option<u64>,
    /// We can prove its length's upgrade to ours.
    pub(super) can_upgrade: bool,
    /// The length of its that we can prove from, while the fork lasts.
    pub(super) proven_length: u64,
    /// The longest tree it proved on this channel.
    pub(super) upgraded_to: u64,
    /// Our last sync said that we take its blocks unasked.
    pub(super) may_push: bool,
    /// Requests of ours without an answer.
    pub(super) in_flight: usize,
    /// Cancelled requests whose numbers may still be answered: (round, number).
    pub(super) cancelled: VecDeque<(u64, u64)>,
    /// Rises with every cancel.
    pub(super) round: u64,
    /// The shortest time it lately took to answer.
    pub(super) round_trip: Duration,
    /// The time it takes to answer of late, waiting for its turn included.
    pub(super) answers_after: Duration,
    /// It gave something untrue, or nothing too often: nothing is asked any more.
    pub(super) paused: bool,
    pub(super) not_available: u32,
    pub(super) invalid_answers: u32,
    pub(super) bad_data: u32,
    /// Answers whose proof ended at a node that no earlier one had brought.
    pub(super) unproven: u32,
    pub(super) invalid_requests: u32,
    /// Regions it wants to hear of.
    pub(super) wants: RemoteWants,
    /// Regions we asked it to tell of, oldest first.
    pub(super) wanted: VecDeque<u64>,
    /// The length up to which we told it that we have everything.
    pub(super) told: u64,
    /// Requests of its that are not answered: number to ticket.
    pub(super) serving: BTreeMap<u64, u64>,
    /// Those of them that wait for their turn, by ticket.
    pub(super) queue: VecDeque<(u64, Request)>,
    /// Those of them that are being read from the store.
    pub(super) loads: usize,
    /// What it was sent is not on its way yet: its requests wait.
    pub(super) clogged: bool,
    /// A conflict was found: its channel closes once our proof is sent.
    pub(super) closing: bool,
    /// The last extension it named, and the last we named to it.
    pub(super) extension: String,
    pub(super) extension_sent: String,
}

impl Peer {
    pub(super) fn new(seeks: bool) -> Self {
        Self { seeks, can_upgrade: true, ..Self::default() }
    }

    /// Its length in blocks.
    pub(super) fn length(&self) -> u64 {
        self.sync.map_or(0, |sync| sync.length)
    }

    /// Its fork, once it said so.
    pub(super) fn fork(&self) -> Option<u64> {
        self.sync.map(|sync| sync.fork)
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

    /// True when it has told that it has all of a range.
    pub(super) fn has_all(&self, range: Range<u64>) -> bool {
        let start = range.start.max(self.contiguous);
        self.bits.all(start..range.end)
    }

    pub(super) fn refuse(&mut self, index: u64) {
        self.refused.insert(index);
    }

    /// It has, or dropped, a run of blocks. Past `bound` only a run from 0 on is remembered, so a claim costs nothing.
    pub(super) fn note_range(&mut self, range: Range<u64>, drop: bool, bound: u64, config: &ReplicatorConfig) {
        self.refused.clear();
        if drop {
            self.end_prefix_at(range.start, bound, config);
            self.bits.set_range(range.start..range.end.min(bound), false);
        } else if range.start <= self.contiguous {
            self.contiguous = self.contiguous.max(range.end);
        } else if self.bits.page_count() < config.max_pages {
            let bound = self.room_from(range.start, bound, config);
            self.bits.set_range(range.start..range.end.min(bound), true);
            self.note_forgotten(range.end, bound);
        }
    }

    /// The truth about a region, as bytes of bits.
    pub(super) fn note_bits(&mut self, start: u64, bits: &[u8], bound: u64, config: &ReplicatorConfig) {
        self.refused.clear();
        let length = u64::try_from(bits.len()).unwrap_or(u64::MAX).saturating_mul(8);
        let end = start.saturating_add(length);
        self.end_prefix_at(start, bound, config);
        if self.bits.page_count() >= config.max_pages {
            return;
        }
        let mut index = start;
        for byte in bits {
            if index >= bound {
                break;
            }
            let next = index.saturating_add(8);
            match byte {
                0 => self.bits.set_range(index..next, false),
                0xff => self.bits.set_range(index..next, true),
                _ => (0..8).for_each(|bit| {
                    self.bits.set(index.saturating_add(bit), byte >> bit & 1 == 1);
                }),
            }
            index = next;
        }
        self.note_forgotten(end, bound);
    }

    /// What lay in the prefix past `start` is known bit by bit from now on.
    fn end_prefix_at(&mut self, start: u64, bound: u64, config: &ReplicatorConfig) {
        if start < self.contiguous {
            let bound = self.room_from(start, bound, config);
            self.bits.set_range(start..self.contiguous.min(bound), true);
            self.note_forgotten(self.contiguous, bound);
            self.contiguous = start;
        }
    }

    /// `bound`, or where the pages that may still be remembered end: a writer may sign any length.
    fn room_from(&self, start: u64, bound: u64, config: &ReplicatorConfig) -> u64 {
        let pages = u64::try_from(config.max_pages.saturating_sub(self.bits.page_count())).unwrap_or(u64::MAX);
        bound.min(start.saturating_add(pages.saturating_mul(PAGE_BITS)))
    }

    fn note_forgotten(&mut self, end: u64, bound: u64) {
        if end > bound {
            self.forgotten_from = Some(self.forgotten_from.map_or(bound, |from| from.min(bound)));
        }
    }

    /// Our log grew: regions that were not remembered may be asked about again.
    pub(super) fn log_grew(&mut self) {
        if let Some(from) = self.forgotten_from.take() {
            self.wanted.retain(|region| region.saturating_add(1).saturating_mul(WANT_REGION) <= from);
        }
    }

    /// Our log or its fork changed: what it could not give it may be able to give now.
    pub(super) fn forgive(&mut self) {
        self.refused.clear();
        self.refused_upgrade = false;
    }
}

/// The region we ask about at once (blocks).
pub(super) const WANT_REGION: u64 = super::wants::MAX_REGION;

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> (Peer, ReplicatorConfig) {
        (Peer::new(true), ReplicatorConfig::default())
    }

    #[test]
    fn a_claim_of_everything_costs_nothing() {
        let (mut peer, config) = peer();
        peer.note_range(1 << 50..1 << 51, false, 1000, &config);
        assert!(!peer.offers(1 << 50));
        peer.note_range(0..1 << 50, false, 1000, &config);
        assert!(peer.offers(999) && peer.offers(1000));
        peer.note_range(5..6, true, 1000, &config);
        assert!(peer.offers(4) && !peer.offers(5) && peer.offers(999) && !peer.offers(1000));
        assert_eq!(peer.bits.page_count(), 1);
    }

    #[test]
    fn a_drop_within_the_prefix_keeps_the_rest() {
        let (mut peer, config) = peer();
        peer.note_range(0..100, false, 100, &config);
        peer.note_range(10..15, true, 100, &config);
        assert!(peer.offers(9) && !peer.offers(10) && !peer.offers(14) && peer.offers(15) && peer.offers(99));
        peer.note_bits(8, &[0b0000_0101], 100, &config);
        assert!(peer.offers(8) && !peer.offers(9) && peer.offers(10) && peer.offers(16));
    }

    #[test]
    fn single_blocks_far_apart_fill_a_bounded_memory() {
        let (mut peer, mut config) = peer();
        config.max_pages = 8;
        for page in 0..1000 {
            let index = page * PAGE_BITS + 1;
            peer.note_range(index..index + 1, false, u64::MAX, &config);
        }
        assert_eq!(peer.bits.page_count(), 8);
    }

    #[test]
    fn a_long_run_fills_a_bounded_memory_too() {
        let (mut peer, mut config) = peer();
        config.max_pages = 8;
        peer.note_range(1..1 << 40, false, 1 << 40, &config);
        assert!(peer.offers(1) && peer.offers(PAGE_BITS) && peer.bits.page_count() <= 9);
        peer.note_range(0..1 << 40, false, 1 << 40, &config);
        peer.note_range(0..1, true, 1 << 40, &config);
        assert!(!peer.offers(0) && peer.offers(1) && peer.bits.page_count() <= 9);
        assert!(peer.forgotten_from.is_some());
    }

    #[test]
    fn regions_told_of_too_early_are_asked_about_again() {
        let (mut peer, config) = peer();
        peer.wanted.extend([0, 3]);
        peer.note_range(3 * WANT_REGION..3 * WANT_REGION + 9, false, 1000, &config);
        peer.log_grew();
        assert!(peer.wanted.is_empty());
    }
}
