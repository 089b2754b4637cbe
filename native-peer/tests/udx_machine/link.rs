//! Two UDX machines over a link that delays, loses, repeats, reorders, throttles and cuts.

use crate::virtual_net::{A, B, Link, Net, pattern, remote};
use bytes::Bytes;
use corestore_core::time::Duration;
use corestore_peer::swarm::udx::{CloseReason, Config, Event, Firewall, MessageError, StreamOptions};
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_clean_link_carries_without_retransmissions_and_finds_its_packet_size() {
    let mut net = Net::pair(Link { rate: Some((10_000_000, 4_000_000)), ..Link::default() }, 1);
    let bytes = pattern(4_000_000);
    let (read, _) = net.transfer(&bytes, Duration::from_secs(60));
    assert!(read == bytes);
    let stats = net.machines[0].stats(A).unwrap();
    assert_eq!((stats.retransmits, stats.mtu), (0, 1500));
    assert_eq!(net.largest, 1500 - 28);
}

#[test]
fn both_sides_see_the_end_and_close() {
    let mut net = Net::pair(Link::default(), 1);
    let (read, _) = net.transfer(&pattern(5000), Duration::from_secs(5));
    assert_eq!(read.len(), 5000);
    net.machines[1].end(B).unwrap();
    net.run_for(Duration::from_secs(3));
    for (index, id) in [(0, A), (1, B)] {
        assert!(net.events[index].contains(&Event::Finished(id)), "{index}");
        assert!(net.events[index].contains(&Event::Closed(id, CloseReason::Finished)), "{index}");
    }
    assert!(net.machines[0].is_ended(A));
}

#[test]
fn a_lost_last_word_is_repeated() {
    for release in [false, true] {
        let mut net = Net::pair(Link::default(), 1);
        net.machines[1].end(B).unwrap();
        net.run_for(200 * MS);
        net.machines[0].end(A).unwrap();
        net.run_for(15 * MS);
        assert_eq!(net.machines[1].close_reason(B), Some(CloseReason::Finished));
        net.lose_flying();
        if release {
            net.machines[1].release(net.now, B);
        }
        net.run_for(Duration::from_secs(4));
        assert_eq!(net.machines[0].close_reason(A), Some(CloseReason::Finished), "released: {release}");
    }
}

#[test]
fn one_percent_loss_hardly_slows_a_long_path_down() {
    let link = Link { delay: 20 * MS, loss: 10, ..Link::default() };
    let bytes = pattern(8_000_000);
    let (read, time) = Net::pair(link, 7).transfer(&bytes, Duration::from_secs(60));
    assert!(read == bytes);
    assert!(time < Duration::from_millis(1000), "{time:?}");
}

#[test]
fn five_percent_loss_is_bearable() {
    let link = Link { delay: 20 * MS, loss: 50, ..Link::default() };
    let bytes = pattern(8_000_000);
    let (read, time) = Net::pair(link, 7).transfer(&bytes, Duration::from_secs(60));
    assert!(read == bytes);
    assert!(time < Duration::from_millis(1500), "{time:?}");
}

#[test]
fn a_bottleneck_is_filled_and_not_flooded() {
    let link = Link { delay: 20 * MS, rate: Some((2_000_000, 160_000)), ..Link::default() };
    let mut net = Net::pair(link, 3);
    let bytes = pattern(20_000_000);
    let (read, time) = net.transfer(&bytes, Duration::from_secs(60));
    assert!(read == bytes);
    assert!(time < Duration::from_millis(12_500), "{time:?}");
    let stats = net.machines[0].stats(A).unwrap();
    assert!(stats.retransmits < stats.packets_sent / 20, "{stats:?}");
}

#[test]
fn a_path_that_swallows_large_packets_is_probed_and_used() {
    let link = Link { mtu: 1300, ..Link::default() };
    let mut net = Net::pair(link, 1);
    let bytes = pattern(1_000_000);
    let (read, time) = net.transfer(&bytes, Duration::from_secs(60));
    assert!(read == bytes);
    assert!(time < Duration::from_secs(2), "{time:?}");
    assert_eq!(net.machines[0].stats(A).unwrap().mtu, 1296);
}

#[test]
fn reordering_alone_costs_few_retransmissions() {
    let link = Link { jitter: 3 * MS, ..Link::default() };
    let mut net = Net::pair(link, 5);
    let bytes = pattern(4_000_000);
    let (read, _) = net.transfer(&bytes, Duration::from_secs(60));
    assert!(read == bytes);
    let stats = net.machines[0].stats(A).unwrap();
    assert!(stats.retransmits * 20 < stats.packets_sent, "{stats:?}");
}

