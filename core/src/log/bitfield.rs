//! Which blocks are stored: one bit a block, in pages of 32,768 bits (`hypercore/lib/bitfield.js`). A store keeps them in
//! smaller parts, since whatever changes one bit writes all that is kept with it.

use super::bitfield_page::{Page, fill};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

/// Bits per page.
pub const PAGE_BITS: u64 = 32_768;
/// Bytes per page.
pub const PAGE_BYTES: usize = 4096;
/// Bits per part; a whole number of parts is a page.
pub const PART_BITS: u64 = 4096;
/// Bytes per part.
pub const PART_BYTES: usize = 512;
/// Parts per page.
const PARTS: u64 = PAGE_BITS / PART_BITS;

/// A sparse set of block indexes. What is set from 0 on without a gap takes no room, however long it is; pages past that
/// take as little as their runs of set bits allow.
#[derive(Clone, Debug, Default)]
pub struct Bitfield {
    /// Every bit before this one is set; this one is not.
    prefix: u64,
    /// Bits past the prefix; none of the prefix's own.
    pages: BTreeMap<u64, Page>,
}

impl PartialEq for Bitfield {
    /// True for the same bits, in whatever form they are kept.
    fn eq(&self, other: &Self) -> bool {
        let same = |((page, bits), (of, others)): ((&u64, &Page), (&u64, &Page))| page == of && bits.same(others);
        self.prefix == other.prefix
            && self.pages.len() == other.pages.len()
            && self.pages.iter().zip(&other.pages).all(same)
    }
}

impl Eq for Bitfield {}

impl Bitfield {
    /// True when `index` is set.
    pub fn get(&self, index: u64) -> bool {
        index < self.prefix || self.pages.get(&(index / PAGE_BITS)).is_some_and(|page| page.get(index % PAGE_BITS))
    }

    /// Sets or clears one bit; true when that changed it.
    pub fn set(&mut self, index: u64, value: bool) -> bool {
        if self.get(index) == value {
            return false;
        }
        self.set_range(index..index.saturating_add(1), value);
        true
    }

    /// Sets or clears a range. Costs as much as the pages it touches, so bound a claimed range before.
    pub fn set_range(&mut self, range: Range<u64>, value: bool) {
        if range.start >= range.end {
            return;
        }
        match value {
            true if range.start <= self.prefix => self.extend_prefix(range.end),
            true => self.set_pages(&range),
            false if range.start < self.prefix => {
                let kept = range.end..self.prefix;
                self.prefix = range.start;
                self.clear_pages(&range);
                self.set_pages(&kept);
            }
            false => self.clear_pages(&range),
        }
    }

    /// Clears every bit from `length` on.
    pub fn truncate(&mut self, length: u64) {
        self.set_range(length..u64::MAX, false);
    }

    /// The first set bit at or after `from`.
    pub fn first_set(&self, from: u64) -> Option<u64> {
        if from < self.prefix {
            return Some(from);
        }
        let first = from / PAGE_BITS;
        self.pages.range(first..).find_map(|(page, bits)| {
            let start = if *page == first { from % PAGE_BITS } else { 0 };
            bits.find(start, true).map(|bit| index(*page, bit))
        })
    }

    /// The first clear bit at or after `from`.
    pub fn first_unset(&self, from: u64) -> u64 {
        if from < self.prefix {
            return self.prefix;
        }
        let mut at = from;
        loop {
            let page = at / PAGE_BITS;
            match self.pages.get(&page).map(|bits| bits.find(at % PAGE_BITS, false)) {
                None => return at,
                Some(Some(bit)) => return index(page, bit),
                Some(None) => at = index(page.saturating_add(1), 0),
            }
        }
    }

    /// The last set bit.
    pub fn last_set(&self) -> Option<u64> {
        match self.pages.last_key_value() {
            Some((page, bits)) => bits.last().map(|bit| index(*page, bit)),
            None => self.prefix.checked_sub(1),
        }
    }

    /// True when any bit of the range is set.
    pub fn any(&self, range: Range<u64>) -> bool {
        range.start < range.end
            && (range.start < self.prefix
                || self.pages.range(touched(&range)).any(|(page, bits)| bits.any(within(&range, *page))))
    }

    /// True when every bit of the range is set.
    pub fn all(&self, range: Range<u64>) -> bool {
        range.start >= range.end || self.first_unset(range.start) >= range.end
    }

    /// How many bits of the range are set.
    pub fn count(&self, range: Range<u64>) -> u64 {
        if range.start >= range.end {
            return 0;
        }
        let before = self.prefix.min(range.end).saturating_sub(range.start);
        let pages = self.pages.range(touched(&range));
        pages.map(|(page, bits)| bits.count(within(&range, *page))).fold(before, u64::saturating_add)
    }

    /// The bytes of a page, least significant bit first; `None` when it is wholly clear.
    pub fn page(&self, page: u64) -> Option<Box<[u8; PAGE_BYTES]>> {
        let mut bytes = Box::new([0; PAGE_BYTES]);
        self.add_to(bytes.as_mut_slice(), index(page, 0)).then_some(bytes)
    }

