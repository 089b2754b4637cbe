//! One page of a bitfield, in the smallest of three forms: wholly set, some runs of set bits, or every bit.

use super::bit_runs::Runs;
use super::bitfield::{PAGE_BITS, PAGE_BYTES};
use alloc::boxed::Box;
use core::ops::Range;

/// The bits of a page; ranges lie within it and are counted from its first bit.
#[derive(Clone, Debug)]
pub(super) enum Page {
    Full,
    Runs(Runs),
    Bits(Box<Bits>),
}

/// Every bit of a page.
#[derive(Clone, Debug)]
pub(super) struct Bits {
    bytes: [u8; PAGE_BYTES],
    set: u64,
}

impl Default for Page {
    /// Wholly clear.
    fn default() -> Self {
        Self::Runs(Runs::default())
    }
}

impl Page {
    /// With the bits of `bytes` in place of those from `from` on, a multiple of 8, which are clear.
    pub(super) fn with_bytes(self, from: u64, bytes: &[u8]) -> Self {
        let mut bits = match self {
            Self::Full => return self,
            Self::Runs(runs) => Bits::of(&runs),
            Self::Bits(bits) => bits,
        };
        bits.bytes.iter_mut().skip(byte_of(from)).zip(bytes).for_each(|(to, from)| *to = *from);
        bits.set = bits.bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
        match bits.to_runs() {
            Some(runs) => Self::Runs(runs),
            None => Self::Bits(bits),
        }
        .smallest()
    }

    /// Adds its bits from `from` on, a multiple of 8, to as many bytes, least significant bit first.
    pub(super) fn add_to(&self, bytes: &mut [u8], from: u64) {
        match self {
            Self::Full => bytes.fill(0xff),
            Self::Runs(runs) => {
                let end = from.saturating_add(u64::try_from(bytes.len()).unwrap_or(0).saturating_mul(8));
                let met = runs.iter().skip_while(|run| run.end <= from).take_while(|run| run.start < end);
                met.for_each(|run| {
                    fill(bytes, &(run.start.saturating_sub(from)..run.end.min(end).saturating_sub(from)), true)
                });
            }
            Self::Bits(bits) => {
                let bits = bits.bytes.get(byte_of(from)..).unwrap_or_default();
                bytes.iter_mut().zip(bits).for_each(|(to, from)| *to |= from);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Full => false,
            Self::Runs(runs) => runs.is_empty(),
            Self::Bits(bits) => bits.set == 0,
        }
    }

    /// True for the same bits, in whatever form they are kept.
    pub(super) fn same(&self, other: &Self) -> bool {
        let (mut at, mut value) = (0, true);
        loop {
            let next = self.find(at, value);
            match next {
                _ if next != other.find(at, value) => return false,
                None => return true,
                Some(bit) => (at, value) = (bit, !value),
            }
        }
    }

    pub(super) fn get(&self, bit: u64) -> bool {
        match self {
            Self::Full => true,
            Self::Runs(runs) => runs.get(bit),
            Self::Bits(bits) => bits.get(bit),
        }
    }

    /// Sets or clears a range; an empty one changes nothing.
    pub(super) fn set_range(&mut self, range: Range<u64>, value: bool) {
        if range.start >= range.end {
            return;
        }
        if range == (0..PAGE_BITS) {
            *self = if value { Self::Full } else { Self::default() };
            return;
        }
        if matches!(self, Self::Full) {
            *self = Self::Runs(Runs::from(0..PAGE_BITS));
        }
        match self {
            Self::Full => {}
            Self::Runs(runs) => runs.set_range(range, value),
            Self::Bits(bits) => bits.set_range(range, value),
        }
        *self = core::mem::take(self).smallest();
    }

    /// The first bit at or after `from` that is `value`.
    pub(super) fn find(&self, from: u64, value: bool) -> Option<u64> {
        match self {
            Self::Full => value.then_some(from),
            Self::Runs(runs) => runs.find(from, value),
            Self::Bits(bits) => bits.find(from, value),
        }
        .filter(|bit| *bit < PAGE_BITS)
    }

    /// The last set bit.
    pub(super) fn last(&self) -> Option<u64> {
        match self {
            Self::Full => PAGE_BITS.checked_sub(1),
            Self::Runs(runs) => runs.last(),
            Self::Bits(bits) => bits.last(),
        }
    }

    pub(super) fn any(&self, range: Range<u64>) -> bool {
        range.start < range.end && self.find(range.start, true).is_some_and(|bit| bit < range.end)
    }

    pub(super) fn count(&self, range: Range<u64>) -> u64 {
        match self {
            Self::Full => range.end.saturating_sub(range.start),
            Self::Runs(runs) => runs.count(range),
            Self::Bits(bits) if range == (0..PAGE_BITS) => bits.set,
            Self::Bits(bits) => bits.count(range),
        }
    }

    /// The same bits in the form that suits them; runs once broken into bits are not looked for again.
    fn smallest(self) -> Self {
        match self {
            Self::Runs(runs) if runs.is_full() => Self::Full,
            Self::Runs(runs) if runs.len() > MAX_RUNS => Self::Bits(Bits::of(&runs)),
            Self::Bits(bits) if bits.set == PAGE_BITS => Self::Full,
            page => page,
        }
    }
}

impl Bits {
    fn clear() -> Box<Self> {
        Box::new(Self { bytes: [0; PAGE_BYTES], set: 0 })
    }

