//! What a peer may say, what it hears, and what happens to one that breaks the rules.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

mod virtual_link;

use bytes::Bytes;
use corestore_core::corestore::{CloseReason, DownloadRange, Event, GetOptions, OpenCore, SessionId};
use corestore_core::merkle::{Proof, ProofRequest, RequestBlock, RequestUpgrade};
use corestore_core::replication::{Data, Message, Request, Sync, Want};
use corestore_core::time::Duration;
use virtual_link::puppet::Puppet;
use virtual_link::{Host, World};

/// A reader that knows `length` one-byte blocks of a core and holds none, with a puppet that claims them all.
fn reader(length: u8) -> (Host, SessionId, Puppet) {
    reader_of(length, 1)
}

/// The same with blocks of `size` bytes.
fn reader_of(length: u8, size: usize) -> (Host, SessionId, Puppet) {
    let mut world = World::new(2);
    let (session, info) = world.hosts[0].open(OpenCore::name("core-1"));
    for i in 0..length {
        world.hosts[0].append(session, &[&vec![i; size]]);
    }
    let (reading, _) = world.hosts[1].open(OpenCore::key(info.key));
    let link = world.connect(1, 0);
    world.run();
    world.cut(link);
    let mut host = world.hosts.pop().unwrap();
    assert_eq!(host.info(reading).length, u64::from(length));
    let mut puppet = Puppet::dial(&mut host, 1, info.key);
    puppet.claim(&mut host, 0, length.into(), length.into());
    puppet.heard.clear();
    (host, reading, puppet)
}

fn no_data(request: u64, reason: u64) -> Message {
    Message::NoData { request, reason }
}

fn violation(host: &Host) -> Option<&str> {
    host.closed.iter().find_map(|(_, reason)| match reason {
        CloseReason::Violation(text) => Some(text.as_str()),
        _ => None,
    })
}

#[test]
fn numbers_of_requests_stay_small_and_are_used_again_once_answered() {
    let (mut host, session, mut puppet) = reader(100);
    let mut largest = 0;
    for index in 0..100 {
        let get = host.machine.get(session, index, GetOptions::default());
        puppet.pump(&mut host);
        for request in puppet.requests() {
            largest = largest.max(request.id);
            puppet.say(&mut host, &no_data(request.id, 7));
        }
        host.machine.cancel(get);
    }
    assert_eq!(largest, 1);
}

