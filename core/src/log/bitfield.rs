//! Which blocks are stored: one bit a block, in pages of 32,768 bits (`hypercore/lib/bitfield.js`).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

/// Bits per page.
pub const PAGE_BITS: u64 = 32_768;
/// Bytes per page.
pub const PAGE_BYTES: usize = 4096;

/// A sparse set of block indexes. Pages that are wholly clear or wholly set take no room of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitfield {
    pages: BTreeMap<u64, Page>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Page {
    Full,
    Some(Box<Bits>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bits {
    bytes: [u8; PAGE_BYTES],
    set: u64,
}

static FULL: [u8; PAGE_BYTES] = [0xff; PAGE_BYTES];

impl Bitfield {
    /// True when `index` is set.
    pub fn get(&self, index: u64) -> bool {
        match self.pages.get(&(index / PAGE_BITS)) {
            None => false,
            Some(Page::Full) => true,
            Some(Page::Some(bits)) => bits.get(index % PAGE_BITS),
        }
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
        if !value {
            return self.clear_range(&range);
        }
        for page in range.start / PAGE_BITS..=range.end.saturating_sub(1) / PAGE_BITS {
            let within = within(&range, page);
            if within == (0..PAGE_BITS) {
                self.pages.insert(page, Page::Full);
                continue;
            }
            let entry = self.pages.entry(page).or_insert_with(|| Page::Some(Bits::clear()));
            if let Page::Some(bits) = entry {
                bits.set_range(within, true);
                if bits.set == PAGE_BITS {
                    *entry = Page::Full;
                }
            }
        }
    }

    fn clear_range(&mut self, range: &Range<u64>) {
        let last = range.end.saturating_sub(1) / PAGE_BITS;
        let touched: Vec<u64> = self.pages.range(range.start / PAGE_BITS..=last).map(|(page, _)| *page).collect();
        for page in touched {
            let within = within(range, page);
            let emptied = match self.pages.get_mut(&page) {
                None => false,
                Some(_) if within == (0..PAGE_BITS) => true,
                Some(entry) => {
                    if *entry == Page::Full {
                        *entry = Page::Some(Bits::full());
                    }
                    match entry {
                        Page::Full => false,
                        Page::Some(bits) => {
                            bits.set_range(within, false);
                            bits.set == 0
                        }
                    }
                }
            };
            if emptied {
                self.pages.remove(&page);
            }
        }
    }

    /// Clears every bit from `length` on.
    pub fn truncate(&mut self, length: u64) {
        self.clear_range(&(length..u64::MAX));
    }

    /// The first set bit at or after `from`.
    pub fn first_set(&self, from: u64) -> Option<u64> {
        let first = from / PAGE_BITS;
        self.pages.range(first..).find_map(|(page, entry)| {
            let start = if *page == first { from % PAGE_BITS } else { 0 };
            let found = match entry {
                Page::Full => Some(start),
                Page::Some(bits) => bits.find(start, true),
            };
            found.map(|bit| page.saturating_mul(PAGE_BITS).saturating_add(bit))
        })
    }

    /// The first clear bit at or after `from`.
    pub fn first_unset(&self, from: u64) -> u64 {
        let mut at = from;
        loop {
            let page = at / PAGE_BITS;
            let next = page.saturating_add(1).saturating_mul(PAGE_BITS);
            match self.pages.get(&page) {
                None => return at,
                Some(Page::Full) => at = next,
                Some(Page::Some(bits)) => match bits.find(at % PAGE_BITS, false) {
                    Some(bit) => return page.saturating_mul(PAGE_BITS).saturating_add(bit),
                    None => at = next,
                },
            }
        }
    }

    /// The last set bit.
    pub fn last_set(&self) -> Option<u64> {
        let (page, entry) = self.pages.last_key_value()?;
        let bit = match entry {
            Page::Full => PAGE_BITS.saturating_sub(1),
            Page::Some(bits) => bits.last()?,
        };
        Some(page.saturating_mul(PAGE_BITS).saturating_add(bit))
    }

    /// True when any bit of the range is set.
    pub fn any(&self, range: Range<u64>) -> bool {
        let last = range.end.saturating_sub(1) / PAGE_BITS;
        range.start < range.end
            && self.pages.range(range.start / PAGE_BITS..=last).any(|(page, entry)| match entry {
                Page::Full => true,
                Page::Some(bits) => bits.any(within(&range, *page)),
            })
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
        let pages = self.pages.range(range.start / PAGE_BITS..=range.end.saturating_sub(1) / PAGE_BITS);
        pages
            .map(|(page, entry)| {
                let within = within(&range, *page);
                match entry {
                    Page::Full => within.end.saturating_sub(within.start),
                    Page::Some(bits) if within == (0..PAGE_BITS) => bits.set,
                    Page::Some(bits) => bits.count(within),
                }
            })
            .fold(0, u64::saturating_add)
    }

    /// The bytes of a page, least significant bit first; `None` when it is wholly clear.
    pub fn page(&self, page: u64) -> Option<&[u8; PAGE_BYTES]> {
        match self.pages.get(&page)? {
            Page::Full => Some(&FULL),
            Page::Some(bits) => Some(&bits.bytes),
        }
    }

    /// Sets a whole page from bytes; missing bytes are clear, more than a page are ignored.
    pub fn set_page(&mut self, page: u64, bytes: &[u8]) {
        let mut bits = Bits::clear();
        bits.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        bits.set = bits.bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
        match bits.set {
            0 => self.pages.remove(&page),
            PAGE_BITS => self.pages.insert(page, Page::Full),
            _ => self.pages.insert(page, Page::Some(bits)),
        };
    }

    /// How many pages hold set bits.
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// The numbers of the pages that hold set bits.
    pub fn pages(&self) -> impl Iterator<Item = u64> + '_ {
        self.pages.keys().copied()
    }
}

/// The part of `range` that lies in `page`, counted from the page's first bit.
fn within(range: &Range<u64>, page: u64) -> Range<u64> {
    let first = page.saturating_mul(PAGE_BITS);
    range.start.saturating_sub(first)..range.end.saturating_sub(first).min(PAGE_BITS)
}

impl Bits {
    fn clear() -> Box<Self> {
        Box::new(Self { bytes: [0; PAGE_BYTES], set: 0 })
    }

    fn full() -> Box<Self> {
        Box::new(Self { bytes: FULL, set: PAGE_BITS })
    }

    fn byte(&self, at: u64) -> u8 {
        usize::try_from(at).ok().and_then(|at| self.bytes.get(at)).copied().unwrap_or(0)
    }

    fn get(&self, bit: u64) -> bool {
        self.byte(bit / 8) >> (bit % 8) & 1 == 1
    }

    fn set_range(&mut self, range: Range<u64>, value: bool) {
        let before = self.count(range.clone());
        for (at, mask) in masks(range.clone()) {
            if let Some(byte) = usize::try_from(at).ok().and_then(|at| self.bytes.get_mut(at)) {
                *byte = if value { *byte | mask } else { *byte & !mask };
            }
        }
        let after = if value { range.end.saturating_sub(range.start) } else { 0 };
        self.set = self.set.saturating_sub(before).saturating_add(after);
    }

    fn count(&self, range: Range<u64>) -> u64 {
        masks(range).map(|(at, mask)| u64::from((self.byte(at) & mask).count_ones())).sum()
    }

    fn any(&self, range: Range<u64>) -> bool {
        let [first, last] = [range.start / 8, range.end.div_ceil(8)];
        // The edges bit by bit, whole bytes between them.
        let edge = |at: u64| {
            masks(range.start.max(at.saturating_mul(8))..range.end.min(at.saturating_add(1).saturating_mul(8)))
        };
        let set = |at: u64| edge(at).any(|(at, mask)| self.byte(at) & mask != 0);
        let inner = usize::try_from(first.saturating_add(1)).ok().zip(usize::try_from(last.saturating_sub(1)).ok());
        let between = inner.and_then(|(start, end)| self.bytes.get(start..end)).unwrap_or_default();
        range.start < range.end && (set(first) || set(last.saturating_sub(1)) || first_other(between, 0).is_some())
    }

    /// The first bit at or after `from` that is `value`.
    fn find(&self, from: u64, value: bool) -> Option<u64> {
        let flip = if value { 0 } else { 0xff };
        let first = from / 8;
        let rest = (self.byte(first) ^ flip) >> (from % 8);
        if rest != 0 {
            return Some(from.saturating_add(u64::from(rest.trailing_zeros())));
        }
        let skip = usize::try_from(first).unwrap_or(PAGE_BYTES).saturating_add(1);
        let tail = self.bytes.get(skip..)?;
        let at = first_other(tail, flip)?;
        let byte = tail.get(at)? ^ flip;
        let position = u64::try_from(skip.saturating_add(at)).ok()?;
        Some(position.saturating_mul(8).saturating_add(u64::from(byte.trailing_zeros())))
    }

    fn last(&self) -> Option<u64> {
        let at = self.bytes.iter().rposition(|byte| *byte != 0)?;
        let high = 7_u64.saturating_sub(u64::from(self.bytes.get(at)?.leading_zeros()));
        Some(u64::try_from(at).ok()?.saturating_mul(8).saturating_add(high))
    }
}

/// Where the first byte lies that is not `same`; looked for many bytes at a time.
fn first_other(bytes: &[u8], same: u8) -> Option<usize> {
    let runs = bytes.chunks(SCAN_BYTES);
    let skipped = runs.take_while(|run| run.iter().fold(0, |other, byte| other | (byte ^ same)) == 0).count();
    let start = skipped.saturating_mul(SCAN_BYTES);
    let at = bytes.get(start..)?.iter().position(|byte| byte ^ same != 0)?;
    Some(start.saturating_add(at))
}

/// The bytes a range of bits touches, each with the mask of its bits.
fn masks(range: Range<u64>) -> impl Iterator<Item = (u64, u8)> {
    (range.start / 8..range.end.div_ceil(8)).map(move |at| {
        let first = at.saturating_mul(8);
        let low = range.start.saturating_sub(first).min(8);
        let high = range.end.saturating_sub(first).min(8);
        let below = |bit: u64| u8::try_from((1_u16 << bit).saturating_sub(1)).unwrap_or(0xff);
        (at, below(high) & !below(low))
    })
}

/// Bytes looked at together.
const SCAN_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    fn range() -> impl Strategy<Value = (u64, u64)> {
        let near = 0_u64..200;
        let page = (PAGE_BITS - 100)..(PAGE_BITS + 100);
        let far = (3 * PAGE_BITS - 20)..(3 * PAGE_BITS + 20);
        let start = prop_oneof![near, page, far];
        (start, prop_oneof![0_u64..70, Just(PAGE_BITS), Just(2 * PAGE_BITS + 7)])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_a_plain_set(steps in prop::collection::vec((range(), any::<bool>()), 1..12), probe in range()) {
            let mut fast = Bitfield::default();
            let mut slow = BTreeSet::new();
            for ((start, length), value) in steps {
                let range = start..start + length;
                fast.set_range(range.clone(), value);
                for index in range {
                    if value { slow.insert(index); } else { slow.remove(&index); }
                }
            }
            let (start, length) = probe;
            let end = start + length;
            prop_assert_eq!(fast.count(start..end), slow.range(start..end).count() as u64);
            prop_assert_eq!(fast.first_set(start), slow.range(start..).next().copied());
            prop_assert_eq!(fast.last_set(), slow.last().copied());
            let unset = (start..).find(|index| !slow.contains(index)).unwrap();
            prop_assert_eq!(fast.first_unset(start), unset);
            prop_assert_eq!(fast.any(start..end), slow.range(start..end).next().is_some());
            prop_assert_eq!(fast.get(start), slow.contains(&start));
            let mut copy = Bitfield::default();
            for page in fast.pages() {
                copy.set_page(page, fast.page(page).unwrap());
            }
            prop_assert_eq!(&copy, &fast);
            fast.truncate(start);
            prop_assert_eq!(fast.count(0..u64::MAX), slow.range(..start).count() as u64);
        }
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
