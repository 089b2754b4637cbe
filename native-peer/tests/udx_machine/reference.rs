//! A sender of ours against a receiver as the reference has it: it acknowledges every packet, and names no more than the
//! first [`REPORTED`] ranges that came ahead of order (libudx `src/udx.c` `send_ack`).

use crate::virtual_net::{A, B, pattern, remote};
use bytes::Bytes;
use corestore_core::time::{Duration, Instant};
use corestore_peer::swarm::udx::{Config, Header, Kind, Packet, StreamOptions, Udx};
use std::collections::{BTreeSet, VecDeque};

/// What it has; a window that is always open, as that of a reader who keeps up.
#[derive(Default)]
struct Receiver {
    next: u32,
    ahead: BTreeSet<u32>,
    received: usize,
    /// Packets that had been here before.
    duplicates: u64,
}

impl Receiver {
    fn take(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let packet = Packet::decode(datagram)?;
        if !packet.header.kind.is_ordered() {
            return None;
        }
        if packet.header.seq < self.next || !self.ahead.insert(packet.header.seq) {
            self.duplicates += 1;
        } else {
            self.received += packet.payload.len();
        }
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
        Some(self.report())
    }

    fn report(&self) -> Vec<u8> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for &number in &self.ahead {
            if let Some((_, end)) = ranges.last_mut().filter(|(_, end)| *end == number) {
                *end += 1;
            } else if ranges.len() == REPORTED {
                break;
            } else {
                ranges.push((number, number + 1));
            }
        }
        let kind = if ranges.is_empty() { Kind::ACK } else { Kind::SACK };
        let header = Header { kind, data_offset: 0, stream: A.0, window: WINDOW, seq: 0, ack: self.next };
        let words = ranges.into_iter().flat_map(|(start, end)| [start, end]);
        header.encode().into_iter().chain(words.flat_map(u32::to_le_bytes)).collect()
    }
}

/// Sends `length` bytes over a link that loses `loss` per thousand each way; how long it took, and the machine's and
/// the receiver's count of what went twice.
fn send(length: usize, delay: Duration, loss: u64, seed: u64) -> (Duration, u64, u64) {
    let (mut now, mut receiver) = (Instant::ZERO, Receiver::default());
    let mut sender = Udx::new(Config::default(), [0; 32]);
    sender.open(now, A, StreamOptions::default()).unwrap();
    sender.connect(now, A, remote(1, B), None).unwrap();
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut lost = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % 1000 < loss
    };
    let (mut rest, mut buffer) = (pattern(length), Vec::new());
    let (mut there, mut back) = (VecDeque::new(), VecDeque::new());
    while receiver.received < length && now < Instant::from_micros(600_000_000) {
        sender.write(now, A, &mut rest).unwrap();
        while let Some(transmit) = sender.poll_transmit(now, &mut buffer) {
            let size = transmit.segment_size.unwrap_or(transmit.len);
            let arrived = buffer[..transmit.len].chunks(size).filter(|_| !lost());
            there.extend(arrived.map(|datagram| (now.after(delay), Bytes::copy_from_slice(datagram))));
        }
        while sender.poll_event().is_some() {}
        let front = |queue: &VecDeque<(Instant, Bytes)>| queue.front().map(|(at, _)| *at);
        let next = [front(&there), front(&back), sender.next_deadline()].into_iter().flatten().min();
        now = now.max(next.expect("something is under way"));
        while front(&there).is_some_and(|at| at <= now) {
            let answer = there.pop_front().and_then(|(_, datagram)| receiver.take(&datagram));
            back.extend(answer.filter(|_| !lost()).map(|bytes| (now.after(delay), bytes.into())));
        }
        while front(&back).is_some_and(|at| at <= now) {
            let Some((_, bytes)) = back.pop_front() else { break };
            sender.handle_datagram(now, remote(1, B).socket, remote(1, B).address, &bytes);
        }
        sender.handle_timeout(now);
    }
    (now.since(Instant::ZERO), sender.stats(A).unwrap().retransmits, receiver.duplicates)
}

#[test]
fn losses_beyond_what_the_peer_reports_do_not_hold_the_stream_up() {
    // Fifty ranges a round trip are some fourteen megabytes a second at five per cent.
    let (time, ..) = send(32_000_000, Duration::from_millis(40), 50, 1);
    println!("{time:?}");
    assert!(time < Duration::from_millis(2100), "{time:?}");
}

#[test]
fn what_the_peer_does_not_speak_of_is_not_repeated_while_its_reports_suffice() {
    let (time, repeated, twice) = send(16_000_000, Duration::from_millis(40), 10, 1);
    println!("{time:?} {repeated} {twice}");
    assert!(time < Duration::from_millis(1200), "{time:?}");
    assert!(repeated < 150 && twice < 10, "{repeated}, {twice}");
}

const REPORTED: usize = 50;
const WINDOW: u32 = 4 * 1024 * 1024;