#[test]
fn a_reader_that_pauses_stops_the_writer_and_a_probe_restarts_it() {
    let config = Config { receive_window: 100_000, ..Config::default() };
    let mut net = Net::pair_with(Link::default(), 1, config, StreamOptions::default());
    let mut rest = pattern(400_000);
    let all = rest.clone();
    net.machines[0].write(net.now, A, &mut rest).unwrap();
    net.run_for(Duration::from_secs(20));
    let sent = net.sent[0];
    assert!(net.machines[0].writable(A) > 0);
    let mut read = Vec::new();
    // The news of the open window is lost, so that only a probe can bring it.
    while let Some(chunk) = net.machines[1].read_chunk(B) {
        read.extend_from_slice(&chunk);
    }
    assert!(read.len() <= 120_000, "{}", read.len());
    net.lose_flying();
    let until = net.now.after(Duration::from_secs(60));
    while read.len() < all.len() && net.step(until) {
        while let Some(chunk) = net.machines[1].read_chunk(B) {
            read.extend_from_slice(&chunk);
        }
    }
    assert!(read == all);
    assert!(net.sent[0] > sent);
}

#[test]
fn a_destroyed_stream_resets_its_peer_even_when_the_news_is_lost() {
    for lost in [false, true] {
        let mut net = Net::pair(Link::default(), 1);
        net.machines[0].write(net.now, A, &mut pattern(100)).unwrap();
        net.run_for(Duration::from_secs(1));
        net.machines[1].destroy(B);
        net.machines[1].release(net.now, B);
        if lost {
            net.lose_flying();
            net.machines[0].write(net.now, A, &mut pattern(100)).unwrap();
        }
        net.run_for(Duration::from_secs(1));
        assert_eq!(net.machines[0].close_reason(A), Some(CloseReason::Reset), "lost: {lost}");
    }
}

#[test]
fn a_silent_peer_times_the_stream_out() {
    let mut net = Net::pair(Link { loss: 1000, ..Link::default() }, 1);
    net.machines[0].write(net.now, A, &mut pattern(5000)).unwrap();
    net.run_for(Duration::from_secs(60));
    assert!(net.events[0].contains(&Event::Closed(A, CloseReason::TimedOut)));
    assert!(net.sent[0] < 100, "{}", net.sent[0]);
}

#[test]
fn an_idle_stream_shows_signs_of_life_only_when_asked_to() {
    let options = StreamOptions { keep_alive: Some(Duration::from_secs(5)), ..StreamOptions::default() };
    let mut net = Net::pair_with(Link::default(), 1, Config::default(), options);
    net.run_for(Duration::from_secs(61));
    assert!((10..=40).contains(&net.sent[0]), "{}", net.sent[0]);
    let mut net = Net::pair(Link::default(), 1);
    net.run_for(Duration::from_secs(61));
    assert_eq!(net.sent, [0, 0]);
}

#[test]
fn sequence_numbers_wrap() {
    let options = StreamOptions { seq: u32::MAX - 20, ..StreamOptions::default() };
    let link = Link { loss: 20, ..Link::default() };
    let mut net = Net::pair_with(link, 1, Config::default(), options);
    let bytes = pattern(1_000_000);
    let (read, _) = net.transfer(&bytes, Duration::from_secs(60));
    assert!(read == bytes);
}

#[test]
fn messages_arrive_as_they_are_or_not_at_all() {
    let mut net = Net::pair(Link::default(), 1);
    for index in 0..10u8 {
        net.machines[0].send_message(A, Bytes::from(vec![index; 10])).unwrap();
    }
    let large = net.machines[0].send_message(A, pattern(1400));
    assert_eq!(large, Err(MessageError::TooLarge { size: 1400, limit: 1152 }));
    net.run_for(100 * MS);
    assert_eq!(net.events[1].iter().filter(|event| **event == Event::Message(B)).count(), 1);
    for index in 0..10u8 {
        assert_eq!(net.machines[1].receive_message(B), Some(Bytes::from(vec![index; 10])));
    }
    assert_eq!(net.machines[1].receive_message(B), None);
}

#[test]
fn messages_nobody_takes_are_dropped_beyond_a_limit() {
    let mut net = Net::pair(Link::default(), 1);
    for round in 0..10 {
        for _ in 0..100 {
            net.machines[0].send_message(A, Bytes::from(vec![round; 10])).unwrap();
        }
        net.run_for(100 * MS);
    }
    let mut kept = 0;
    while net.machines[1].receive_message(B).is_some() {
        kept += 1;
    }
    assert_eq!(kept, Config::default().max_messages);
    let queued = (0..1000).filter(|_| net.machines[0].send_message(A, Bytes::new()).is_ok()).count();
    assert_eq!(queued, Config::default().max_messages);
}

