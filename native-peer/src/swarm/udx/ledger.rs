//! Every packet sent and not yet cumulatively acknowledged: what it carries, when it went out, whether it is in
//! flight, lost, already acknowledged ahead of order, or what the peer has not said anything of for too long.

use super::range_set::RangeSet;
use super::rate::Snapshot;
use core::ops::Range;
use corestore_core::time::Instant;
use std::collections::{BTreeSet, VecDeque};

/// One packet of the ordered stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Stream offset of its first byte.
    pub(super) offset: u64,
    /// Bytes of payload.
    pub(super) length: u16,
    /// Whether it ends the stream.
    pub(super) ends: bool,
    /// Bytes of padding: more than none makes it an MTU probe.
    pub(super) padding: u8,
    /// Which remote it went to; see `Link`.
    pub(super) path: u32,
    /// Time-outs it has seen.
    pub(super) timeouts: u8,
    /// Whether it was sent more than once.
    pub(super) retransmitted: bool,
    /// Position of its last transmission among all transmissions.
    pub(super) serial: u64,
    /// When that was.
    pub(super) sent_at: Instant,
    /// The delivery rate's state at that moment.
    pub(super) rate: Snapshot,
    status: Status,
}

/// What a new packet carries and where it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contents {
    pub(super) offset: u64,
    pub(super) length: u16,
    pub(super) ends: bool,
    pub(super) padding: u8,
    pub(super) path: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    InFlight,
    Lost,
    /// No longer under way, but the peer's reports do not reach so far.
    Untold,
    Acknowledged,
}

impl Status {
    /// Whether the packet is in flight, or may have been lost there.
    fn is_out(self) -> bool {
        matches!(self, Self::InFlight | Self::Untold)
    }
}

/// The packets from the first unacknowledged to the last sent.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    first: u64,
    packets: VecDeque<Sent>,
    /// First transmissions and repetitions (number, serial), each in order; outdated ones are skipped when they reach
    /// the front.
    first_sent: VecDeque<(u64, u64)>,
    sent_again: VecDeque<(u64, u64)>,
    /// Lost packets to send again; outdated ones are skipped likewise.
    lost: VecDeque<u64>,
    untold: BTreeSet<u64>,
    sacked: RangeSet,
    sacked_packets: usize,
    in_flight: u64,
    in_flight_packets: usize,
    serial: u64,
}

impl Ledger {
    /// An empty ledger whose first packet will have number `first`.
    pub(super) fn new(first: u64) -> Self {
        Self { first, ..Self::default() }
    }

    /// Enters a packet sent now; its number.
    pub(super) fn push(&mut self, contents: Contents, now: Instant, rate: Snapshot) -> u64 {
        let number = self.next();
        self.serial += 1;
        let Contents { offset, length, ends, padding, path } = contents;
        self.packets.push_back(Sent {
            offset,
            length,
            ends,
            padding,
            path,
            timeouts: 0,
            retransmitted: false,
            serial: self.serial,
            sent_at: now,
            rate,
            status: Status::InFlight,
        });
        self.first_sent.push_back((number, self.serial));
        self.in_flight += size(length);
        self.in_flight_packets += 1;
        number
    }

    /// Notes that packet `number` is sent again now.
    pub(super) fn resend(&mut self, number: u64, now: Instant, rate: Snapshot) {
        self.serial += 1;
        let serial = self.serial;
        let Some(packet) = self.slot(number) else { return };
        let was = packet.status;
        packet.status = Status::InFlight;
        packet.retransmitted = true;
        (packet.serial, packet.sent_at, packet.rate, packet.padding) = (serial, now, rate, 0);
        let bytes = size(packet.length);
        if was != Status::InFlight {
            self.in_flight += bytes;
            self.in_flight_packets += 1;
        }
        if was == Status::Untold {
            self.untold.remove(&number);
        }
        self.sent_again.push_back((number, serial));
    }

    /// Marks packet `number` acknowledged; the packet, when it was not yet.
    pub(super) fn acknowledge(&mut self, number: u64) -> Option<Sent> {
        let packet = self.slot(number)?;
        let before = *packet;
        packet.status = Status::Acknowledged;
        match before.status {
            Status::Acknowledged => return None,
            Status::InFlight => self.leave_flight(before.length),
            Status::Untold => {
                self.untold.remove(&number);
            }
            Status::Lost => {}
        }
        Some(before)
    }