    fn of(runs: &Runs) -> Box<Self> {
        let mut bits = Self::clear();
        runs.iter().for_each(|run| bits.set_range(run, true));
        bits
    }

    /// The runs of set bits, unless there are too many.
    fn to_runs(&self) -> Option<Runs> {
        let (mut runs, mut at) = (Runs::default(), 0);
        while let Some(start) = self.find(at, true) {
            at = self.find(start, false).unwrap_or(PAGE_BITS);
            runs.set_range(start..at, true);
            if runs.len() > MAX_RUNS {
                return None;
            }
        }
        Some(runs)
    }

    fn byte(&self, at: u64) -> u8 {
        usize::try_from(at).ok().and_then(|at| self.bytes.get(at)).copied().unwrap_or(0)
    }

    fn get(&self, bit: u64) -> bool {
        self.byte(bit / 8) >> (bit % 8) & 1 == 1
    }

    fn set_range(&mut self, range: Range<u64>, value: bool) {
        let before = self.count(range.clone());
        fill(&mut self.bytes, &range, value);
        let after = if value { range.end.saturating_sub(range.start) } else { 0 };
        self.set = self.set.saturating_sub(before).saturating_add(after);
    }

    fn count(&self, range: Range<u64>) -> u64 {
        masks(range).map(|(at, mask)| u64::from((self.byte(at) & mask).count_ones())).sum()
    }

    /// The first bit at or after `from` that is `value`.
    fn find(&self, from: u64, value: bool) -> Option<u64> {
        let flip = if value { 0 } else { 0xff };
        let first = from / 8;
        let rest = usize::try_from(first).ok().and_then(|at| self.bytes.get(at)).map_or(0, |byte| byte ^ flip);
        let rest = rest >> (from % 8);
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

/// Sets or clears a range of bits in some bytes, least significant bit first.
pub(super) fn fill(bytes: &mut [u8], range: &Range<u64>, value: bool) {
    let mut put = |range: Range<u64>| {
        for (at, mask) in masks(range) {
            if let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at)) {
                *byte = if value { *byte | mask } else { *byte & !mask };
            }
        }
    };
    // The edges bit by bit, whole bytes between them.
    let (first, last) = (range.start.div_ceil(8), range.end / 8);
    if first >= last {
        return put(range.clone());
    }
    put(range.start..first.saturating_mul(8));
    put(last.saturating_mul(8)..range.end);
    let inner = usize::try_from(first).ok().zip(usize::try_from(last).ok());
    if let Some(inner) = inner.and_then(|(first, last)| bytes.get_mut(first..last)) {
        inner.fill(if value { 0xff } else { 0 });
    }
}

/// The byte that a bit of a page lies in.
fn byte_of(bit: u64) -> usize {
    usize::try_from(bit / 8).unwrap_or(PAGE_BYTES)
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
/// More runs than this take as much room and time as every bit does.
const MAX_RUNS: usize = 128;
