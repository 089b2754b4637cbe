//! Blocks that are sent unasked: to whom, when, and what becomes of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

mod virtual_link;

use bytes::Bytes;
use corestore_core::corestore::{DownloadRange, Event, GetOptions, OpenCore, Outcome, RequestId, SessionId};
use corestore_core::replication::{Data, Message, Sync};
use virtual_link::puppet::{Puppet, standing};
use virtual_link::{Host, World};

/// A writer of `length` blocks and a reader that has them all, connected.
fn followed(length: u8) -> (World, SessionId, SessionId) {
    let mut world = World::new(2);
    let (writing, info) = world.hosts[0].open(OpenCore::name("core-1"));
    for i in 0..length {
        world.hosts[0].append(writing, &[&[i]]);
    }
    let (reading, _) = world.hosts[1].open(OpenCore::key(info.key));
    let range = DownloadRange::Range { start: 0, end: Some(length.into()), linear: true };
    world.hosts[1].machine.download(reading, range);
    world.connect(1, 0);
    world.run();
    assert_eq!(world.hosts[1].info(reading).contiguous_length, u64::from(length));
    (world, writing, reading)
}

fn get(host: &mut Host, session: SessionId, index: u64) -> RequestId {
    let request = host.machine.get(session, index, GetOptions::default());
    host.drain();
    request
}

fn is_block(host: &mut Host, request: RequestId, value: &'static [u8]) -> bool {
    host.answer(request) == Some(Ok(Outcome::Block(Some(Bytes::from_static(value)))))
}

fn sync(length: u64, remote_length: u64, allow_push: bool) -> Sync {
    Sync { allow_push, ..standing(0, length, remote_length) }
}

/// Says that everything up to `length` is here, and whether the next block may come unasked.
fn stand(puppet: &mut Puppet, host: &mut Host, length: u64, allow_push: bool) {
    puppet.say(host, &Message::Range { drop: false, start: 0, length });
    puppet.say(host, &Message::Sync(sync(length, length, allow_push)));
    puppet.heard.clear();
}

fn pushed(heard: &[Message]) -> Vec<Data> {
    let data = heard.iter().filter_map(|message| match message {
        Message::Data(data) => Some(data.clone()),
        _ => None,
    });
    data.collect()
}

/// What the puppet before a reader is asked, asked of the writer by another puppet, and the answers.
fn pass_on(reader: (&mut Host, &mut Puppet), writer: (&mut Host, &mut Puppet)) {
    for _ in 0..10 {
        let is_request = |message: &&Message| matches!(message, Message::Request(_));
        let requests: Vec<Message> = reader.1.heard.iter().filter(is_request).cloned().collect();
        reader.1.heard.retain(|message| !is_request(&message));
        requests.iter().for_each(|request| writer.1.say(writer.0, request));
        for data in pushed(&std::mem::take(&mut writer.1.heard)) {
            reader.1.say(reader.0, &Message::Data(data));
        }
    }
}

fn failed(host: &Host) -> bool {
    host.events.iter().any(|event| matches!(event, Event::VerificationFailed { .. }))
}

#[test]
fn who_waits_at_the_end_has_the_next_block_with_the_first_word_of_it() {
    let (mut world, writing, reading) = followed(5);
    let asked = get(&mut world.hosts[1], reading, 5);
    world.hosts[0].append(writing, &[b"a"]);
    world.run();
    assert!(is_block(&mut world.hosts[1], asked, b"a"));
    for block in [b"b", b"c"] {
        let length = world.hosts[1].info(reading).length;
        let asked = get(&mut world.hosts[1], reading, length);
        world.run();
        world.hosts[0].append(writing, &[block]);
        world.run_some(1);
        assert!(is_block(&mut world.hosts[1], asked, block));
        world.run();
    }
    assert!(!failed(&world.hosts[1]));
}

#[test]
fn nobody_waits_so_one_more_block_comes_and_then_none() {
    let (mut world, writing, reading) = followed(2);
    get(&mut world.hosts[1], reading, 2);
    for block in [b"a", b"b", b"c"] {
        world.hosts[0].append(writing, &[block]);
        world.run();
    }
    let has = [2, 3, 4].map(|index| world.hosts[1].machine.has(reading, index));
    assert_eq!(has, [true, true, false]);
    assert_eq!(world.hosts[1].info(reading).length, 5);
}