    /// The packets of `range` that no range has named before. Work is bounded by what is new.
    pub(super) fn sack(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        let added = self.sacked.insert(range);
        self.sacked_packets += added.iter().map(range_len).sum::<usize>();
        added
    }

    /// Forgets all packets below `number`, which are acknowledged.
    pub(super) fn advance(&mut self, number: u64) {
        while self.first < number && self.packets.pop_front().is_some() {
            self.first += 1;
        }
        let passed = self.sacked.iter().take_while(|range| range.start < number);
        let passed: usize = passed.map(|range| range_len(&(range.start..range.end.min(number)))).sum();
        if passed > 0 {
            self.sacked.remove_below(number);
            self.sacked_packets -= passed;
        }
    }

    /// Marks packet `number` lost and queues it to be sent again; the packet, when it was in flight or untold.
    pub(super) fn lose(&mut self, number: u64) -> Option<Sent> {
        let before = *self.slot(number)?;
        match before.status {
            Status::InFlight => self.leave_flight(before.length),
            Status::Untold => {
                self.untold.remove(&number);
            }
            Status::Lost | Status::Acknowledged => return None,
        }
        if let Some(packet) = self.slot(number) {
            (packet.status, packet.padding) = (Status::Lost, 0);
        }
        self.lost.push_back(number);
        Some(before)
    }

    /// Packet `number` is no longer under way, but whether it arrived the peer does not tell.
    pub(super) fn leave_untold(&mut self, number: u64) {
        if let Some(packet) = self.slot(number).filter(|packet| packet.status == Status::InFlight) {
            packet.status = Status::Untold;
            let length = packet.length;
            self.leave_flight(length);
            self.untold.insert(number);
        }
    }

    /// The first packet the peer does not speak of.
    pub(super) fn first_untold(&self) -> Option<(u64, Sent)> {
        let number = *self.untold.first()?;
        Some((number, *self.get(number)?))
    }

    /// Counts a time-out of packet `number`; how many it has seen.
    pub(super) fn time_out(&mut self, number: u64) -> u8 {
        self.slot(number).map_or(0, |packet| {
            packet.timeouts = packet.timeouts.saturating_add(1);
            packet.timeouts
        })
    }

    /// Sends packet `number` to another remote from now on.
    pub(super) fn move_to(&mut self, number: u64, path: u32) {
        if let Some(packet) = self.slot(number) {
            packet.path = path;
        }
    }

    /// The lost packet to send again first.
    pub(super) fn next_lost(&mut self) -> Option<(u64, Sent)> {
        while let Some(&number) = self.lost.front() {
            match self.get(number) {
                Some(packet) if packet.status == Status::Lost => return Some((number, *packet)),
                _ => self.lost.pop_front(),
            };
        }
        None
    }

    /// The packet in flight whose last transmission is the oldest, among those sent once or among those sent `again`.
    pub(super) fn oldest(&mut self, again: bool) -> Option<(u64, Sent)> {
        let front = |ledger: &Self| if again { ledger.sent_again.front() } else { ledger.first_sent.front() }.copied();
        while let Some((number, serial)) = front(self) {
            match self.get(number) {
                Some(packet) if packet.serial == serial && packet.status == Status::InFlight => {
                    return Some((number, *packet));
                }
                _ if again => self.sent_again.pop_front(),
                _ => self.first_sent.pop_front(),
            };
        }
        None
    }