#[test]
fn a_firewall_that_asks_holds_packets_until_the_answer() {
    for admit in [true, false] {
        let mut net = Net::new(2, Link::default(), 1);
        net.machines[0].open(net.now, A, StreamOptions::default()).unwrap();
        net.machines[0].connect(net.now, A, remote(1, B), None).unwrap();
        let options = StreamOptions { firewall: Firewall::Ask, ..StreamOptions::default() };
        net.machines[1].open(net.now, B, options).unwrap();
        net.machines[0].write(net.now, A, &mut pattern(3000)).unwrap();
        net.run_for(15 * MS);
        let peer = remote(0, A);
        let asked = Event::Firewall { stream: B, socket: peer.socket, from: peer.address };
        assert_eq!(net.events[1], [asked]);
        if admit {
            net.machines[1].connect(net.now, B, peer, None).unwrap();
        }
        net.machines[1].answer_firewall(net.now, B, admit);
        net.run_for(100 * MS);
        let read: usize = std::iter::from_fn(|| net.machines[1].read_chunk(B)).map(|chunk| chunk.len()).sum();
        assert_eq!(read, if admit { 3000 } else { 0 });
        assert_eq!(net.machines[0].stats(A).unwrap().in_flight == 0, admit);
    }
}

#[test]
fn a_silent_stream_is_seen_by_a_peer_that_waits_for_its_first_packet() {
    for lost in [false, true] {
        let mut net = Net::new(2, Link::default(), 1);
        net.machines[0].open(net.now, A, StreamOptions::default()).unwrap();
        net.machines[0].connect(net.now, A, remote(1, B), None).unwrap();
        let options = StreamOptions { firewall: Firewall::Ask, ..StreamOptions::default() };
        net.machines[1].open(net.now, B, options).unwrap();
        net.machines[0].greet(net.now, A).unwrap();
        if lost {
            net.lose_flying();
        }
        net.run_for(Duration::from_secs(2));
        let peer = remote(0, A);
        let asked = Event::Firewall { stream: B, socket: peer.socket, from: peer.address };
        assert_eq!(net.events[1], [asked], "lost: {lost}");
        net.machines[1].connect(net.now, B, peer, None).unwrap();
        net.machines[1].answer_firewall(net.now, B, true);
        net.machines[1].greet(net.now, B).unwrap();
        net.run_for(Duration::from_secs(1));
        let sent = net.sent.clone();
        net.run_for(Duration::from_secs(120));
        assert_eq!((&net.sent, net.machines[0].close_reason(A)), (&sent, None), "lost: {lost}");
        let read = net.transfer(&pattern(3000), Duration::from_secs(5)).0;
        assert_eq!(read.len(), 3000);
    }
}

#[test]
fn a_peer_that_never_answers_a_greeting_is_given_up() {
    let mut net = Net::pair(Link { loss: 1000, ..Link::default() }, 1);
    net.machines[0].greet(net.now, A).unwrap();
    net.run_for(Duration::from_secs(90));
    assert!(net.events[0].contains(&Event::Closed(A, CloseReason::TimedOut)));
    assert!(net.sent[0] < 10, "{}", net.sent[0]);
}

#[test]
fn a_firewall_denies_strangers_by_default() {
    let mut net = Net::new(2, Link::default(), 1);
    net.machines[0].open(net.now, A, StreamOptions::default()).unwrap();
    net.machines[0].connect(net.now, A, remote(1, B), None).unwrap();
    net.machines[1].open(net.now, B, StreamOptions::default()).unwrap();
    net.machines[0].write(net.now, A, &mut pattern(3000)).unwrap();
    net.run_for(Duration::from_secs(2));
    assert!(net.events[1].is_empty());
    assert!(net.machines[1].read_chunk(B).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn bytes_arrive_whole_and_in_order_whatever_the_link_does(
        seed: u64,
        delay in 0u64..80,
        jitter in 0u64..20,
        loss in 0u64..100,
        duplicates in 0u64..50,
        mtu in 1200usize..1500,
        length in 0usize..300_000,
        segments in 1usize..45,
    ) {
        let link = Link {
            delay: Duration::from_millis(delay),
            jitter: Duration::from_millis(jitter),
            loss,
            duplicates,
            mtu,
            rate: None,
        };
        let config = Config { max_segments: segments, ..Config::default() };
        let mut net = Net::pair_with(link, seed, config, StreamOptions::default());
        let bytes = pattern(length);
        let (read, time) = net.transfer(&bytes, Duration::from_secs(600));
        prop_assert!(read == bytes, "{} of {length} bytes in {time:?}", read.len());
        net.machines[1].end(B).unwrap();
        net.run_for(Duration::from_secs(60));
        prop_assert_eq!(net.machines[0].close_reason(A), Some(CloseReason::Finished));
        prop_assert_eq!(net.machines[1].close_reason(B), Some(CloseReason::Finished));
    }
}