    /// The bytes of a part, least significant bit first; `None` when it is wholly clear.
    pub fn part(&self, part: u64) -> Option<Box<[u8; PART_BYTES]>> {
        let mut bytes = Box::new([0; PART_BYTES]);
        self.add_to(bytes.as_mut_slice(), part.saturating_mul(PART_BITS)).then_some(bytes)
    }

    /// The parts in a range that hold bits past those from 0 on without a gap.
    pub fn parts(&self, range: Range<u64>) -> impl Iterator<Item = u64> {
        let pages = range.start / PARTS..range.end.div_ceil(PARTS).max(range.start / PARTS);
        let parts = self.pages.range(pages).flat_map(|(page, bits)| {
            let of_page = (0..PARTS).filter(|part| bits.any(part * PART_BITS..(part + 1) * PART_BITS));
            of_page.map(move |part| page.saturating_mul(PARTS).saturating_add(part))
        });
        parts.filter(move |part| range.contains(part))
    }

    /// Adds the bits from `first` on, all of one page, to clear bytes; false when there are none.
    fn add_to(&self, bytes: &mut [u8], first: u64) -> bool {
        let (page, from) = (first / PAGE_BITS, first % PAGE_BITS);
        let length = u64::try_from(bytes.len()).unwrap_or(0).saturating_mul(8);
        let of_prefix = 0..self.prefix.saturating_sub(first).min(length);
        let bits = self.pages.get(&page).filter(|bits| bits.any(from..from.saturating_add(length)));
        fill(bytes, &of_prefix, true);
        bits.into_iter().for_each(|bits| bits.add_to(bytes, from));
        bits.is_some() || of_prefix.end > 0
    }

    /// Sets a whole part from its bytes.
    pub fn set_part(&mut self, part: u64, bytes: &[u8; PART_BYTES]) {
        let first = part.saturating_mul(PART_BITS);
        self.set_range(first..first.saturating_add(PART_BITS), false);
        let page = first / PAGE_BITS;
        let bits = self.pages.remove(&page).unwrap_or_default().with_bytes(first % PAGE_BITS, bytes);
        if !bits.is_empty() {
            self.pages.insert(page, bits);
        }
        self.absorb();
    }

    /// How many pages take room of their own.
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// Sets everything before `end`.
    fn extend_prefix(&mut self, end: u64) {
        if end <= self.prefix {
            return;
        }
        self.clear_pages(&(self.prefix..end));
        self.prefix = end;
        self.absorb();
    }

    /// Takes into the prefix what follows it.
    fn absorb(&mut self) {
        let end = self.first_unset(self.prefix);
        if end > self.prefix {
            self.clear_pages(&(self.prefix..end));
            self.prefix = end;
        }
    }

    fn set_pages(&mut self, range: &Range<u64>) {
        if range.start < range.end {
            for page in touched(range) {
                self.pages.entry(page).or_default().set_range(within(range, page), true);
            }
        }
    }

    fn clear_pages(&mut self, range: &Range<u64>) {
        let touched: Vec<u64> = self.pages.range(touched(range)).map(|(page, _)| *page).collect();
        for page in touched {
            let Some(bits) = self.pages.get_mut(&page) else { continue };
            bits.set_range(within(range, page), false);
            if bits.is_empty() {
                self.pages.remove(&page);
            }
        }
    }
}

/// The pages of a range that is not empty.
fn touched(range: &Range<u64>) -> core::ops::RangeInclusive<u64> {
    range.start / PAGE_BITS..=range.end.saturating_sub(1) / PAGE_BITS
}

/// The part of `range` that lies in `page`, counted from the page's first bit.
fn within(range: &Range<u64>, page: u64) -> Range<u64> {
    let first = index(page, 0);
    range.start.saturating_sub(first)..range.end.saturating_sub(first).min(PAGE_BITS)
}

