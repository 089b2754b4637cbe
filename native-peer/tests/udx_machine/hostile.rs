//! Datagrams that no honest peer sends: nothing panics, nothing grows, the stream goes on.

use crate::virtual_net::{A, B, Link, Net, pattern, remote};
use corestore_core::time::Duration;
use corestore_peer::swarm::udx::{
    CloseReason, Config, Event, Firewall, Header, Kind, OpenError, SocketId, StreamId, StreamOptions,
};
use proptest::prelude::*;

/// Gives machine 1's stream a datagram as if it came from machine 0.
fn forge(net: &mut Net, header: Header, rest: &[u8]) {
    let datagram = [&header.encode()[..], rest].concat();
    assert!(net.machines[1].handle_datagram(net.now, SocketId(0), remote(0, A).address, &datagram));
}

fn header(kind: Kind, seq: u32, ack: u32) -> Header {
    Header { kind, data_offset: 0, stream: B.0, window: 1 << 22, seq, ack }
}

fn ranges(pairs: impl IntoIterator<Item = (u32, u32)>) -> Vec<u8> {
    pairs.into_iter().flat_map(|(start, end)| [start.to_le_bytes(), end.to_le_bytes()]).flatten().collect()
}

/// Machine 1 has written so much that packets are in flight.
fn sending(link: Link) -> Net {
    let mut net = Net::pair(link, 1);
    net.machines[1].write(net.now, B, &mut pattern(100_000)).unwrap();
    net.drain();
    assert!(net.machines[1].stats(B).unwrap().in_flight > 0);
    net
}

#[test]
fn acknowledgements_of_what_was_never_sent_are_ignored() {
    let mut net = sending(Link::default());
    let before = net.machines[1].stats(B).unwrap().in_flight;
    forge(&mut net, header(Kind::ACK, 0, 1_000_000), &[]);
    forge(&mut net, header(Kind::ACK, 0, u32::MAX), &[]);
    let claims = [(0, 1_000_000), (5, 5), (9, 3), (u32::MAX, 2), (1 << 31, 5)];
    forge(&mut net, header(Kind::SACK, 0, 0), &ranges(claims));
    assert_eq!(net.machines[1].stats(B).unwrap().in_flight, before);
}

#[test]
fn an_old_report_does_not_close_the_window() {
    let mut net = sending(Link::default());
    net.run_for(Duration::from_secs(1));
    forge(&mut net, Header { window: 0, ..header(Kind::ACK, 0, 1) }, &[]);
    net.machines[1].write(net.now, B, &mut pattern(1000)).unwrap();
    net.run_for(Duration::from_secs(1));
    let read: usize = std::iter::from_fn(|| net.machines[0].read_chunk(A)).map(|chunk| chunk.len()).sum();
    assert_eq!(read, 101_000);
}

#[test]
fn repeated_ranges_cost_nothing_and_free_nothing_twice() {
    let mut net = sending(Link::default());
    let before = net.machines[1].stats(B).unwrap().in_flight;
    let claims: Vec<(u32, u32)> = (0..50).map(|_| (2, 5)).collect();
    for _ in 0..1000 {
        forge(&mut net, header(Kind::SACK, 0, 0), &ranges(claims.iter().copied()));
    }
    let after = net.machines[1].stats(B).unwrap().in_flight;
    assert!(after < before, "{before} {after}");
    net.run_for(Duration::from_secs(5));
    let read: usize = std::iter::from_fn(|| net.machines[0].read_chunk(A)).map(|chunk| chunk.len()).sum();
    assert_eq!(read, 100_000, "what is acknowledged falsely had arrived; the rest is unharmed");
}

#[test]
fn packets_ahead_are_kept_within_the_window_only() {
    let config = Config { receive_window: 100_000, max_reordered_packets: 50, ..Config::default() };
    let mut net = Net::pair_with(Link::default(), 1, config, StreamOptions::default());
    for seq in (2..4000).step_by(2) {
        forge(&mut net, header(Kind::DATA, seq, 0), &[7; 1000]);
    }
    for seq in 1_000_000..1_001_000 {
        forge(&mut net, header(Kind::DATA, seq, 0), &[]);
    }
    for seq in 0..2000 {
        forge(&mut net, header(Kind::DATA, seq, 0), &[8; 1000]);
    }
    let read: usize = std::iter::from_fn(|| net.machines[1].read_chunk(B)).map(|chunk| chunk.len()).sum();
    assert!((100_000..=220_000).contains(&read), "{read}");
}

#[test]
fn a_reset_from_the_past_is_ignored() {
    let mut net = Net::pair(Link::default(), 1);
    net.transfer(&pattern(100_000), Duration::from_secs(5));
    forge(&mut net, header(Kind::DESTROY, 3, 0), &[]);
    assert_eq!(net.machines[1].close_reason(B), None);
    forge(&mut net, header(Kind::DESTROY, 500, 0), &[]);
    assert_eq!(net.machines[1].close_reason(B), Some(CloseReason::Reset));
}

