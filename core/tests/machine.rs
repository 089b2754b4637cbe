//! Sessions, stores that fail, cores that open and close, conflicts and audits.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

mod virtual_link;

use bytes::Bytes;
use corestore_core::corestore::{
    CommandError, CoreName, DownloadRange, Event, GetOptions, OpenCore, Outcome, SessionId,
};
use corestore_core::log::{Audit, AuditFault, PAGE_BYTES, PART_BYTES};
use corestore_core::merkle::{Node, TreeIndex};
use corestore_core::replication::{Message, Sync};
use corestore_core::storage::{
    CoreSlot, Durability, RecordKey, ScanRecords, StorageError, StorageOp, StorageReply, Store, WriteBatch, WriteOp,
    keys,
};
use corestore_core::time::Duration;
use std::ops::Range;
use virtual_link::puppet::Puppet;
use virtual_link::{Host, World};

fn follow(host: &mut Host, session: SessionId) {
    host.machine.download(session, DownloadRange::Range { start: 0, end: None, linear: false });
    host.drain();
}

/// A writer and a reader, connected, that share `length` blocks.
fn pair(length: u8) -> (World, SessionId, SessionId) {
    let mut world = World::new(2);
    let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
    for i in 0..length {
        world.hosts[0].append(writer, &[&[i]]);
    }
    let (reader, _) = world.hosts[1].open(OpenCore::key(info.key));
    follow(&mut world.hosts[1], reader);
    world.connect(1, 0);
    world.run();
    assert_eq!(world.hosts[1].info(reader).contiguous_length, u64::from(length));
    (world, writer, reader)
}

#[test]
fn a_full_store_stops_the_asking_and_not_the_reading() {
    let (mut world, writer, reader) = pair(3);
    world.hosts[1].full = true;
    world.hosts[0].append(writer, &[b"more"]);
    world.run();
    assert_eq!(world.hosts[1].info(reader).length, 3);
    assert_eq!(&world.hosts[1].block(reader, 2)[..], [2]);
    let quiet = world.hosts[1].outbox.is_empty();
    world.hosts[1].full = false;
    world.run();
    assert!(quiet && world.hosts[1].info(reader).length == 3);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.hosts[1].info(reader).contiguous_length, 4);
}

#[test]
fn a_damaged_block_is_refused_and_its_neighbours_are_served() {
    let mut world = World::new(2);
    let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
    let blocks: Vec<Vec<u8>> = (0..40).map(|byte| vec![byte; 20]).collect();
    world.hosts[0].append(writer, &blocks.iter().map(Vec::as_slice).collect::<Vec<_>>());
    world.hosts[0].damaged.insert(7);
    let (reader, _) = world.hosts[1].open(OpenCore::key(info.key));
    follow(&mut world.hosts[1], reader);
    world.connect(1, 0);
    world.run();
    assert_eq!(world.hosts[1].machine.count(reader, 0..40), 39);
    assert!(!world.hosts[1].machine.has(reader, 7));
    world.hosts[0].append(writer, &[b"later"]);
    world.run();
    assert!(world.hosts[1].machine.has(reader, 40));
    // Once it can be read again a peer that asks anew gets it.
    world.hosts[0].damaged.clear();
    world.pass(Duration::from_secs(5));
    world.connect(1, 0);
    world.run();
    assert_eq!(world.hosts[1].machine.count(reader, 0..41), 41);
}

#[test]
fn a_full_store_refuses_an_append_and_takes_it_once_there_is_room() {
    let mut host = Host::new(1);
    let (session, _) = host.open(OpenCore::name("core-1"));
    host.append(session, &[b"one"]);
    host.full = true;
    let request = host.machine.append(session, vec![Bytes::from_static(b"two")]);
    assert_eq!(host.answer(request), Some(Err(CommandError::Storage(StorageError::Full))));
    assert_eq!(host.info(session).length, 1);
    host.full = false;
    host.append(session, &[b"two"]);
    let mut again = Host::with_store(2, host.store.clone());
    let (session, info) = again.open(OpenCore::name("core-1"));
    assert_eq!((info.length, &again.block(session, 1)[..]), (2, &b"two"[..]));
}

