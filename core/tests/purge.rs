//! Purging a core: nothing of it stays, and what goes on around it is not disturbed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod virtual_link;

use bytes::Bytes;
use corestore_core::corestore::{CommandError, DownloadRange, Event, GetOptions, OpenCore, Outcome, SessionId};
use corestore_core::storage::{RecordKey, ScanRecords, StorageError, StorageOp, StorageReply, Store};
use virtual_link::{Host, World};

/// The number of records in a host's store.
fn records(host: &mut Host) -> usize {
    let (start, end) = (RecordKey(Vec::new()), RecordKey(vec![255; 8]));
    match host.store.execute(StorageOp::Scan(ScanRecords { start, end, limit: u32::MAX })).unwrap() {
        StorageReply::Scanned { rows, .. } => rows.len(),
        other => panic!("{other:?}"),
    }
}

/// A writer and a reader, connected, that share three blocks.
fn pair() -> (World, SessionId, SessionId) {
    let mut world = World::new(2);
    let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
    world.hosts[0].append(writer, &[b"a", b"b", b"c"]);
    let (reader, _) = world.hosts[1].open(OpenCore::key(info.key));
    world.hosts[1].machine.download(reader, DownloadRange::Range { start: 0, end: Some(3), linear: false });
    world.connect(1, 0);
    world.run();
    assert_eq!(world.hosts[1].info(reader).contiguous_length, 3);
    (world, writer, reader)
}

#[test]
fn nothing_of_a_purged_core_stays_and_others_do() {
    let mut host = Host::new(1);
    let (other, _) = host.open(OpenCore::name("other"));
    host.append(other, &[b"stays"]);
    let before = records(&mut host);
    let (session, info) = host.open(OpenCore::name("gone"));
    host.append(session, &[b"x", b"y"]);
    let purge = host.machine.purge(session);
    assert_eq!(host.answer(purge), Some(Ok(Outcome::Done)));
    // The name stays.
    assert_eq!(records(&mut host), before + 1);
    assert!(host.events.iter().any(|event| matches!(event, Event::Purged { core } if *core == info.discovery_key)));
    let get = host.machine.get(session, 0, GetOptions::default());
    assert_eq!(host.answer(get), Some(Err(CommandError::SessionClosed)));
    let mut absent = OpenCore::key(info.key);
    absent.create = false;
    let opening = host.machine.open_core(absent);
    assert_eq!(host.answer(opening), Some(Err(CommandError::NotFound)));
    assert_eq!(host.block(other, 0), "stays");
    let (again, anew) = host.open(OpenCore::name("gone"));
    assert_eq!((anew.key, anew.length, anew.writable), (info.key, 0, true));
    assert!(!host.machine.has(again, 0));
}

#[test]
fn what_was_asked_for_before_is_done_before_and_every_session_ends() {
    let mut host = Host::new(1);
    let (session, info) = host.open(OpenCore::name("core-1"));
    let (second, _) = host.open(OpenCore::key(info.key));
    host.append(session, &[b"x", b"y"]);
    let waits = host.machine.get(second, 9, GetOptions::default());
    let truncate = host.machine.truncate(session, 1, None);
    let append = host.machine.append(session, vec![Bytes::from_static(b"z")]);
    let purge = host.machine.purge(session);
    // Whoever opens it from now on waits until it is gone.
    let again = host.machine.open_core(OpenCore::name("core-1"));
    host.drain();
    assert_eq!(host.answer(truncate), Some(Ok(Outcome::Done)));
    assert!(matches!(host.answer(append), Some(Ok(Outcome::Appended { length: 2, .. }))));
    assert_eq!(host.answer(waits), Some(Err(CommandError::SessionClosed)));
    assert_eq!(host.answer(purge), Some(Ok(Outcome::Done)));
    assert_eq!(host.machine.info(second), None);
    assert!(matches!(host.answer(again), Some(Ok(Outcome::Opened(_, info))) if info.length == 0 && info.fork == 0));
}

#[test]
fn a_core_that_cannot_be_purged_stays_whole() {
    let mut host = Host::new(1);
    let (session, info) = host.open(OpenCore::name("core-1"));
    host.append(session, &[b"x"]);
    host.full = true;
    let purge = host.machine.purge(session);
    let again = host.machine.open_core(OpenCore::key(info.key));
    host.drain();
    assert_eq!(host.answer(purge), Some(Err(CommandError::Storage(StorageError::Full))));
    host.full = false;
    let Some(Ok(Outcome::Opened(session, info))) = host.answer(again) else { panic!("it does not open") };
    assert_eq!((info.length, host.block(session, 0)), (1, Bytes::from_static(b"x")));
}

#[test]
fn a_purged_core_is_served_to_nobody_and_comes_from_peers_again() {
    let (mut world, writer, reader) = pair();
    let key = world.hosts[1].info(reader).key;
    let purge = world.hosts[1].machine.purge(reader);
    world.run();
    assert_eq!(world.hosts[1].answer(purge), Some(Ok(Outcome::Done)));
    assert_eq!(world.hosts[0].info(writer).peers, 0);
    // The connection goes on: another core, and the same one anew.
    let (reader, info) = world.hosts[1].open(OpenCore::key(key));
    assert_eq!(info.length, 0);
    world.hosts[1].machine.download(reader, DownloadRange::Range { start: 0, end: Some(3), linear: false });
    world.run();
    assert_eq!(world.hosts[1].info(reader).contiguous_length, 3);
    assert_eq!(world.hosts[1].block(reader, 2), "c");
}

#[test]
fn a_purge_in_the_middle_of_a_download_ends_it() {
    let mut world = World::new(2);
    let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
    let blocks: Vec<Vec<u8>> = (0..3000).map(|_| vec![7; 900]).collect();
    world.hosts[0].append(writer, &blocks.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let (reader, _) = world.hosts[1].open(OpenCore::key(info.key));
    let before = records(&mut world.hosts[1]);
    world.hosts[1].machine.download(reader, DownloadRange::Range { start: 0, end: None, linear: false });
    world.connect(1, 0);
    for _ in 0..1000 {
        world.run_some(1);
        if world.hosts[1].machine.count(reader, 0..3000) > 20 {
            break;
        }
    }
    assert!((21..3000).contains(&world.hosts[1].machine.count(reader, 0..3000)));
    let purge = world.hosts[1].machine.purge(reader);
    world.run();
    assert_eq!(world.hosts[1].answer(purge), Some(Ok(Outcome::Done)));
    assert!(records(&mut world.hosts[1]) < before);
    assert!(world.hosts[1].closed.is_empty() && world.hosts[0].closed.is_empty());
}
