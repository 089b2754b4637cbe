//! Two and more of our own peers, over TCP, WebSocket and streams in memory.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

mod common;

use bytes::Bytes;
use common::{Numbers, all, in_time, join, store, until};
use corestore_peer::{CoreEvent, CoreOptions, Corestore, GetOptions, ReadError, Role};
use futures_util::StreamExt;

#[derive(Clone, Copy)]
enum Over {
    Tcp,
    WebSocket,
}

/// A writer, and a reader that is told where the writer is.
async fn pair(over: Over) -> (Corestore, Corestore, Vec<Box<dyn std::any::Any>>) {
    let (writer, reader) = (store(), store());
    let kept: Vec<Box<dyn std::any::Any>> = match over {
        Over::Tcp => {
            let listener = writer.listen_tcp("127.0.0.1:0").await.unwrap();
            let dialer = reader.dial_tcp(listener.local_addr().to_string());
            vec![Box::new(listener), Box::new(dialer)]
        }
        Over::WebSocket => {
            let listener = writer.listen_websocket("127.0.0.1:0").await.unwrap();
            let dialer = reader.dial_websocket(format!("ws://{}", listener.local_addr()));
            vec![Box::new(listener), Box::new(dialer)]
        }
    };
    (writer, reader, kept)
}

async fn thousands_of_blocks_arrive_as_they_were(over: Over) {
    let (writer, reader, _kept) = pair(over).await;
    let core = writer.get("log").await.unwrap();
    let copy = reader.get(core.key()).await.unwrap();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let download = copy.download(..);
    let mut written = Vec::new();
    for _ in 0..50 {
        let batch: Vec<Bytes> = (0..100).map(|_| numbers.block()).collect();
        written.extend(batch.iter().cloned());
        core.append_batch(batch).await.unwrap();
        tokio::task::yield_now().await;
    }
    let read = all(&copy, 5000).await;
    assert!(read == written, "blocks differ");
    until(|| copy.contiguous_length() == 5000).await;
    drop(download);
    // Live from here on.
    let mut live = copy.live_blocks(5000);
    for index in 5000..5020_u64 {
        core.append(format!("live {index}")).await.unwrap();
        let (at, block) = in_time(live.next_block()).await.unwrap().unwrap();
        assert_eq!((at, &block[..]), (index, format!("live {index}").as_bytes()));
    }
    assert_eq!(copy.byte_length(), core.byte_length());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_blocks_over_tcp() {
    thousands_of_blocks_arrive_as_they_were(Over::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_blocks_over_websocket() {
    thousands_of_blocks_arrive_as_they_were(Over::WebSocket).await;
}

#[tokio::test]
async fn encrypted_blocks_need_their_key() {
    let (writer, reader) = (store(), store());
    join(&reader, &writer);
    let secret = [7; 32];
    let core = writer.get(CoreOptions::name("log").encryption_key(secret)).await.unwrap();
    core.append_batch(["one", "two"]).await.unwrap();
    let copy = reader.get(CoreOptions::key(core.key()).encryption_key(secret)).await.unwrap();
    assert_eq!(all(&copy, 2).await, ["one", "two"]);
    assert_eq!(copy.byte_length(), 6);
    let blind = reader.get(core.key()).await.unwrap();
    assert_ne!(in_time(blind.get(0)).await.unwrap(), "one");
    let mistaken = reader.get(CoreOptions::key(core.key()).encryption_key([8; 32])).await.unwrap();
    let error = in_time(mistaken.get(0)).await.unwrap_err();
    assert!(matches!(error, ReadError::WrongEncryptionKey { core } if core == copy.key()), "{error}");
}

#[tokio::test]
async fn a_truncation_arrives_and_the_new_blocks_follow() {
    let (writer, reader) = (store(), store());
    join(&reader, &writer);
    let core = writer.get("log").await.unwrap();
    core.append_batch(["a", "b", "c", "d"]).await.unwrap();
    let copy = reader.get(core.key()).await.unwrap();
    assert_eq!(all(&copy, 4).await.len(), 4);
    let mut events = copy.subscribe();
    core.truncate(2).await.unwrap();
    core.append_batch(["C", "D", "E"]).await.unwrap();
    let cut = in_time(async {
        loop {
            if let Some(CoreEvent::Truncated { length, fork }) = events.next().await {
                return (length, fork);
            }
        }
    });
    assert_eq!(cut.await, (2, 1));
    until(|| copy.length() == 5).await;
    assert_eq!(all(&copy, 5).await, ["a", "b", "C", "D", "E"]);
    assert_eq!(copy.fork(), core.fork());
}

#[tokio::test]
async fn a_chain_passes_blocks_on() {
    let (a, b, c) = (store(), store(), store());
    join(&b, &a);
    join(&c, &b);
    let core = a.get("log").await.unwrap();
    core.append_batch(["one", "two", "three"]).await.unwrap();
    let middle = b.get(core.key()).await.unwrap();
    let _all = middle.download(..);
    let end = c.get(core.key()).await.unwrap();
    assert_eq!(all(&end, 3).await, ["one", "two", "three"]);
    core.append("four").await.unwrap();
    assert_eq!(in_time(end.get(3)).await.unwrap(), "four");
    assert_eq!(c.connections().len(), 1);
}

#[tokio::test]
async fn a_reader_that_gave_up_is_not_sent_the_block() {
    let (writer, reader) = (store(), store());
    let core = writer.get("log").await.unwrap();
    let copy = reader.get(core.key()).await.unwrap();
    join(&reader, &writer);
    let given_up = tokio::time::timeout(std::time::Duration::from_millis(50), copy.get(0)).await;
    assert!(given_up.is_err());
    let download = copy.download(0..10);
    download.cancel();
    core.append_batch(["a", "b"]).await.unwrap();
    assert_eq!(in_time(copy.get(1)).await.unwrap(), "b");
    assert!(!copy.has(0), "nobody asked for block 0 any more");
    let soon = GetOptions { timeout_ms: 20, ..GetOptions::default() };
    assert!(matches!(in_time(copy.get_with(9, soon)).await, Err(ReadError::Timeout)));
}

#[tokio::test]
async fn a_peer_that_does_not_read_disturbs_nobody() {
    let (writer, reader) = (store(), store());
    let core = writer.get("log").await.unwrap();
    core.append_batch((0..64).map(|_| Bytes::from(vec![1; 1 << 20]))).await.unwrap();
    // A reader behind a link that lets nothing more through once its small buffer is full.
    let slow = store();
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let (mut relay, far) = tokio::io::duplex(64 << 10);
    writer.replicate(theirs, Role::Responder).unwrap();
    slow.replicate(far, Role::Initiator).unwrap();
    let stuck = tokio::spawn(async move {
        let mut ours = ours;
        let mut limited = [0; 16 << 10];
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut passed = 0;
        loop {
            tokio::select! {
                Ok(count) = relay.read(&mut limited) => ours.write_all(&limited[..count]).await.unwrap(),
                () = tokio::task::yield_now(), if passed < 2 << 20 => {
                    let mut bytes = [0; 16 << 10];
                    let read = tokio::time::timeout(std::time::Duration::from_millis(1), ours.read(&mut bytes));
                    let Ok(Ok(count)) = read.await else { continue };
                    passed += count;
                    relay.write_all(&bytes[..count]).await.unwrap();
                }
            }
        }
    });
    let starved = slow.get(core.key()).await.unwrap();
    let _download = starved.download(..);
    until(|| starved.count(0..64) > 0).await;
    join(&reader, &writer);
    let copy = reader.get(core.key()).await.unwrap();
    assert_eq!(all(&copy, 64).await.len(), 64);
    assert!(starved.count(0..64) < 64);
    stuck.abort();
}

#[tokio::test]
async fn extension_messages_arrive() {
    let (a, b) = (store(), store());
    join(&a, &b);
    let core = a.get("log").await.unwrap();
    let copy = b.get(core.key()).await.unwrap();
    let (ours, mut theirs) = (core.extension("greeting"), copy.extension("greeting"));
    let mut other = copy.extension("other");
    until(|| core.info().peers == 1 && copy.info().peers == 1).await;
    ours.broadcast("hello");
    assert_eq!(in_time(theirs.receive()).await.unwrap().1, "hello");
    let silent = tokio::time::timeout(std::time::Duration::from_millis(20), other.receive()).await;
    assert!(silent.is_err());
}

#[tokio::test]
async fn seeks_and_snapshots() {
    let (writer, reader) = (store(), store());
    join(&reader, &writer);
    let core = writer.get("log").await.unwrap();
    core.append_batch(["aa", "bbb", "c"]).await.unwrap();
    let copy = reader.get(core.key()).await.unwrap();
    assert!(in_time(copy.update()).await.unwrap());
    assert_eq!(in_time(copy.seek(4)).await.unwrap(), Some((1, 2)));
    assert_eq!(in_time(copy.seek(60)).await.unwrap(), None);
    let pinned = copy.snapshot().await.unwrap();
    core.append("d").await.unwrap();
    until(|| copy.length() == 4).await;
    assert_eq!(pinned.length(), 3);
    assert!(!pinned.writable());
    assert!(matches!(in_time(pinned.get(3)).await, Err(ReadError::SnapshotNotAvailable { .. })));
}