#[test]
fn a_primary_key_that_could_not_be_stored_at_first_is_stored_later() {
    let mut starving = Host::starving(7);
    let request = starving.machine.open_core(OpenCore::name("core-1"));
    assert!(matches!(starving.answer(request), Some(Err(CommandError::Storage(StorageError::Full)))));
    starving.full = false;
    starving.pass(Duration::from_secs(5));
    let (_, info) = starving.open(OpenCore::name("core-1"));
    let mut again = Host::with_store(8, starving.store.clone());
    assert_eq!(again.open(OpenCore::name("core-1")).1.key, info.key);
}

#[test]
fn a_manifest_that_could_not_be_stored_is_learnt_and_stored_later() {
    let mut world = World::new(3);
    let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
    world.hosts[0].append(writer, &[b"one"]);
    let (reader, _) = world.hosts[1].open(OpenCore::key(info.key));
    follow(&mut world.hosts[1], reader);
    world.hosts[1].full = true;
    world.connect(1, 0);
    world.run();
    world.hosts[1].full = false;
    world.pass(Duration::from_secs(6));
    assert_eq!(world.hosts[1].info(reader).contiguous_length, 1);
    let store = world.hosts[1].store.clone();
    world.hosts[1] = Host::with_store(50, store);
    world.hosts[1].open(OpenCore::key(info.key));
    let (last, _) = world.hosts[2].open(OpenCore::key(info.key));
    follow(&mut world.hosts[2], last);
    world.connect(2, 1);
    world.run();
    assert_eq!(world.hosts[2].block(last, 0), "one");
}

#[test]
fn closing_a_session_ends_what_waits_on_it_and_nothing_else() {
    let mut host = Host::new(1);
    let (first, info) = host.open(OpenCore::name("core-1"));
    let (second, _) = host.open(OpenCore::key(info.key));
    let waits = host.machine.get(first, 5, GetOptions::default());
    let other = host.machine.get(second, 5, GetOptions::default());
    let append = host.machine.append(first, vec![Bytes::from_static(b"x")]);
    host.close(first);
    assert_eq!(host.answer(waits), Some(Err(CommandError::SessionClosed)));
    assert_eq!(host.answer(other), None);
    assert!(matches!(host.answer(append), Some(Ok(Outcome::Appended { length: 1, .. }))));
    let late = host.machine.get(first, 0, GetOptions::default());
    assert_eq!(host.answer(late), Some(Err(CommandError::SessionClosed)));
    assert_eq!(host.block(second, 0), "x");
}

#[test]
fn an_append_behind_a_truncation_stays_encrypted_when_its_session_closes() {
    let mut host = Host::new(1);
    let (session, info) = host.open(OpenCore::name("secret").encrypted([5; 32]));
    host.append(session, &[b"one", b"two"]);
    host.machine.truncate(session, 1, None);
    host.machine.append(session, vec![Bytes::from_static(b"hidden")]);
    host.machine.close_session(session);
    host.drain();
    let (again, _) = host.open(OpenCore::key(info.key).encrypted([5; 32]));
    assert_eq!(host.block(again, 1), "hidden");
    let (raw, _) = host.open(OpenCore::key(info.key));
    assert_eq!(host.block(raw, 1).len(), 14);
}

#[test]
fn a_snapshot_keeps_its_length_and_loses_what_is_cut() {
    let (mut world, writer, _) = pair(5);
    let request = world.hosts[0].machine.snapshot(writer);
    let Some(Ok(Outcome::Opened(snapshot, _))) = world.hosts[0].answer(request) else { panic!("a snapshot") };
    world.hosts[0].append(writer, &[b"later"]);
    assert_eq!(world.hosts[0].info(snapshot).length, 5);
    let past = world.hosts[0].machine.get(snapshot, 5, GetOptions::default());
    assert_eq!(world.hosts[0].answer(past), Some(Err(CommandError::SnapshotNotAvailable)));
    world.hosts[0].truncate(writer, 2);
    for _ in 0..3 {
        world.hosts[0].append(writer, &[b"other"]);
    }
    let cut = world.hosts[0].machine.get(snapshot, 3, GetOptions::default());
    assert_eq!(world.hosts[0].answer(cut), Some(Err(CommandError::SnapshotNotAvailable)));
    assert_eq!(&world.hosts[0].block(snapshot, 1)[..], [1]);
}