fn index(page: u64, bit: u64) -> u64 {
    page.saturating_mul(PAGE_BITS).saturating_add(bit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    fn range() -> impl Strategy<Value = (u64, u64)> {
        let near = 0_u64..200;
        let page = (PAGE_BITS - 100)..(PAGE_BITS + 100);
        let far = (3 * PAGE_BITS - 20)..(3 * PAGE_BITS + 20);
        let start = prop_oneof![Just(0_u64), near, page, far];
        (start, prop_oneof![0_u64..70, Just(1), Just(PAGE_BITS), Just(2 * PAGE_BITS + 7)])
    }

    /// What a step does.
    #[derive(Clone, Debug)]
    enum Step {
        Set((u64, u64), bool),
        /// Every second bit of a stretch, so that runs become too many to keep as runs.
        Comb(u64, u64, bool),
        Truncate(u64),
        /// A part's bytes put back as they are.
        Rewrite(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (range(), any::<bool>()).prop_map(|(range, value)| Step::Set(range, value)),
            1 => (range(), 1_u64..400, any::<bool>()).prop_map(|((start, _), count, value)| Step::Comb(start, count, value)),
            1 => range().prop_map(|(start, _)| Step::Truncate(start)),
            1 => (0_u64..40).prop_map(Step::Rewrite),
        ]
    }

    fn take(step: &Step, fast: &mut Bitfield, slow: &mut BTreeSet<u64>) {
        let put = |slow: &mut BTreeSet<u64>, index, value| {
            if value {
                slow.insert(index)
            } else {
                slow.remove(&index)
            };
        };
        match *step {
            Step::Set((start, length), value) => {
                fast.set_range(start..start + length, value);
                (start..start + length).for_each(|index| put(slow, index, value));
            }
            Step::Comb(start, count, value) => {
                for index in (start..).step_by(2).take(usize::try_from(count).unwrap()) {
                    assert_eq!(fast.set(index, value), slow.contains(&index) != value);
                    put(slow, index, value);
                }
            }
            Step::Truncate(length) => {
                fast.truncate(length);
                slow.split_off(&length);
            }
            Step::Rewrite(part) => {
                let bytes = fast.part(part).map_or([0; PART_BYTES], |bytes| *bytes);
                fast.set_part(part, &bytes);
            }
        }
    }

    /// The bits of a page as a plain set has them.
    fn plain_page(slow: &BTreeSet<u64>, page: u64) -> Option<Vec<u8>> {
        let mut bytes = alloc::vec![0_u8; PAGE_BYTES];
        let of_page = slow.range(page * PAGE_BITS..(page + 1) * PAGE_BITS);
        of_page.for_each(|index| bytes[usize::try_from(index % PAGE_BITS / 8).unwrap()] |= 1 << (index % 8));
        bytes.iter().any(|byte| *byte != 0).then_some(bytes)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_a_plain_set(steps in prop::collection::vec(step(), 1..16), probes in prop::collection::vec(range(), 4)) {
            let mut fast = Bitfield::default();
            let mut slow = BTreeSet::new();
            steps.iter().for_each(|step| take(step, &mut fast, &mut slow));
            for (start, length) in probes {
                let end = start + length;
                prop_assert_eq!(fast.count(start..end), slow.range(start..end).count() as u64);
                prop_assert_eq!(fast.first_set(start), slow.range(start..).next().copied());
                prop_assert_eq!(fast.last_set(), slow.last().copied());
                let unset = (start..).find(|index| !slow.contains(index)).unwrap();
                prop_assert_eq!(fast.first_unset(start), unset);
                prop_assert_eq!(fast.any(start..end), slow.range(start..end).next().is_some());
                prop_assert_eq!(fast.all(start..end), unset >= end);
                prop_assert_eq!(fast.get(start), slow.contains(&start));
            }
            let (mut parts, mut runs) = (Bitfield::default(), Bitfield::default());
            for page in (0..8).rev() {
                let bytes = plain_page(&slow, page);
                prop_assert_eq!(&fast.page(page).map(|bytes| bytes.to_vec()), &bytes);
                let bytes = bytes.unwrap_or_else(|| alloc::vec![0; PAGE_BYTES]);
                for (at, bytes) in bytes.as_chunks::<PART_BYTES>().0.iter().enumerate().rev() {
                    let part = page * 8 + u64::try_from(at).unwrap();
                    let set = bytes.iter().any(|byte| *byte != 0).then(|| Box::new(*bytes));
                    prop_assert_eq!(fast.part(part), set);
                    parts.set_part(part, bytes);
                }
            }
            slow.iter().rev().for_each(|index| { runs.set(*index, true); });
            prop_assert_eq!(&parts, &fast);
            let first = slow.first().copied().filter(|first| *first > 0).unwrap_or(0);
            let gap = fast.first_unset(0);
            let past: BTreeSet<u64> = slow.iter().filter(|bit| **bit > gap).map(|bit| bit / PART_BITS).collect();
            let (start, end) = (first / PART_BITS, 40);
            let expected: Vec<u64> = past.range(start..end).copied().collect();
            prop_assert_eq!(fast.parts(start..end).collect::<Vec<_>>(), expected);
            prop_assert_eq!(&runs, &fast);
            if let Some(last) = slow.last() {
                runs.set(*last, false);
                prop_assert_ne!(&runs, &fast);
            }
        }
    }

    #[test]
    fn what_has_no_gap_takes_no_page() {
        let mut bits = Bitfield::default();
        bits.set_range(5..3 * PAGE_BITS, true);
        bits.set_range(0..5, true);
        assert_eq!((bits.page_count(), bits.first_unset(0)), (0, 3 * PAGE_BITS));
        bits.set(7, false);
        assert_eq!((bits.page_count(), bits.first_unset(0)), (3, 7));
        bits.set(7, true);
        assert_eq!(bits.page_count(), 0);
    }

    #[test]
    fn the_end_of_the_number_range_is_harmless() {
        let mut bits = Bitfield::default();
        assert!(bits.set(u64::MAX - 1, true));
        assert!(bits.get(u64::MAX - 1));
        bits.truncate(0);
        assert_eq!(bits, Bitfield::default());
    }
}