#[test]
fn a_cancelled_number_waits_for_a_round_trip() {
    let (mut host, session, mut puppet) = reader(9);
    let get = host.machine.get(session, 0, GetOptions::default());
    puppet.pump(&mut host);
    assert_eq!(puppet.requests()[0].id, 1);
    host.machine.cancel(get);
    puppet.pump(&mut host);
    assert!(puppet.heard.contains(&Message::Cancel { request: 1 }));
    host.machine.get(session, 1, GetOptions::default());
    puppet.pump(&mut host);
    assert_eq!(puppet.requests()[0].id, 2);
    puppet.say(&mut host, &no_data(2, 7));
    host.machine.get(session, 2, GetOptions::default());
    host.machine.get(session, 3, GetOptions::default());
    puppet.pump(&mut host);
    let ids: Vec<u64> = puppet.requests().iter().map(|request| request.id).collect();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn a_block_two_callers_want_is_cancelled_with_the_last_of_them() {
    let (mut host, session, mut puppet) = reader(9);
    let first = host.machine.get(session, 4, GetOptions::default());
    let second = host.machine.get(session, 4, GetOptions::default());
    puppet.pump(&mut host);
    assert_eq!(puppet.requests().len(), 1);
    host.machine.cancel(first);
    puppet.pump(&mut host);
    assert!(puppet.heard.is_empty());
    host.machine.cancel(second);
    puppet.pump(&mut host);
    assert_eq!(puppet.heard, [Message::Cancel { request: 1 }]);
}

#[test]
fn a_block_asked_of_a_peer_that_goes_away_is_asked_of_the_next() {
    let (mut host, session, mut puppet) = reader(9);
    let key = host.info(session).key;
    host.machine.get(session, 4, GetOptions::default());
    puppet.pump(&mut host);
    assert_eq!(puppet.requests().len(), 1);
    puppet.hang_up(&mut host);
    let mut next = Puppet::dial(&mut host, 2, key);
    next.claim(&mut host, 0, 9, 9);
    let asked = next.requests();
    assert_eq!((asked[0].id, asked[0].proof.block.unwrap().index), (1, 4));
}

#[test]
fn a_block_is_asked_of_another_peer_when_the_first_is_late_by_its_own_measure() {
    for (answers_after, late_after) in [(0, 500), (400, 1200), (60_000, 10_000)] {
        let (mut host, session, mut puppet) = reader(9);
        let key = host.info(session).key;
        if answers_after > 0 {
            host.machine.get(session, 3, GetOptions::default());
            puppet.pump(&mut host);
            host.pass(Duration::from_millis(answers_after));
            puppet.say(&mut host, &no_data(1, 1));
        }
        host.machine.get(session, 4, GetOptions::default());
        puppet.pump(&mut host);
        let mut other = Puppet::dial(&mut host, 2, key);
        other.claim(&mut host, 0, 9, 9);
        host.machine.get(session, 3, GetOptions::default());
        let asked = |other: &mut Puppet, host: &mut Host| {
            other.pump(host);
            other.requests().iter().any(|request| request.proof.block.unwrap().index == 4)
        };
        for waited in (0..late_after).step_by(100) {
            assert!(!asked(&mut other, &mut host), "asked after {waited} ms of a peer that needs {answers_after}");
            host.pass(Duration::from_millis(100));
        }
        host.pass(Duration::from_millis(500));
        assert!(asked(&mut other, &mut host), "a peer that needs {answers_after} ms is waited for without end");
    }
}

#[test]
fn data_of_a_peer_nobody_asked_changes_nothing() {
    let (mut host, session, mut puppet) = reader(9);
    let key = host.info(session).key;
    let mut other = Puppet::dial(&mut host, 2, key);
    other.claim(&mut host, 0, 0, 9);
    host.machine.get(session, 4, GetOptions::default());
    puppet.pump(&mut host);
    assert_eq!(puppet.requests().len(), 1);
    let block = corestore_core::merkle::DataBlock { index: 4, value: Bytes::from_static(b"lie"), nodes: Vec::new() };
    let proof = Proof { block: Some(block), ..Proof::default() };
    other.say(&mut host, &Message::Data(Data { request: 1, proof, manifest: None }));
    other.say(&mut host, &no_data(1, 1));
    assert!(!host.events.iter().any(|event| matches!(event, Event::VerificationFailed { .. })));
    puppet.pump(&mut host);
    assert_eq!(puppet.requests(), []);
}

#[test]
fn an_extensions_name_is_said_once() {
    let (mut host, session, mut puppet) = reader(1);
    for payload in [b"a", b"b"] {
        host.machine.send_extension(session, "chat", &Bytes::from_static(payload));
    }
    puppet.pump(&mut host);
    let said = |name: &str, payload| Message::Extension { name: name.into(), payload: Bytes::from_static(payload) };
    assert_eq!(puppet.heard, [said("chat", b"a"), said("", b"b")]);
    puppet.say(&mut host, &said("chat", b"c"));
    puppet.say(&mut host, &said("", b"d"));
    let named = |event: &&Event| matches!(event, Event::Extension { name, .. } if name == "chat");
    assert_eq!(host.events.iter().filter(named).count(), 2);
}

#[test]
fn wanted_blocks_go_out_with_priority_and_ranges_without() {
    let (mut host, session, mut puppet) = reader(9);
    host.machine.get(session, 4, GetOptions::default());
    host.machine.download(session, DownloadRange::Range { start: 0, end: Some(2), linear: true });
    puppet.pump(&mut host);
    let asked: Vec<(u64, u64)> =
        puppet.requests().iter().map(|request| (request.proof.block.unwrap().index, request.priority)).collect();
    assert_eq!(asked, [(4, 1), (0, 0), (1, 0)]);
}

#[test]
fn no_peer_has_more_requests_than_its_window() {
    let (mut host, session, mut puppet) = reader_of(200, 16 << 10);
    host.machine.download(session, DownloadRange::Range { start: 0, end: None, linear: false });
    puppet.pump(&mut host);
    assert_eq!(puppet.requests().len(), 64);
    (1..32).for_each(|id| puppet.say(&mut host, &no_data(id, 7)));
    assert_eq!(puppet.requests().len(), 0);
    puppet.say(&mut host, &no_data(32, 7));
    assert_eq!(puppet.requests().len(), 32);
}

#[test]
fn a_peer_that_asks_for_everything_and_reads_nothing_is_sent_little() {
    let mut host = Host::new(1);
    let (session, info) = host.open(OpenCore::name("core-1"));
    (0..250).for_each(|i| host.append(session, &[&vec![i; 32 << 10]]));
    let mut puppet = Puppet::dial(&mut host, 1, info.key);
    puppet.claim(&mut host, 0, 0, 250);
    let request = |index: u64| {
        let block = Some(RequestBlock { index, nodes: 0 });
        let proof = ProofRequest { block, ..ProofRequest::default() };
        Message::Request(Request { id: index + 1, proof, ..Request::default() })
    };
    puppet.heard.clear();
    puppet.say_deaf(&mut host, &(0..250).map(request).collect::<Vec<_>>());
    let sent: usize = host.outbox.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!((1 << 20..5 << 19).contains(&sent), "{sent} bytes");
    puppet.pump(&mut host);
    assert_eq!(puppet.heard.iter().filter(|message| matches!(message, Message::Data(_))).count(), 250);
}

#[test]
fn a_far_peer_gets_a_larger_window() {
    let (mut host, session, mut puppet) = reader_of(250, 16 << 10);
    host.machine.get(session, 0, GetOptions::default());
    puppet.pump(&mut host);
    host.pass(Duration::from_millis(150));
    puppet.heard.clear();
    puppet.say(&mut host, &no_data(1, 7));
    host.machine.download(session, DownloadRange::Range { start: 1, end: None, linear: true });
    puppet.pump(&mut host);
    assert_eq!(puppet.requests().len(), 192);
}

#[test]
fn empty_answers_are_not_asked_for_for_ever() {
    let (mut host, session, mut puppet) = reader(100);
    host.machine.download(session, DownloadRange::Range { start: 0, end: None, linear: true });
    host.machine.get(session, 50, GetOptions::default());
    puppet.pump(&mut host);
    let mut asked = 0;
    for _ in 0..1000 {
        let requests = puppet.requests();
        if requests.is_empty() {
            break;
        }
        for request in requests {
            asked += 1;
            let data = Data { request: request.id, ..Data::default() };
            puppet.say(&mut host, &Message::Data(data));
        }
    }
    assert!(asked < 200, "asked {asked} times");
    assert!(puppet.requests().is_empty());
}

#[test]
fn a_peer_that_never_has_what_it_claims_is_asked_nothing_more() {
    let (mut host, session, mut puppet) = reader(100);
    let mut asked = 0;
    for index in 0..100 {
        host.machine.get(session, index, GetOptions::default());
        puppet.pump(&mut host);
        for request in puppet.requests() {
            asked += 1;
            puppet.say(&mut host, &no_data(request.id, 1));
        }
    }
    assert_eq!(asked, 32);
}

#[test]
fn claims_beyond_measure_cost_nothing() {
    let (mut host, session, mut puppet) = reader(9);
    let (huge, most) = (1 << 50, (1 << 53) - 1);
    puppet.claim(&mut host, 0, huge, 9);
    for (start, length) in [(0, huge), (huge, huge), (5, most), (most, most)] {
        for drop in [false, true] {
            puppet.say(&mut host, &Message::Range { drop, start, length });
        }
        puppet.say(&mut host, &Message::Bitfield { start, bits: Bytes::from(vec![255; 4096]) });
        for any in [false, true] {
            puppet.say(&mut host, &Message::Want(Want { start, length, any }));
            puppet.say(&mut host, &Message::Unwant(Want { start, length, any }));
        }
    }
    host.machine.download(session, DownloadRange::Range { start: 0, end: None, linear: false });
    puppet.pump(&mut host);
    assert_eq!(violation(&host), None);
}

#[test]
fn what_no_tree_can_prove_is_answered_late_and_ends_the_connection_in_the_end() {
    let (mut host, _, key) = Host::writer(5);
    let mut puppet = Puppet::dial(&mut host, 1, key);
    puppet.claim(&mut host, 0, 0, 0);
    puppet.heard.clear();
    let hash = Some(RequestBlock { index: 0, nodes: 60 });
    let ask = |id| {
        Message::Request(Request { id, proof: ProofRequest { hash, ..ProofRequest::default() }, ..Request::default() })
    };
    puppet.say(&mut host, &ask(1));
    host.pass(Duration::from_millis(199));
    puppet.pump(&mut host);
    assert_eq!(puppet.heard, []);
    host.pass(Duration::from_millis(1));
    puppet.pump(&mut host);
    assert_eq!(puppet.heard, [no_data(1, 2)]);
    for id in 2..64 {
        puppet.say(&mut host, &ask(id));
    }
    assert_eq!(violation(&host), None);
    puppet.say(&mut host, &ask(64));
    assert!(violation(&host).unwrap().contains("no tree can prove"));
}

#[test]
fn a_request_with_a_number_in_use_replaces_the_one_before() {
    let (mut host, _, key) = Host::writer(5);
    let mut puppet = Puppet::dial(&mut host, 1, key);
    puppet.claim(&mut host, 0, 0, 0);
    puppet.heard.clear();
    let unprovable = ProofRequest { hash: Some(RequestBlock { index: 0, nodes: 60 }), ..ProofRequest::default() };
    let upgrade = ProofRequest { upgrade: Some(RequestUpgrade { start: 0, length: 5 }), ..ProofRequest::default() };
    for proof in [unprovable, upgrade] {
        puppet.say(&mut host, &Message::Request(Request { id: 3, proof, ..Request::default() }));
    }
    host.pass(Duration::from_secs(9));
    puppet.pump(&mut host);
    let answers: Vec<&Message> =
        puppet.heard.iter().filter(|message| matches!(message, Message::Data(_) | Message::NoData { .. })).collect();
    assert!(matches!(answers[..], [Message::Data(Data { request: 3, .. })]), "{answers:?}");
}

#[test]
fn a_cut_is_told_before_the_new_fork() {
    let (mut host, session, key) = Host::writer(7);
    let mut puppet = Puppet::dial(&mut host, 1, key);
    puppet.claim(&mut host, 0, 7, 7);
    puppet.heard.clear();
    host.truncate(session, 2);
    puppet.pump(&mut host);
    assert_eq!(puppet.heard[0], Message::Range { drop: true, start: 2, length: 5 });
    assert!(matches!(puppet.heard[1], Message::Sync(Sync { fork: 1, length: 2, .. })));
}

#[test]
fn a_gapless_log_is_told_of_from_its_first_block_and_not_to_those_who_have_it() {
    let (mut host, session, key) = Host::writer(3);
    let mut puppet = Puppet::dial(&mut host, 1, key);
    assert!(puppet.heard.contains(&Message::Range { drop: false, start: 0, length: 3 }));
    puppet.claim(&mut host, 0, 0, 0);
    puppet.heard.clear();
    host.append(session, &[b"x"]);
    puppet.pump(&mut host);
    assert!(puppet.heard.contains(&Message::Range { drop: false, start: 0, length: 4 }));
}

#[test]
fn wants_are_answered_by_bits_or_by_one_block_and_too_long_ones_not_at_all() {
    let (mut host, session, key) = Host::writer(100);
    let request = host.machine.clear(session, 10..20);
    host.answer(request).unwrap().unwrap();
    let mut puppet = Puppet::dial(&mut host, 1, key);
    puppet.claim(&mut host, 0, 0, 0);
    let mut ask = |host: &mut Host, start, length, any| {
        puppet.heard.clear();
        puppet.say(host, &Message::Want(Want { start, length, any }));
        puppet.heard.clone()
    };
    let [Message::Bitfield { start: 0, bits }] = &ask(&mut host, 0, 1 << 21, false)[..] else { panic!("bits") };
    assert_eq!((bits[0], bits[1], bits[2], bits.len()), (0xff, 0b11, 0b1111_0000, 16));
    assert_eq!(ask(&mut host, 10, 50, true), [Message::Range { drop: false, start: 20, length: 1 }]);
    assert_eq!(ask(&mut host, 0, 8, true), [Message::Range { drop: false, start: 0, length: 10 }]);
    assert_eq!(ask(&mut host, 0, 1 << 22, false), []);
    assert_eq!(ask(&mut host, 1 << 30, 1 << 21, false), []);
}

#[test]
fn a_sparse_peer_is_asked_to_tell_of_the_region_once() {
    let (mut host, session, mut puppet) = reader(9);
    puppet.say(&mut host, &Message::Range { drop: true, start: 0, length: 9 });
    puppet.heard.clear();
    host.machine.get(session, 4, GetOptions::default());
    host.machine.get(session, 5, GetOptions::default());
    puppet.pump(&mut host);
    assert_eq!(puppet.heard, [Message::Want(Want { start: 0, length: 1 << 21, any: false })]);
    puppet.say(&mut host, &Message::Bitfield { start: 0, bits: Bytes::from_static(&[0b10_0000, 0, 0, 0]) });
    assert_eq!(puppet.requests()[0].proof.block.unwrap().index, 5);
}

#[test]
fn untrue_data_is_reported_and_the_peer_is_asked_for_its_history_only() {
    let (mut host, session, mut puppet) = reader(9);
    host.machine.get(session, 4, GetOptions::default());
    puppet.pump(&mut host);
    let asked = puppet.requests()[0];
    let block = corestore_core::merkle::DataBlock { index: 4, value: Bytes::from_static(b"lie"), nodes: Vec::new() };
    let proof = Proof { block: Some(block), ..Proof::default() };
    puppet.say(&mut host, &Message::Data(Data { request: asked.id, proof, manifest: None }));
    let failed = |event: &Event| matches!(event, Event::VerificationFailed { .. });
    assert!(host.events.iter().any(failed));
    let probe = puppet.requests();
    assert_eq!((probe.len(), probe[0].id, probe[0].proof.upgrade.unwrap().start), (1, 0, 0));
    host.machine.get(session, 5, GetOptions::default());
    puppet.pump(&mut host);
    assert_eq!(puppet.requests(), []);
    assert!(!host.machine.has(session, 4));
}

#[test]
fn a_fork_nobody_can_prove_keeps_nothing_waiting() {
    let (mut host, session, mut puppet) = reader(9);
    puppet.claim(&mut host, 99, 50, 0);
    assert!(puppet.requests()[0].proof.upgrade.is_some());
    let update = host.machine.update(session, true);
    puppet.pump(&mut host);
    assert_eq!(host.answer(update), None);
    host.pass(Duration::from_secs(5));
    puppet.pump(&mut host);
    assert!(host.answer(update).is_some());
    assert_eq!(host.info(session).fork, 0);
}

#[test]
fn garbage_on_a_channel_ends_the_connection_and_says_why() {
    let (mut host, _, key) = Host::writer(3);
    let mut puppet = Puppet::dial(&mut host, 1, key);
    puppet.say_raw(&mut host, &[1, 1, 0xff]);
    assert!(violation(&host).unwrap().contains("request"));
}

#[test]
fn a_peer_that_does_not_know_the_key_gets_nothing() {
    let (mut host, _, mut key) = Host::writer(3);
    let real = key;
    key.0[3] ^= 1;
    let mut puppet = Puppet::dial(&mut host, 1, key);
    assert_eq!(puppet.opened, 0);
    let id = corestore_core::crypto::discovery_key(&real);
    puppet.mux.open("hypercore/alpha", Some(id.as_ref()), &[1; 33]);
    puppet.pump(&mut host);
    assert!(violation(&host).unwrap().contains("did not prove"));
    assert_eq!(puppet.heard, []);
}

#[test]
fn a_flood_of_opens_for_unknown_cores_is_rejected_one_by_one() {
    let (mut host, _, key) = Host::writer(3);
    let mut puppet = Puppet::dial(&mut host, 1, key);
    for number in 0..5000_u64 {
        let id = [number.to_be_bytes().as_slice(), &[0; 24]].concat();
        puppet.mux.open("hypercore/alpha", Some(&id), &[1; 33]);
    }
    puppet.pump(&mut host);
    assert_eq!((violation(&host), puppet.closed), (None, 5000));
}