#[test]
fn who_waits_on_a_snapshot_for_a_block_that_is_cut_waits_no_longer() {
    let (mut world, writer, reader) = pair(5);
    let clear = world.hosts[1].machine.clear(reader, 0..5);
    world.stalled.insert(0);
    world.hosts[1].answer(clear);
    let request = world.hosts[1].machine.snapshot(reader);
    let Some(Ok(Outcome::Opened(snapshot, _))) = world.hosts[1].answer(request) else { panic!("a snapshot") };
    world.hosts[0].truncate(writer, 2);
    for _ in 0..4 {
        world.hosts[0].append(writer, &[b"new"]);
    }
    let get = world.hosts[1].machine.get(snapshot, 3, GetOptions::default());
    world.stalled.clear();
    world.run();
    assert_eq!(world.hosts[1].answer(get), Some(Err(CommandError::SnapshotNotAvailable)));
}

#[test]
fn channels_close_when_nobody_wants_data_and_open_again_when_someone_does() {
    let (mut world, writer, reader) = pair(3);
    let info = world.hosts[0].info(writer);
    world.hosts[0].close(writer);
    world.run();
    world.pass(Duration::from_secs(41));
    assert_eq!(world.hosts[1].info(reader).peers, 1, "the reader still wants data");
    world.hosts[1].close(reader);
    world.pass(Duration::from_secs(15));
    let (reader, _) = world.hosts[1].open(OpenCore::key(info.key));
    assert_eq!(world.hosts[1].info(reader).peers, 1, "it lingers");
    world.hosts[1].close(reader);
    world.pass(Duration::from_secs(41));
    let removed = |host: &Host| host.events.iter().filter(|event| matches!(event, Event::PeerRemoved { .. })).count();
    assert_eq!((removed(&world.hosts[0]), removed(&world.hosts[1])), (1, 1));
    let (writer, _) = world.hosts[0].open(OpenCore::name("core-1"));
    world.run();
    assert_eq!(world.hosts[0].info(writer).peers, 1);
    world.hosts[0].append(writer, &[b"again"]);
    let (reader, _) = world.hosts[1].open(OpenCore::key(info.key));
    follow(&mut world.hosts[1], reader);
    world.run();
    assert_eq!(world.hosts[1].info(reader).contiguous_length, 4);
}

#[test]
fn a_reader_whose_peer_closed_idle_calls_again() {
    let (mut world, writer, reader) = pair(3);
    let key = world.hosts[1].info(reader).key;
    world.hosts.truncate(1);
    let host = &mut world.hosts[0];
    let mut puppet = Puppet::dial(host, 1, key);
    let sync = Sync { length: 3, remote_length: 3, uploading: true, ..Sync::default() };
    puppet.say(host, &Message::Sync(sync));
    puppet.close(host);
    assert_eq!(puppet.opened, 1);
    puppet.answer(host);
    assert_eq!(puppet.opened, 2);
    assert_eq!(host.info(writer).peers, 2, "the other reader and this one");
}

#[test]
fn a_core_opened_for_a_peer_serves_and_asks_for_nothing() {
    let (world, _, _) = pair(3);
    let mut host = Host::with_store(5, world.hosts[0].store.clone());
    let (session, info) = host.open(OpenCore::name("core-1"));
    host.close(session);
    host.pass(Duration::from_secs(60));
    let mut puppet = Puppet::dial(&mut host, 1, info.key);
    assert_eq!(puppet.opened, 1);
    let downloading = |message: &Message| matches!(message, Message::Sync(sync) if sync.downloading);
    assert!(!puppet.heard.iter().any(downloading));
    puppet.claim(&mut host, 0, 50, 3);
    host.pass(Duration::from_secs(1));
    puppet.pump(&mut host);
    assert_eq!(puppet.requests(), []);
}