    /// Packet `number`, unless it has been forgotten.
    pub(super) fn get(&self, number: u64) -> Option<&Sent> {
        self.packets.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The packet with the highest number that is in flight, or untold.
    pub(super) fn last_in_flight(&self) -> Option<(u64, Sent)> {
        let back = self.packets.iter().rposition(|packet| packet.status.is_out())?;
        Some((self.first + u64::try_from(back).ok()?, *self.packets.get(back)?))
    }

    /// Numbers of the packets that are in flight or untold, ascending.
    pub(super) fn numbers_in_flight(&self) -> Vec<u64> {
        let numbered = (self.first..).zip(&self.packets);
        numbered.filter(|(_, packet)| packet.status.is_out()).map(|(number, _)| number).collect()
    }

    /// Number of the first packet not cumulatively acknowledged.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Number of the next new packet.
    pub(super) fn next(&self) -> u64 {
        self.first + u64::try_from(self.packets.len()).unwrap_or(u64::MAX)
    }

    /// Packets sent and not cumulatively acknowledged.
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether every packet is acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Offset of the first byte that is not cumulatively acknowledged, when there is one.
    pub(super) fn first_offset(&self) -> Option<u64> {
        self.packets.front().map(|packet| packet.offset)
    }

    /// Bytes in flight, headers included.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Packets in flight.
    pub(super) fn in_flight_packets(&self) -> usize {
        self.in_flight_packets
    }

    /// Packets acknowledged ahead of order.
    pub(super) fn sacked_packets(&self) -> usize {
        self.sacked_packets
    }

    fn slot(&mut self, number: u64) -> Option<&mut Sent> {
        self.packets.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn leave_flight(&mut self, length: u16) {
        self.in_flight = self.in_flight.saturating_sub(size(length));
        self.in_flight_packets = self.in_flight_packets.saturating_sub(1);
    }
}

/// Bytes a packet counts for: its datagram without padding.
pub(super) fn size(length: u16) -> u64 {
    u64::from(length) + HEADER
}

fn range_len(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

const HEADER: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(packets: u64) -> Ledger {
        let mut ledger = Ledger::new(10);
        for index in 0..packets {
            let contents = Contents { offset: index * 100, length: 100, ends: false, padding: 0, path: 0 };
            assert_eq!(ledger.push(contents, Instant::ZERO, Snapshot::default()), 10 + index);
        }
        ledger
    }

    #[test]
    fn a_packet_counts_in_flight_once() {
        let mut ledger = ledger(3);
        assert_eq!(ledger.in_flight(), 360);
        assert!(ledger.lose(11).is_some());
        assert!(ledger.lose(11).is_none());
        assert_eq!((ledger.in_flight(), ledger.next_lost().map(|lost| lost.0)), (240, Some(11)));
        ledger.resend(11, Instant::ZERO, Snapshot::default());
        assert_eq!((ledger.in_flight(), ledger.next_lost().is_none()), (360, true));
        assert!(ledger.acknowledge(11).is_some());
        assert!(ledger.acknowledge(11).is_none());
        assert_eq!(ledger.in_flight(), 240);
    }

    #[test]
    fn the_oldest_is_by_last_transmission() {
        let mut ledger = ledger(3);
        ledger.lose(10);
        ledger.resend(10, Instant::ZERO, Snapshot::default());
        assert_eq!(ledger.oldest(false).map(|oldest| oldest.0), Some(11));
        assert_eq!(ledger.oldest(true).map(|oldest| oldest.0), Some(10));
        ledger.acknowledge(11);
        ledger.acknowledge(12);
        assert!(ledger.oldest(false).is_none());
        ledger.lose(10);
        assert!(ledger.oldest(true).is_none());
    }

    #[test]
    fn an_untold_packet_is_neither_in_flight_nor_lost_until_it_is_judged() {
        let mut ledger = ledger(4);
        [11, 12, 13].into_iter().for_each(|number| ledger.leave_untold(number));
        assert_eq!((ledger.in_flight(), ledger.oldest(false).map(|oldest| oldest.0)), (120, Some(10)));
        assert_eq!((ledger.first_untold().map(|first| first.0), ledger.next_lost().is_none()), (Some(11), true));
        assert!(ledger.acknowledge(11).is_some());
        assert!(ledger.lose(12).is_some());
        assert_eq!((ledger.in_flight(), ledger.next_lost().map(|lost| lost.0)), (120, Some(12)));
        assert_eq!(ledger.first_untold().map(|first| first.0), Some(13));
        ledger.resend(13, Instant::ZERO, Snapshot::default());
        assert_eq!((ledger.in_flight(), ledger.first_untold().is_none()), (240, true));
    }

    #[test]
    fn sacked_packets_are_counted_until_the_ack_passes_them() {
        let mut ledger = ledger(6);
        assert_eq!(ledger.sack(12..14).len(), 1);
        assert_eq!(ledger.sack(11..15), [11..12, 14..15]);
        assert_eq!(ledger.sacked_packets(), 4);
        ledger.advance(13);
        assert_eq!((ledger.sacked_packets(), ledger.first(), ledger.len()), (2, 13, 3));
    }
}
