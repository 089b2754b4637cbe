//! Streams that pass through a third machine, and streams that change their remote.

use crate::virtual_net::{A, B, Link, Net, address, pattern, remote};
use corestore_core::time::Duration;
use corestore_peer::swarm::udx::{
    CloseReason, Event, Firewall, Meter, Remote, SocketId, StreamError, StreamId, StreamOptions,
};

const RELAY_A: StreamId = StreamId(11);
const RELAY_B: StreamId = StreamId(12);

/// Machine 0 with stream A and machine 1 with stream B, each connected to its half on machine 2.
fn relayed(link: Link, seed: u64) -> Net {
    let mut net = Net::new(3, link, seed);
    let options = StreamOptions { firewall: Firewall::Accept, ..StreamOptions::default() };
    for (machine, own, half) in [(0, A, RELAY_A), (1, B, RELAY_B)] {
        net.machines[machine].open(net.now, own, options).unwrap();
        net.machines[machine].connect(net.now, own, remote(2, half), None).unwrap();
        net.machines[2].open(net.now, half, options).unwrap();
        net.machines[2].connect(net.now, half, remote(machine, own), None).unwrap();
    }
    net.machines[2].relay_to(RELAY_A, RELAY_B).unwrap();
    net.machines[2].relay_to(RELAY_B, RELAY_A).unwrap();
    net
}

#[test]
fn a_relay_passes_streams_and_messages_on() {
    let mut net = relayed(Link { loss: 20, ..Link::default() }, 1);
    net.machines[1].send_message(B, pattern(500)).unwrap();
    let bytes = pattern(1_000_000);
    let (read, _) = net.transfer(&bytes, Duration::from_secs(60));
    assert!(read == bytes);
    assert_eq!(net.machines[0].receive_message(A), Some(pattern(500)));
    assert!(net.machines[2].stats(RELAY_A).unwrap().bytes_received > 1_000_000);
    assert!(net.machines[2].stats(RELAY_B).unwrap().bytes_sent > 1_000_000);
}

#[test]
fn a_relay_that_drops_delays_doubles_and_reorders_changes_no_byte() {
    let jitter = Duration::from_millis(40);
    let mut net = relayed(Link { loss: 80, duplicates: 80, jitter, ..Link::default() }, 5);
    let bytes = pattern(300_000);
    let (read, _) = net.transfer(&bytes, Duration::from_secs(120));
    assert!(read == bytes);
    for half in [RELAY_A, RELAY_B] {
        assert_eq!(net.machines[2].close_reason(half), None);
    }
}

#[test]
fn a_relay_passes_on_so_much_a_second_and_changes_no_byte() {
    let bytes = pattern(1_000_000);
    let (read, free) = relayed(Link::default(), 1).transfer(&bytes, Duration::from_secs(60));
    assert!(read == bytes);
    let mut net = relayed(Link::default(), 1);
    net.machines[2].meter(RELAY_A, Meter::new(200_000));
    let (read, metered) = net.transfer(&bytes, Duration::from_secs(60));
    assert!(read == bytes);
    let dropped =
        net.machines[2].stats(RELAY_A).unwrap().packets_received - net.machines[2].stats(RELAY_B).unwrap().packets_sent;
    assert!(free < Duration::from_secs(2) && metered >= Duration::from_secs(4), "{free:?}, {metered:?}");
    assert!(dropped > 0);
}

#[test]
fn a_reset_passes_through_and_closes_the_relay() {
    let mut net = relayed(Link::default(), 1);
    net.machines[0].destroy(A);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.machines[1].close_reason(B), Some(CloseReason::Reset));
    assert_eq!(net.machines[2].close_reason(RELAY_A), Some(CloseReason::Reset));
    assert_eq!(net.machines[2].close_reason(RELAY_B), Some(CloseReason::RelayClosed));
}

#[test]
fn a_stream_relays_to_one_other_and_not_to_itself() {
    let mut net = relayed(Link::default(), 1);
    assert_eq!(net.machines[2].relay_to(RELAY_A, RELAY_B), Err(StreamError::CannotRelay));
    net.machines[2].open(net.now, StreamId(13), StreamOptions::default()).unwrap();
    assert_eq!(net.machines[2].relay_to(StreamId(13), StreamId(13)), Err(StreamError::CannotRelay));
    assert_eq!(net.machines[2].relay_to(StreamId(13), StreamId(9)), Err(StreamError::Unknown(StreamId(9))));
}

#[test]
fn a_relayed_stream_goes_direct_in_the_middle_of_a_transfer() {
    for relay_dies in [false, true] {
        let mut net = relayed(Link { loss: 10, ..Link::default() }, 3);
        let bytes = pattern(3_000_000);
        net.machines[0].write(net.now, A, &mut bytes.slice(..400_000)).unwrap();
        net.run_for(Duration::from_millis(60));
        net.machines[0].change_remote(A, remote(1, B)).unwrap();
        net.machines[1].change_remote(B, remote(0, A)).unwrap();
        if relay_dies {
            net.machines[2].destroy(RELAY_A);
            net.lose_flying();
        }
        let (read, time) = net.transfer(&bytes.slice(400_000..), Duration::from_secs(60));
        let before = if relay_dies { Duration::from_secs(10) } else { Duration::from_secs(4) };
        assert!(time < before, "{time:?}");
        assert!(read == bytes, "{}", read.len());
        assert!(net.events[0].contains(&Event::RemoteChanged(A)));
        assert!(net.events[1].contains(&Event::RemoteChanged(B)));
        assert!(net.machines[0].stats(A).unwrap().mtu > 1400);
    }
}

#[test]
fn a_stream_moves_to_another_socket_that_the_peers_firewall_admits() {
    let mut net = Net::new(2, Link::default(), 1);
    let options = StreamOptions { firewall: Firewall::Ask, ..StreamOptions::default() };
    for (machine, own, other) in [(0, A, B), (1, B, A)] {
        net.machines[machine].open(net.now, own, options).unwrap();
        net.machines[machine].connect(net.now, own, remote(1 - machine, other), None).unwrap();
    }
    let second = SocketId(7);
    let from_second = Remote { socket: second, address: address(1, second), id: B.0 };
    net.machines[0].change_remote(A, from_second).unwrap();
    let bytes = pattern(10_000);
    net.machines[0].write(net.now, A, &mut bytes.clone()).unwrap();
    net.run_for(Duration::from_millis(15));
    let asked = Event::Firewall { stream: B, socket: second, from: address(0, second) };
    assert!(net.events[1].contains(&asked), "{:?}", net.events[1]);
    net.machines[1].answer_firewall(net.now, B, true);
    let back = Remote { socket: second, address: address(0, second), id: A.0 };
    net.machines[1].change_remote(B, back).unwrap();
    let (read, _) = net.transfer(&bytes, Duration::from_secs(10));
    assert_eq!(read.len(), 20_000);
}