#[test]
fn a_bitfield_in_pages_of_an_earlier_store_is_read_and_carried_over() {
    let mut host = Host::new(1);
    let (session, info) = host.open(OpenCore::name("core-1"));
    host.append(session, &[&b"block"[..]; 5000]);
    for range in [10..20, 4990..4995] {
        host.machine.clear(session, range);
    }
    host.drain();
    let rows = |host: &mut Host, range: Range<RecordKey>| {
        let scan = ScanRecords { start: range.start, end: range.end, limit: 100 };
        let Ok(StorageReply::Scanned { rows, .. }) = host.store.execute(StorageOp::Scan(scan)) else { panic!() };
        rows
    };
    let mut page = [0; PAGE_BYTES];
    for (key, part) in rows(&mut host, keys::bitfield(CoreSlot(0))) {
        let at = keys::part_of(&key).unwrap().0 as usize * PART_BYTES;
        page[at..at + PART_BYTES].copy_from_slice(&part);
        spoil(&mut host, WriteOp::DeleteRecord(key));
    }
    let mut key = keys::old_pages(CoreSlot(0)).start;
    key.0.extend([0; 8]);
    spoil(&mut host, WriteOp::PutRecord(key, Bytes::copy_from_slice(&page)));

    let mut host = Host::with_store(1, host.store);
    let (session, _) = host.open(OpenCore::key(info.key));
    assert_eq!(host.machine.count(session, 0..5000), 4985);
    host.machine.clear(session, 0..5);
    host.drain();
    assert_eq!(rows(&mut host, keys::old_pages(CoreSlot(0))), []);
    let mut host = Host::with_store(1, host.store);
    let (session, _) = host.open(OpenCore::key(info.key));
    assert_eq!(host.machine.count(session, 0..5000), 4980);
    assert!(host.machine.has(session, 9) && !host.machine.has(session, 10) && host.machine.has(session, 4999));
}

#[test]
fn a_core_nobody_uses_is_closed_and_opens_again() {
    let mut host = Host::new(1);
    let (session, info) = host.open(OpenCore::name("core-1"));
    host.append(session, &[b"x"]);
    host.close(session);
    host.pass(Duration::from_secs(9));
    assert_eq!(host.machine.open_cores(), 0);
    let (session, after) = host.open(OpenCore::key(info.key));
    assert_eq!((after.length, host.block(session, 0)), (1, Bytes::from_static(b"x")));
}

#[test]
fn a_thousand_cores_share_one_stream() {
    let mut world = World::new(2);
    let mut readers = Vec::new();
    for i in 0..1000 {
        let (writer, info) = world.hosts[0].open(OpenCore::name(format!("core-{i}")));
        world.hosts[0].append(writer, &[b"x"]);
        readers.push(world.hosts[1].open(OpenCore::key(info.key)).0);
    }
    world.connect(1, 0);
    world.run();
    for reader in readers {
        assert_eq!((world.hosts[1].info(reader).length, world.hosts[1].info(reader).peers), (1, 1));
    }
}

/// Three hosts: two writers with the same key and different blocks, and a reader of both.
fn forked(first: &[&[u8]], second: &[&[u8]]) -> (World, [SessionId; 3]) {
    let mut world = World::new(3);
    let own = || OpenCore::of(CoreName::KeyPair([9; 32]));
    let (a, info) = world.hosts[0].open(own());
    let (b, _) = world.hosts[1].open(own());
    for block in first {
        world.hosts[0].append(a, &[block]);
    }
    for block in second {
        world.hosts[1].append(b, &[block]);
    }
    let (reader, _) = world.hosts[2].open(OpenCore::key(info.key));
    follow(&mut world.hosts[2], reader);
    world.connect(2, 0);
    world.run();
    world.connect(2, 1);
    world.run();
    (world, [a, b, reader])
}