#[test]
fn a_range_that_ends_with_the_log_takes_no_block_unasked() {
    let (mut world, writing, reading) = followed(3);
    world.hosts[0].append(writing, &[b"a"]);
    world.run();
    world.hosts[0].append(writing, &[b"b"]);
    world.run();
    assert!(!world.hosts[1].machine.has(reading, 3) && !world.hosts[1].machine.has(reading, 4));
}

#[test]
fn a_block_comes_once_however_many_have_it() {
    let mut world = World::new(3);
    let (writing, info) = world.hosts[0].open(OpenCore::name("core-1"));
    world.hosts[0].append(writing, &[b"0"]);
    let open_end = DownloadRange::Range { start: 0, end: None, linear: true };
    let mut sessions = Vec::new();
    for reader in [1, 2] {
        let (reading, _) = world.hosts[reader].open(OpenCore::key(info.key));
        world.hosts[reader].machine.download(reading, open_end.clone());
        sessions.push(reading);
    }
    for (from, to) in [(1, 0), (2, 0), (2, 1)] {
        world.connect(from, to);
    }
    world.run();
    world.hosts.iter_mut().for_each(|host| host.events.clear());
    for block in 1..30_u8 {
        world.hosts[0].append(writing, &[&[block]]);
        world.run();
    }
    let sent = world.hosts.iter().flat_map(|host| &host.events);
    assert_eq!(sent.filter(|event| matches!(event, Event::Uploaded { .. })).count(), 2 * 29);
    for (host, session) in [1, 2].into_iter().zip(sessions) {
        assert_eq!(world.hosts[host].info(session).contiguous_length, 30);
        assert!(!failed(&world.hosts[host]));
    }
}

#[test]
fn an_append_faster_than_the_peers_word_is_announced_only() {
    let (mut host, session, key) = Host::writer(3);
    let mut puppet = Puppet::dial(&mut host, 1, key);
    stand(&mut puppet, &mut host, 3, true);
    host.append(session, &[b"a"]);
    host.append(session, &[b"b"]);
    puppet.pump(&mut host);
    let data = pushed(&puppet.heard);
    assert_eq!((data.len(), data[0].request), (1, 0));
    let (block, upgrade) = (data[0].proof.block.as_ref().unwrap(), data[0].proof.upgrade.as_ref().unwrap());
    assert_eq!((block.index, block.value.as_ref(), upgrade.start, upgrade.length), (3, &b"a"[..], 3, 1));
    // The data comes before the word of a longer log, which would have the peer ask.
    assert!(matches!(puppet.heard[0], Message::Data(_)));
    assert!(puppet.heard.iter().any(|message| matches!(message, Message::Sync(sync) if sync.length == 5)));
}

/// Brings a peer to where it is sent nothing.
type Prepare = dyn Fn(&mut Puppet, &mut Host);

#[test]
fn who_does_not_take_blocks_or_lacks_some_is_sent_none() {
    let cases: [&Prepare; 5] = [
        &|puppet, host| stand(puppet, host, 3, false),
        &|puppet, host| puppet.say(host, &Message::Sync(sync(3, 3, true))),
        &|puppet, host| stand(puppet, host, 2, true),
        &|puppet, host| {
            stand(puppet, host, 3, true);
            puppet.say(host, &Message::Range { drop: true, start: 1, length: 1 });
        },
        &|puppet, host| {
            stand(puppet, host, 3, true);
            puppet.say(host, &Message::Sync(Sync { downloading: false, ..sync(3, 3, true) }));
        },
    ];
    for (case, prepare) in cases.into_iter().enumerate() {
        let (mut host, session, key) = Host::writer(3);
        let mut puppet = Puppet::dial(&mut host, 1, key);
        prepare(&mut puppet, &mut host);
        host.append(session, &[b"a"]);
        puppet.pump(&mut host);
        assert_eq!(pushed(&puppet.heard), [], "case {case}");
    }
    let (mut host, session, key) = Host::writer(3);
    let mut puppet = Puppet::dial(&mut host, 1, key);
    stand(&mut puppet, &mut host, 3, true);
    host.append(session, &[b"a", b"b"]);
    puppet.pump(&mut host);
    assert_eq!(pushed(&puppet.heard), []);
}

