//! What arrived: packets ahead of a missing one, and bytes in order that the reader has not yet taken.

use super::range_set::RangeSet;
use bytes::{Bytes, BytesMut};
use core::ops::Range;
use std::collections::{BTreeMap, VecDeque};

/// Both halves of one stream's receiving side.
#[derive(Debug)]
pub(super) struct ReceiveBuffer {
    /// Bytes in order, unread.
    chunks: VecDeque<BytesMut>,
    readable: usize,
    /// Number of the next packet in order.
    next: u64,
    /// Packets ahead of `next`.
    ahead: BTreeMap<u64, Bytes>,
    ahead_bytes: usize,
    ranges: RangeSet,
    /// Where the next report on `ranges` starts.
    report_from: u64,
    /// Number of the packet that ends the stream.
    end: Option<u64>,
    window: usize,
    max_ahead: usize,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// In order: bytes can be read, or the end has been reached.
    InOrder,
    /// Kept until the missing ones arrive.
    Ahead,
    /// Had been here before.
    Duplicate,
    /// No room; the peer will send it again.
    Dropped,
}

impl ReceiveBuffer {
    /// An empty buffer that waits for packet `next`, keeps about `window` bytes and `max_ahead` reordered packets.
    pub(super) fn new(next: u64, window: u32, max_ahead: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            readable: 0,
            next,
            ahead: BTreeMap::new(),
            ahead_bytes: 0,
            ranges: RangeSet::default(),
            report_from: 0,
            end: None,
            window: usize::try_from(window).unwrap_or(usize::MAX),
            max_ahead,
        }
    }

    /// Takes packet `number`; `ends` when it is the stream's last.
    pub(super) fn accept(&mut self, number: u64, payload: &[u8], ends: bool) -> Arrival {
        if number < self.next || self.ahead.contains_key(&number) || self.end.is_some_and(|end| number > end) {
            return Arrival::Duplicate;
        }
        if !self.has_room(number, payload.len()) {
            return Arrival::Dropped;
        }
        if ends {
            self.end = Some(number);
            self.drop_above(number);
        }
        if number > self.next {
            self.ahead_bytes += payload.len();
            self.ahead.insert(number, Bytes::copy_from_slice(payload));
            self.ranges.insert(number..number + 1);
            return Arrival::Ahead;
        }
        self.append(payload);
        self.next += 1;
        self.join();
        Arrival::InOrder
    }

    /// Takes up to `out.len()` bytes into `out`; how many.
    pub(super) fn read(&mut self, out: &mut [u8]) -> usize {
        let mut filled = 0;
        while let Some(chunk) = self.chunks.front_mut()
            && let Some(rest) = out.get_mut(filled..)
            && !rest.is_empty()
        {
            let part = chunk.split_to(chunk.len().min(rest.len()));
            if let Some(slot) = rest.get_mut(..part.len()) {
                slot.copy_from_slice(&part);
            }
            filled += part.len();
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        self.readable -= filled;
        filled
    }

    /// Takes the next bytes without copying them.
    pub(super) fn read_chunk(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.pop_front()?.freeze();
        self.readable -= chunk.len();
        Some(chunk)
    }

    /// Forgets the packets that wait for a missing one.
    pub(super) fn clear_ahead(&mut self) {
        self.ahead.clear();
        self.ahead_bytes = 0;
        self.ranges = RangeSet::default();
    }

    /// Starts at packet `next` instead, when nothing has arrived.
    pub(super) fn start_at(&mut self, next: u64) {
        self.next = next;
    }

    /// Number of the next packet in order.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Bytes ready to be read.
    pub(super) fn readable(&self) -> usize {
        self.readable
    }

    /// Bytes the peer may send beyond `next`.
    pub(super) fn window(&self) -> u32 {
        u32::try_from(self.window.saturating_sub(self.readable)).unwrap_or(u32::MAX)
    }

    /// Bytes the window holds when all is read.
    pub(super) fn full_window(&self) -> u32 {
        u32::try_from(self.window).unwrap_or(u32::MAX)
    }

    /// Whether every packet up to the last has arrived.
    pub(super) fn is_complete(&self) -> bool {
        self.end.is_some_and(|end| self.next > end)
    }

    /// Up to `limit` ranges ahead of `next` for one acknowledgement. When there are more, each call goes on where the
    /// last one ended: the sender remembers, and must not take for lost what is merely not mentioned.
    pub(super) fn report(&mut self, limit: usize) -> Vec<Range<u64>> {
        let after: Vec<_> = self.ranges.iter_from(self.report_from).take(limit).collect();
        let before = limit - after.len();
        let from_start = self.ranges.iter().take_while(|range| range.start < self.report_from).take(before);
        let mut report: Vec<_> = from_start.collect();
        let wrapped = report.last().map(|range| range.end);
        let last = after.last().map_or(0, |range| range.end);
        self.report_from = if after.len() == limit { last } else { wrapped.unwrap_or(0) };
        report.extend(after);
        report
    }

    /// Whether packets wait for a missing one.
    pub(super) fn has_gap(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// The missing packet that the others wait for is taken however many of them there are: without it none of them
    /// could ever be read.
    fn has_room(&self, number: u64, length: usize) -> bool {
        if number == self.next {
            return self.readable < self.window.saturating_add(SLACK);
        }
        let used = self.readable + self.ahead_bytes;
        used + length <= self.window.saturating_mul(2) && self.ahead.len() < self.max_ahead
    }

    /// Forgets what a peer sent beyond the end it now names.
    fn drop_above(&mut self, number: u64) {
        for payload in self.ahead.split_off(&number).into_values() {
            self.ahead_bytes -= payload.len();
        }
        let kept: Vec<_> = self.ahead.keys().copied().collect();
        self.ranges = RangeSet::default();
        for number in kept {
            self.ranges.insert(number..number + 1);
        }
    }

    fn join(&mut self) {
        while let Some(entry) = self.ahead.first_entry()
            && *entry.key() == self.next
        {
            let payload = entry.remove();
            self.ahead_bytes -= payload.len();
            self.append(&payload);
            self.next += 1;
        }
        self.ranges.remove_below(self.next);
    }

    fn append(&mut self, payload: &[u8]) {
        self.readable += payload.len();
        match self.chunks.back_mut() {
            Some(chunk) if chunk.capacity() - chunk.len() >= payload.len() => chunk.extend_from_slice(payload),
            _ if payload.is_empty() => {}
            last => {
                let capacity = if last.is_some() { CHUNK } else { SMALL_CHUNK };
                let mut chunk = BytesMut::with_capacity(capacity.max(payload.len()));
                chunk.extend_from_slice(payload);
                self.chunks.push_back(chunk);
            }
        }
    }
}

const CHUNK: usize = 64 * 1024;
const SMALL_CHUNK: usize = 4 * 1024;
const SLACK: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(buffer: &mut ReceiveBuffer) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(chunk) = buffer.read_chunk() {
            out.extend_from_slice(&chunk);
        }
        out
    }

    #[test]
    fn a_full_buffer_refuses_what_is_ahead_but_takes_what_is_next() {
        let mut buffer = ReceiveBuffer::new(0, 10, 4);
        assert_eq!(buffer.accept(1, &[1; 15], false), Arrival::Ahead);
        assert_eq!(buffer.accept(2, &[2; 15], false), Arrival::Dropped);
        assert_eq!(buffer.accept(0, &[0; 5], false), Arrival::InOrder);
        assert_eq!((buffer.window(), buffer.readable()), (0, 20));
        let mut out = [9; 12];
        assert_eq!(buffer.read(&mut out), 12);
        assert_eq!(out, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(buffer.window(), 2);
    }

    #[test]
    fn the_missing_packet_is_taken_however_much_waits_for_it() {
        let mut buffer = ReceiveBuffer::new(0, 100_000, 200);
        let kept = (1..200).filter(|&number| buffer.accept(number, &[1; 2000], false) == Arrival::Ahead).count();
        assert_eq!(kept, 100);
        assert_eq!(buffer.accept(0, &[0; 2000], false), Arrival::InOrder);
        assert_eq!(buffer.readable(), 202_000);
    }

    #[test]
    fn reordered_packets_are_counted() {
        let mut buffer = ReceiveBuffer::new(0, 1 << 20, 2);
        assert_eq!(buffer.accept(5, b"a", false), Arrival::Ahead);
        assert_eq!(buffer.accept(3, b"", false), Arrival::Ahead);
        assert_eq!(buffer.accept(3, b"", false), Arrival::Duplicate);
        assert_eq!(buffer.accept(9, b"b", false), Arrival::Dropped);
        assert_eq!(buffer.report(9), [3..4, 5..6]);
    }

    #[test]
    fn reports_go_round_when_there_are_many_ranges() {
        let mut buffer = ReceiveBuffer::new(0, 1 << 20, 100);
        (1..6).for_each(|number| assert_eq!(buffer.accept(number * 2, b"", false), Arrival::Ahead));
        assert_eq!(buffer.report(2), [2..3, 4..5]);
        assert_eq!(buffer.report(2), [6..7, 8..9]);
        assert_eq!(buffer.report(2), [2..3, 10..11]);
        assert_eq!(buffer.report(2), [4..5, 6..7]);
        assert_eq!(buffer.report(9).len(), 5);
        assert_eq!(buffer.report(9).len(), 5);
    }

    #[test]
    fn nothing_comes_after_the_end() {
        let mut buffer = ReceiveBuffer::new(0, 1 << 20, 8);
        buffer.accept(1, b"b", true);
        assert_eq!(buffer.accept(2, b"c", false), Arrival::Duplicate);
        assert!(!buffer.is_complete());
        buffer.accept(0, b"a", false);
        assert!(buffer.is_complete());
        assert_eq!(all(&mut buffer), b"ab");
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_bytes(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 1..40),
            seed: u64,
        ) {
            let mut order: Vec<usize> = (0..payloads.len()).flat_map(|index| [index, index]).collect();
            let mut state = seed | 1;
            for index in (1..order.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                order.swap(index, (state >> 33) as usize % (index + 1));
            }
            let mut buffer = ReceiveBuffer::new(100, 1 << 20, 64);
            for index in order {
                let arrival = buffer.accept(100 + index as u64, &payloads[index], index + 1 == payloads.len());
                prop_assert_ne!(arrival, Arrival::Dropped);
            }
            prop_assert!(buffer.is_complete() && !buffer.has_gap());
            prop_assert_eq!(all(&mut buffer), payloads.concat());
        }
    }
}