#[test]
fn two_histories_under_one_key_freeze_everyone_who_sees_them() {
    let (mut world, [a, b, reader]) = forked(&[b"one", b"two", b"three"], &[b"one", b"other", b"x", b"y", b"z"]);
    let conflicted = |host: &Host| host.events.iter().any(|event| matches!(event, Event::Conflicted { .. }));
    assert!(conflicted(&world.hosts[2]) && world.hosts[2].info(reader).frozen);
    assert!(conflicted(&world.hosts[1]) && world.hosts[1].info(b).frozen, "the second writer saw the first history");
    assert_eq!(world.hosts[2].info(reader).peers, 0);
    let get = world.hosts[2].machine.get(reader, 4, GetOptions::default());
    assert_eq!(world.hosts[2].answer(get), Some(Err(CommandError::Conflict)));
    assert_eq!(world.hosts[2].block(reader, 1), "two");
    let refused = world.hosts[1].machine.append(b, vec![Bytes::from_static(b"no")]);
    assert_eq!(world.hosts[1].answer(refused), Some(Err(CommandError::Conflict)));
    let mut again = Host::with_store(9, world.hosts[2].store.clone());
    let key = world.hosts[0].info(a).key;
    assert!(again.open(OpenCore::key(key)).1.frozen);
}

#[test]
fn a_conflict_that_could_not_be_stored_is_stored_later() {
    let mut world = World::new(3);
    let own = || OpenCore::of(CoreName::KeyPair([9; 32]));
    let (a, info) = world.hosts[0].open(own());
    let (b, _) = world.hosts[1].open(own());
    world.hosts[0].append(a, &[b"one"]);
    world.hosts[1].append(b, &[b"other"]);
    let (reader, _) = world.hosts[2].open(OpenCore::key(info.key));
    world.connect(2, 0);
    world.run();
    world.hosts[2].full = true;
    world.connect(2, 1);
    world.run();
    world.hosts[1].append(b, &[b"longer"]);
    world.run();
    world.hosts[2].full = false;
    world.pass(Duration::from_secs(6));
    assert!(world.hosts[2].info(reader).frozen);
}

#[test]
fn the_newest_fork_wins_and_is_followed_though_its_teller_goes_away() {
    let (mut world, writer, _) = pair(20);
    let key = world.hosts[0].info(writer).key;
    let mut late = World::new(3);
    late.hosts.truncate(0);
    late.hosts.append(&mut world.hosts);
    let mut world = late;
    world.hosts.push(Host::new(33));
    // Host 1 keeps fork 0; host 0 moves on to fork 2; host 2 hears of both.
    world.hosts[0].truncate(writer, 9);
    world.hosts[0].append(writer, &[b"a"]);
    world.hosts[0].truncate(writer, 5);
    world.hosts[0].append(writer, &[b"b", b"c", b"d"]);
    let (reader, _) = world.hosts[2].open(OpenCore::key(key));
    follow(&mut world.hosts[2], reader);
    world.connect(2, 1);
    world.run();
    assert_eq!((world.hosts[2].info(reader).fork, world.hosts[2].info(reader).contiguous_length), (0, 20));
    for pieces in 1..12 {
        let link = world.connect(2, 0);
        world.run_some(pieces);
        world.cut(link);
        world.run();
    }
    world.connect(2, 0);
    world.run();
    let info = world.hosts[2].info(reader);
    assert_eq!((info.fork, info.length, info.contiguous_length), (2, 8, 8));
    assert_eq!(world.hosts[2].block(reader, 7), "d");
    assert_eq!(&world.hosts[2].block(reader, 4)[..], [4]);
}

#[test]
fn a_block_one_peer_is_late_with_comes_from_another() {
    let (mut world, writer, reader) = pair(9);
    let key = world.hosts[0].info(writer).key;
    world.hosts.push(Host::new(34));
    let (third, _) = world.hosts[2].open(OpenCore::key(key));
    world.connect(2, 0);
    world.connect(2, 1);
    world.run();
    world.stalled.insert(0);
    let get = world.hosts[2].machine.get(third, 4, GetOptions::default());
    world.run();
    world.pass(Duration::from_millis(600));
    world.pass(Duration::from_millis(600));
    assert!(matches!(world.hosts[2].answer(get), Some(Ok(Outcome::Block(Some(_))))));
    let _ = reader;
}