#[test]
fn datagrams_for_no_stream_leave_no_trace() {
    let mut net = Net::pair(Link::default(), 1);
    for stream in 100..10_000 {
        forge(&mut net, Header { stream, ..header(Kind::DATA, 0, 0) }, &[1; 100]);
        forge(&mut net, Header { stream, ..header(Kind::HEARTBEAT, 0, 0) }, &[]);
    }
    net.drain();
    assert_eq!(net.sent[1], 0);
    assert!(!net.machines[1].handle_datagram(net.now, SocketId(0), remote(0, A).address, &[0x13, 1, 2]));
    assert!(!net.machines[1].handle_datagram(net.now, SocketId(0), remote(0, A).address, &[0]));
}

#[test]
fn a_stranger_is_asked_about_once_and_held_within_limits() {
    let mut net = Net::new(2, Link::default(), 1);
    let options = StreamOptions { firewall: Firewall::Ask, ..StreamOptions::default() };
    net.machines[1].open(net.now, B, options).unwrap();
    for seq in 0..1000 {
        forge(&mut net, header(Kind::DATA, seq, 0), &[1; 1000]);
    }
    net.drain();
    assert_eq!(net.events[1].len(), 1);
    net.machines[1].answer_firewall(net.now, B, true);
    let read: usize = std::iter::from_fn(|| net.machines[1].read_chunk(B)).map(|chunk| chunk.len()).sum();
    assert_eq!(read, 1000 * Config::default().max_held_datagrams);
}

#[test]
fn streams_are_counted() {
    let config = Config { max_streams: 2, ..Config::default() };
    let mut net = Net::pair_with(Link::default(), 1, config, StreamOptions::default());
    net.machines[0].open(net.now, StreamId(5), StreamOptions::default()).unwrap();
    let third = net.machines[0].open(net.now, StreamId(6), StreamOptions::default());
    assert_eq!(third, Err(OpenError::TooManyStreams(2)));
    net.machines[0].release(net.now, StreamId(5));
    let taken = net.machines[0].open(net.now, A, StreamOptions::default());
    assert_eq!(taken, Err(OpenError::InUse(A)));
}

#[test]
fn answers_from_the_grave_are_rationed() {
    let mut net = Net::pair(Link::default(), 1);
    net.machines[1].destroy(B);
    net.machines[1].release(net.now, B);
    net.drain();
    let before = net.sent[1];
    for seq in 0..1000 {
        forge(&mut net, header(Kind::DATA, seq, 0), &[]);
    }
    net.drain();
    assert!(net.sent[1] - before <= 32, "{}", net.sent[1]);
    net.run_for(Duration::from_secs(20));
    assert_eq!(net.machines[1].next_deadline(), None);
    assert!(!net.events[1].contains(&Event::Readable(StreamId(99))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_forged_packet_stops_a_stream_that_it_does_not_reset(
        seed: u64,
        forged in proptest::collection::vec(
            (0u8..64, any::<u8>(), 0u32..300, any::<u32>(), prop_oneof![0u32..300, any::<u32>()],
             proptest::collection::vec(any::<u8>(), 0..80)),
            1..60,
        ),
    ) {
        let mut net = Net::pair(Link { loss: 10, ..Link::default() }, seed);
        net.machines[0].write(net.now, A, &mut pattern(200_000)).unwrap();
        net.machines[1].write(net.now, B, &mut pattern(200_000)).unwrap();
        for (kind, data_offset, seq, window, ack, rest) in forged {
            let forged = Header { kind: Kind(kind), data_offset, stream: B.0, window, seq, ack };
            let datagram = [&forged.encode()[..], &rest].concat();
            net.machines[1].handle_datagram(net.now, SocketId(0), remote(0, A).address, &datagram);
            let until = net.now.after(Duration::from_millis(5));
            net.run_until(until);
        }
        net.run_for(Duration::from_secs(60));
        prop_assert!(net.machines[1].stats(B).is_some());
        net.machines[1].release(net.now, B);
        net.machines[0].release(net.now, A);
        net.run_for(Duration::from_secs(120));
        prop_assert!(net.machines.iter().all(|machine| machine.next_deadline().is_none()));
    }

    #[test]
    fn any_bytes_at_all(datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..100)) {
        let mut net = Net::pair(Link::default(), 1);
        for datagram in datagrams {
            let udx = datagram.len() >= 20 && datagram.starts_with(&[0xff, 1]);
            prop_assert_eq!(net.machines[1].handle_datagram(net.now, SocketId(0), remote(0, A).address, &datagram), udx);
        }
    }
}