/// A reader of 4 blocks that waits for the next, with a puppet that gave it the last, and the writer behind that.
fn reader_behind_puppets() -> ((Host, SessionId, Puppet), (Host, SessionId, Puppet)) {
    let (mut source, writing, key) = Host::writer(3);
    let mut behind = Puppet::dial(&mut source, 1, key);
    let mut host = Host::new(9);
    let (reading, _) = host.open(OpenCore::key(key));
    let range = DownloadRange::Range { start: 0, end: None, linear: true };
    host.machine.download(reading, range);
    let mut before = Puppet::dial(&mut host, 1, key);
    before.claim(&mut host, 0, 3, 0);
    pass_on((&mut host, &mut before), (&mut source, &mut behind));
    stand(&mut behind, &mut source, 3, true);
    source.append(writing, &[b"a"]);
    behind.pump(&mut source);
    let claimed = [Message::Range { drop: false, start: 0, length: 4 }, Message::Sync(sync(4, 3, false))];
    claimed.iter().for_each(|message| before.say(&mut host, message));
    behind.heard.clear();
    pass_on((&mut host, &mut before), (&mut source, &mut behind));
    assert_eq!(host.info(reading).contiguous_length, 4);
    ((host, reading, before), (source, writing, behind))
}

#[test]
fn only_who_proved_our_length_may_send_blocks_unasked() {
    let ((mut host, reading, mut before), (mut source, writing, mut behind)) = reader_behind_puppets();
    let key = host.info(reading).key;
    let mut other = Puppet::dial(&mut host, 2, key);
    stand(&mut behind, &mut source, 4, true);
    source.append(writing, &[b"b"]);
    behind.pump(&mut source);
    let data = Message::Data(pushed(&behind.heard).remove(0));
    other.claim(&mut host, 0, 4, 4);
    other.say(&mut host, &data);
    assert_eq!(host.info(reading).length, 4);
    before.say(&mut host, &data);
    assert_eq!(host.info(reading).contiguous_length, 5);
    // Told again, it is past: nobody is blamed.
    before.say(&mut host, &data);
    assert!(!failed(&host));
}

#[test]
fn an_untrue_block_is_reported_as_any_other() {
    let ((mut host, reading, mut before), (mut source, writing, mut behind)) = reader_behind_puppets();
    stand(&mut behind, &mut source, 4, true);
    source.append(writing, &[b"b"]);
    behind.pump(&mut source);
    let mut data = pushed(&behind.heard).remove(0);
    if let Some(block) = &mut data.proof.block {
        block.value = Bytes::from_static(b"lie");
    }
    before.say(&mut host, &Message::Data(data));
    assert!(failed(&host));
    assert_eq!(host.info(reading).length, 4);
}

#[test]
fn a_peer_that_did_not_prove_our_length_hears_so_before_it_is_asked() {
    let ((mut host, reading, mut before), (mut source, writing, mut behind)) = reader_behind_puppets();
    let said = before.heard.iter().rev().find_map(|message| match message {
        Message::Sync(sync) => Some(sync.allow_push),
        _ => None,
    });
    assert_eq!(said, Some(true), "{:?}", before.heard);
    // The next block comes from another peer.
    let key = host.info(reading).key;
    let mut other = Puppet::dial(&mut host, 2, key);
    source.append(writing, &[b"b"]);
    behind.pump(&mut source);
    behind.heard.clear();
    let word = [Message::Range { drop: false, start: 0, length: 5 }, Message::Sync(sync(5, 4, false))];
    word.iter().for_each(|message| other.say(&mut host, message));
    pass_on((&mut host, &mut other), (&mut source, &mut behind));
    assert_eq!(host.info(reading).contiguous_length, 5);
    // The first tells of one more: it is asked only after it heard that it may not send it unasked.
    before.pump(&mut host);
    let claimed = [Message::Range { drop: false, start: 0, length: 6 }, Message::Sync(sync(6, 5, false))];
    claimed.iter().for_each(|message| before.say(&mut host, message));
    let asked = before.heard.iter().position(|message| matches!(message, Message::Request(_))).unwrap();
    let last = before.heard[..asked].iter().rev().find_map(|message| match message {
        Message::Sync(sync) => Some(sync.allow_push),
        _ => None,
    });
    assert_eq!(last, Some(false));
}