fn audit(host: &mut Host, session: SessionId) -> Audit {
    let request = host.machine.audit(session);
    match host.answer(request) {
        Some(Ok(Outcome::Audited(audit))) => audit,
        other => panic!("no audit but {other:?}"),
    }
}

fn spoil(host: &mut Host, op: WriteOp) {
    let batch = WriteBatch { ops: vec![op], durability: Durability::Durable };
    host.store.execute(StorageOp::Write(batch)).unwrap();
}

#[test]
fn an_audit_of_a_sound_core_finds_nothing() {
    for length in [0, 1, 2, 7, 64, 200] {
        let (mut world, writer, reader) = pair(length);
        let found = audit(&mut world.hosts[0], writer);
        assert_eq!((found.faults_found, found.blocks_checked), (0, u64::from(length)), "{:?}", found.faults);
        assert_eq!(audit(&mut world.hosts[1], reader).faults, []);
        let clear = world.hosts[1].machine.clear(reader, 3..9);
        world.hosts[1].answer(clear);
        assert_eq!(audit(&mut world.hosts[1], reader).faults, []);
    }
}

#[test]
fn an_audit_of_a_sparse_core_that_followed_a_fork_finds_nothing() {
    let (mut world, writer, reader) = pair(40);
    let clear = world.hosts[1].machine.clear(reader, 5..30);
    world.hosts[1].answer(clear);
    world.hosts[0].truncate(writer, 11);
    for _ in 0..17 {
        world.hosts[0].append(writer, &[b"new"]);
    }
    world.run();
    assert_eq!(world.hosts[1].info(reader).length, 28);
    assert_eq!(audit(&mut world.hosts[1], reader).faults, []);
    assert_eq!(audit(&mut world.hosts[0], writer).nodes_checked, 53);
}

#[test]
fn an_audit_names_what_is_damaged_and_where() {
    let (mut world, writer, _) = pair(100);
    let (slot, host) = (CoreSlot(0), &mut world.hosts[0]);
    spoil(host, WriteOp::PutBlocks { core: slot, start: 7, blocks: vec![Bytes::from_static(b"!")] });
    spoil(host, WriteOp::DeleteBlocks { core: slot, range: 50..51 });
    spoil(host, WriteOp::DeleteNodes { core: slot, range: 20..21 });
    let wrong = Node { size: 1, ..Node::leaf(30, b"wrong") };
    spoil(host, WriteOp::PutNodes { core: slot, nodes: vec![wrong] });
    let faults = audit(host, writer).faults;
    for fault in [
        AuditFault::WrongBlock { index: 7 },
        AuditFault::MissingBlock { index: 50 },
        AuditFault::MissingNode { index: TreeIndex(20) },
        AuditFault::WrongNode { index: TreeIndex(61) },
        AuditFault::WrongBlock { index: 30 },
    ] {
        assert!(faults.contains(&fault), "{fault:?} in {faults:?}");
    }
    assert_eq!(faults.len(), 5, "{faults:?}");
}

#[test]
fn an_audit_reads_in_bounded_steps_and_counts_what_it_does_not_name() {
    let mut host = Host::new(1);
    let (session, _) = host.open(OpenCore::name("core-1"));
    let blocks: Vec<Bytes> = (0..3000_u32).map(|i| Bytes::copy_from_slice(&i.to_be_bytes())).collect();
    let request = host.machine.append(session, blocks);
    host.answer(request).unwrap().unwrap();
    let found = audit(&mut host, session);
    assert_eq!((found.blocks_checked, found.bytes_checked, found.faults_found), (3000, 12_000, 0));
    assert!(host.largest_read <= 512 + 1023, "{}", host.largest_read);
    spoil(&mut host, WriteOp::DeleteBlocks { core: CoreSlot(0), range: 0..1000 });
    let found = audit(&mut host, session);
    assert_eq!((found.faults.len(), found.faults_found), (64, 1000));
}
