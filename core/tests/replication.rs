//! Machines that replicate over virtual links.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

mod virtual_link;

use bytes::Bytes;
use corestore_core::corestore::{CommandError, DownloadRange, Event, GetOptions, OpenCore, Outcome};
use virtual_link::{Host, World};

fn block(outcome: Option<Result<Outcome, CommandError>>) -> Bytes {
    match outcome {
        Some(Ok(Outcome::Block(Some(block)))) => block,
        other => panic!("no block but {other:?}"),
    }
}

#[test]
fn a_reader_gets_blocks_live_by_nothing_but_the_key() {
    let mut world = World::new(2);
    let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
    world.hosts[0].append(writer, &[b"hello", b"", b"world"]);
    let (reader, _) = world.hosts[1].open(OpenCore::key(info.key));
    world.connect(1, 0);
    let first = world.hosts[1].machine.get(reader, 2, GetOptions::default());
    let empty = world.hosts[1].machine.get(reader, 1, GetOptions::default());
    let later = world.hosts[1].machine.get(reader, 3, GetOptions::default());
    world.run();
    assert_eq!(block(world.hosts[1].answer(first)), "world");
    assert_eq!(block(world.hosts[1].answer(empty)), "");
    assert_eq!(world.hosts[1].answer(later), None);
    world.hosts[0].append(writer, &[b"live"]);
    world.run();
    assert_eq!(block(world.hosts[1].answer(later)), "live");
    assert_eq!(world.hosts[1].info(reader).length, 4);
    assert!(!world.hosts[1].machine.has(reader, 0));
}

