//! Runs of set bits within a page of a bitfield: four bytes a run.

use super::bitfield::PAGE_BITS;
use alloc::vec::Vec;
use core::ops::Range;

/// Runs in order, each apart from the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs(Vec<Run>);

#[derive(Clone, Copy, Debug)]
struct Run {
    start: u16,
    /// First bit past it.
    end: u16,
}

impl From<Range<u64>> for Runs {
    fn from(range: Range<u64>) -> Self {
        let mut runs = Self::default();
        runs.set_range(range, true);
        runs
    }
}

impl Runs {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when every bit of the page is set.
    pub(super) fn is_full(&self) -> bool {
        self.0.first().is_some_and(|run| run.start == 0 && u64::from(run.end) == PAGE_BITS)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().map(|run| u64::from(run.start)..u64::from(run.end))
    }

    pub(super) fn get(&self, bit: u64) -> bool {
        self.find(bit, true) == Some(bit)
    }

    /// Sets or clears a range that is not empty.
    pub(super) fn set_range(&mut self, range: Range<u64>, value: bool) {
        let (start, end) = (narrow(range.start), narrow(range.end));
        // Runs that touch the range when they join it; those that overlap it when it is cut out.
        let (first, past) = if value {
            (self.0.partition_point(|run| run.end < start), self.0.partition_point(|run| run.start <= end))
        } else {
            (self.0.partition_point(|run| run.end <= start), self.0.partition_point(|run| run.start < end))
        };
        let met = self.0.get(first..past).unwrap_or_default();
        let before = met.first().map_or(start, |run| run.start.min(start));
        let after = met.last().map_or(end, |run| run.end.max(end));
        if value {
            self.0.splice(first..past, [Run { start: before, end: after }]);
        } else {
            let left = (before < start).then_some(Run { start: before, end: start });
            let right = (end < after).then_some(Run { start: end, end: after });
            self.0.splice(first..past.max(first), left.into_iter().chain(right));
        }
    }

    /// The first bit at or after `from` that is `value`; a clear one may lie past the page.
    pub(super) fn find(&self, from: u64, value: bool) -> Option<u64> {
        let next = self.0.get(self.0.partition_point(|run| u64::from(run.end) <= from));
        match next {
            Some(run) if value => Some(from.max(u64::from(run.start))),
            Some(run) if u64::from(run.start) <= from => Some(u64::from(run.end)),
            _ => (!value).then_some(from),
        }
    }

    /// The last set bit.
    pub(super) fn last(&self) -> Option<u64> {
        self.0.last().map(|run| u64::from(run.end).saturating_sub(1))
    }

    pub(super) fn count(&self, range: Range<u64>) -> u64 {
        let first = self.0.partition_point(|run| u64::from(run.end) <= range.start);
        let met = self.0.iter().skip(first).take_while(|run| u64::from(run.start) < range.end);
        met.map(|run| u64::from(run.end).min(range.end).saturating_sub(u64::from(run.start).max(range.start))).sum()
    }
}

/// Bits of a page, and their number, fit.
fn narrow(bit: u64) -> u16 {
    u16::try_from(bit).unwrap_or(u16::MAX)
}