#[test]
fn a_whole_core_downloads_and_passes_on() {
    let mut world = World::new(3);
    let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
    let blocks: Vec<Vec<u8>> = (0..3000_usize).map(|i| vec![i as u8; i % 97]).collect();
    for batch in blocks.chunks(77) {
        world.hosts[0].append(writer, &batch.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    let (middle, _) = world.hosts[1].open(OpenCore::key(info.key));
    let (last, _) = world.hosts[2].open(OpenCore::key(info.key));
    let range = DownloadRange::Range { start: 0, end: Some(3000), linear: false };
    let done = world.hosts[1].machine.download(middle, range.clone());
    let first = world.connect(1, 0);
    world.run();
    assert_eq!(world.hosts[1].answer(done), Some(Ok(Outcome::Done)));
    world.cut(first);
    let done = world.hosts[2].machine.download(last, range);
    world.connect(2, 1);
    world.run();
    assert_eq!(world.hosts[2].answer(done), Some(Ok(Outcome::Done)));
    let info = world.hosts[2].info(last);
    assert_eq!((info.length, info.contiguous_length, info.stored_blocks), (3000, 3000, 3000));
    for (index, expected) in blocks.iter().enumerate() {
        let get = world.hosts[2].machine.get(last, index as u64, GetOptions::default());
        assert_eq!(&block(world.hosts[2].answer(get))[..], expected);
    }
}

#[test]
fn sparse_blocks_pass_through_a_peer_that_has_only_those() {
    let mut world = World::new(3);
    let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
    for i in 0..200_u8 {
        world.hosts[0].append(writer, &[&[i]]);
    }
    let (middle, _) = world.hosts[1].open(OpenCore::key(info.key));
    let first = world.connect(1, 0);
    for index in [3, 77, 150] {
        world.hosts[1].machine.get(middle, index, GetOptions::default());
    }
    world.run();
    world.cut(first);
    let (last, _) = world.hosts[2].open(OpenCore::key(info.key));
    let get = world.hosts[2].machine.get(last, 77, GetOptions::default());
    let missing = world.hosts[2].machine.get(last, 78, GetOptions::default());
    world.connect(2, 1);
    world.run();
    assert_eq!(block(world.hosts[2].answer(get)), vec![77_u8]);
    assert_eq!(world.hosts[2].answer(missing), None);
    world.connect(2, 0);
    world.run();
    assert_eq!(block(world.hosts[2].answer(missing)), vec![78_u8]);
}

#[test]
fn a_truncated_core_is_followed_to_its_new_fork() {
    for (length, cut, more) in [(30_u8, 11_u64, 25_u8), (5, 0, 3), (8, 8, 4), (9, 4, 0), (40, 33, 1)] {
        let mut world = World::new(2);
        let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
        for i in 0..length {
            world.hosts[0].append(writer, &[&[i]]);
        }
        let (reader, _) = world.hosts[1].open(OpenCore::key(info.key));
        let live = DownloadRange::Range { start: 0, end: None, linear: false };
        world.hosts[1].machine.download(reader, live);
        world.connect(1, 0);
        world.run();
        assert_eq!(world.hosts[1].info(reader).contiguous_length, u64::from(length));
        let done = world.hosts[0].machine.truncate(writer, cut, None);
        assert_eq!(world.hosts[0].answer(done), Some(Ok(Outcome::Done)));
        for i in 0..more {
            world.hosts[0].append(writer, &[&[100 + i]]);
        }
        world.run();
        let info = world.hosts[1].info(reader);
        let expected = cut + u64::from(more);
        if expected == 0 {
            continue;
        }
        assert_eq!((info.fork, info.length, info.contiguous_length), (1, expected, expected), "cut at {cut}");
        for index in 0..expected {
            let get = world.hosts[1].machine.get(reader, index, GetOptions::default());
            let value = if index < cut { index } else { 100 + index - cut };
            assert_eq!(block(world.hosts[1].answer(get)), vec![value as u8]);
        }
        assert!(world.hosts[1].events.iter().any(|event| matches!(event, Event::Truncated { fork: 1, .. })));
    }
}

#[test]
fn an_encrypted_core_is_read_with_its_key_only() {
    let mut world = World::new(2);
    let (writer, info) = world.hosts[0].open(OpenCore::name("secret").encrypted([5; 32]));
    world.hosts[0].append(writer, &[b"hidden"]);
    assert_eq!(world.hosts[0].info(writer).byte_length, 6);
    let (reader, _) = world.hosts[1].open(OpenCore::key(info.key).encrypted([5; 32]));
    let (wrong, _) = world.hosts[1].open(OpenCore::key(info.key).encrypted([6; 32]));
    let (blind, _) = world.hosts[1].open(OpenCore::key(info.key));
    world.connect(1, 0);
    let right = world.hosts[1].machine.get(reader, 0, GetOptions::default());
    world.run();
    assert_eq!(block(world.hosts[1].answer(right)), "hidden");
    let refused = world.hosts[1].machine.get(wrong, 0, GetOptions::default());
    assert_eq!(world.hosts[1].answer(refused), Some(Err(CommandError::WrongEncryptionKey)));
    let raw = world.hosts[1].machine.get(blind, 0, GetOptions::default());
    assert_eq!(block(world.hosts[1].answer(raw)).len(), 14);
}

#[test]
fn a_store_opens_again_as_it_was() {
    let mut host = Host::new(1);
    let (session, info) = host.open(OpenCore::name("core-1"));
    for i in 0..70_u8 {
        host.append(session, &[&[i], b"pad"]);
    }
    let done = host.machine.clear(session, 10..20);
    assert_eq!(host.answer(done), Some(Ok(Outcome::Done)));
    let before = host.info(session);
    let mut again = Host::with_store(9, host.store.clone());
    let (session, _) = again.open(OpenCore::name("core-1"));
    let mut after = again.info(session);
    after.peers = before.peers;
    assert_eq!(after, before);
    assert_eq!((after.key, after.contiguous_length, after.stored_blocks), (info.key, 10, 130));
    again.append(session, &[b"more"]);
    assert_eq!(again.info(session).length, 141);
}

#[test]
fn a_byte_is_sought_here_and_over_there() {
    let mut world = World::new(2);
    let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
    for i in 0..50_usize {
        world.hosts[0].append(writer, &[&vec![0; i]]);
    }
    let local = world.hosts[0].machine.seek(writer, 500);
    let expected = world.hosts[0].answer(local);
    assert_eq!(expected, Some(Ok(Outcome::Sought(Some((32, 4))))));
    let (reader, _) = world.hosts[1].open(OpenCore::key(info.key));
    world.connect(1, 0);
    world.run();
    let remote = world.hosts[1].machine.seek(reader, 500);
    world.run();
    assert_eq!(world.hosts[1].answer(remote), expected);
}

#[test]
fn updates_and_cancels_and_timeouts_answer() {
    let mut world = World::new(2);
    let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
    world.hosts[0].append(writer, &[b"one"]);
    let (reader, _) = world.hosts[1].open(OpenCore::key(info.key));
    // Nobody is there, and nobody comes.
    let alone = world.hosts[1].machine.update(reader, true);
    assert_eq!(world.hosts[1].answer(alone), Some(Ok(Outcome::Updated(false))));
    world.hosts[1].machine.start_finding_peers();
    let in_vain = world.hosts[1].machine.update(reader, true);
    assert_eq!(world.hosts[1].answer(in_vain), None);
    world.hosts[1].machine.stop_finding_peers();
    assert_eq!(world.hosts[1].answer(in_vain), Some(Ok(Outcome::Updated(false))));
    world.hosts[1].machine.start_finding_peers();
    let update = world.hosts[1].machine.update(reader, true);
    assert_eq!(world.hosts[1].answer(update), None);
    world.connect(1, 0);
    world.hosts[1].machine.stop_finding_peers();
    world.run();
    assert_eq!(world.hosts[1].answer(update), Some(Ok(Outcome::Updated(true))));
    let again = world.hosts[1].machine.update(reader, true);
    world.run();
    assert_eq!(world.hosts[1].answer(again), Some(Ok(Outcome::Updated(false))));
    let get = world.hosts[1].machine.get(reader, 9, GetOptions { timeout_ms: 50, ..GetOptions::default() });
    world.pass(corestore_core::time::Duration::from_millis(60));
    assert_eq!(world.hosts[1].answer(get), Some(Err(CommandError::Timeout)));
    let download = world.hosts[1].machine.download(reader, DownloadRange::Blocks(vec![9]));
    world.hosts[1].machine.time_out(download, corestore_core::time::Duration::from_millis(50));
    world.pass(corestore_core::time::Duration::from_millis(60));
    assert_eq!(world.hosts[1].answer(download), Some(Err(CommandError::Timeout)));
    let get = world.hosts[1].machine.get(reader, 9, GetOptions::default());
    world.hosts[1].machine.cancel(get);
    assert_eq!(world.hosts[1].answer(get), Some(Err(CommandError::Cancelled)));
}

#[test]
fn bytes_altered_on_the_way_end_the_connection_and_store_nothing() {
    let mut world = World::new(2);
    let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
    world.hosts[0].append(writer, &[&[7; 5000]]);
    let (reader, _) = world.hosts[1].open(OpenCore::key(info.key));
    world.hosts[1].machine.get(reader, 0, GetOptions::default());
    world.connect(1, 0);
    world.run_with(&mut |from, bytes| {
        if from == 0 && bytes.len() > 5000 {
            bytes[3000] ^= 1;
        }
    });
    assert!(!world.hosts[1].machine.has(reader, 0));
    let ended = |event: &Event| {
        matches!(event, Event::Disconnected { reason: corestore_core::corestore::CloseReason::Violation(_), .. })
    };
    assert!(world.hosts[1].events.iter().any(ended));
}

#[test]
fn the_wrong_key_for_a_discovery_key_is_no_use_and_unknown_cores_are_rejected() {
    let mut world = World::new(2);
    let (_, info) = world.hosts[0].open(OpenCore::name("core-1"));
    let mut other = info.key;
    other.0[0] ^= 1;
    let (reader, _) = world.hosts[1].open(OpenCore::key(other));
    world.connect(1, 0);
    world.run();
    assert_eq!(world.hosts[1].info(reader).peers, 0);
    assert!(world.hosts[0].events.iter().any(|event| matches!(event, Event::UnknownDiscoveryKey { .. })));
    let stored = world.hosts[0].machine.list();
    assert_eq!(world.hosts[0].answer(stored), Some(Ok(Outcome::Cores(vec![info.discovery_key]))));
}

#[test]
fn a_byte_before_the_first_stored_block_is_sought_over_there() {
    let mut world = World::new(2);
    let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
    for i in 0..20_usize {
        world.hosts[0].append(writer, &[format!("block {i}").as_bytes()]);
    }
    let (reader, _) = world.hosts[1].open(OpenCore::key(info.key));
    world.connect(1, 0);
    world.run();
    for index in [3, 2, 4, 5, 18, 19] {
        world.hosts[1].machine.get(reader, index, GetOptions::default());
        world.run();
    }
    world.hosts[0].append(writer, &[b"block 20", b"block 21"]);
    world.run();
    for index in [20, 21] {
        world.hosts[1].machine.get(reader, index, GetOptions::default());
        world.run();
    }
    let sought = world.hosts[1].machine.seek(reader, 3);
    world.run();
    assert_eq!(world.hosts[1].answer(sought), Some(Ok(Outcome::Sought(Some((0, 3))))));
}
