//! UDX streams over real sockets on loopback, both ends ours.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use bytes::Bytes;
use corestore_peer::swarm::udp::{Datagram, Udp};
use corestore_peer::swarm::udx::{CloseReason, Config, Firewall, Remote, SocketId, StreamId, StreamOptions};
use corestore_peer::swarm::udx_stream::UdxStream;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::Receiver;

/// A driver with one socket.
struct Peer {
    udp: Udp,
    socket: SocketId,
    address: SocketAddr,
    datagrams: Receiver<Datagram>,
}

fn peer(host: &str) -> Peer {
    let (udp, datagrams) = Udp::new(Config::default(), [7; 32], 4);
    let (socket, address) = udp.bind(SocketAddr::new(host.parse().unwrap(), 0)).unwrap();
    Peer { udp, socket, address, datagrams }
}

/// Streams 1 and 2, connected.
fn connected(a: &Peer, b: &Peer) -> (UdxStream, UdxStream) {
    let open = |peer: &Peer, id| peer.udp.open(StreamId(id), StreamOptions::default()).unwrap();
    let (one, two) = (open(a, 1), open(b, 2));
    one.connect(Remote { socket: a.socket, address: b.address, id: 2 }, None).unwrap();
    two.connect(Remote { socket: b.socket, address: a.address, id: 1 }, None).unwrap();
    (one, two)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index / 7 + index % 251).to_le_bytes()[0]).collect()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it ends")
}

async fn both_ways(host: &str) {
    let (a, b) = (peer(host), peer(host));
    let (mut one, mut two) = connected(&a, &b);
    let (there, back) = (bytes(20_000_000), bytes(3_000_001));
    let mine = async {
        let (mut read, mut write) = tokio::io::split(&mut one);
        let mut got = Vec::new();
        let send = async {
            write.write_all(&there).await.unwrap();
            write.shutdown().await.unwrap();
        };
        tokio::join!(send, async { read.read_to_end(&mut got).await.unwrap() });
        got
    };
    let theirs = async {
        let (mut read, mut write) = tokio::io::split(&mut two);
        let mut got = Vec::new();
        let send = async {
            write.write_all(&back).await.unwrap();
            write.shutdown().await.unwrap();
        };
        tokio::join!(send, async { read.read_to_end(&mut got).await.unwrap() });
        got
    };
    let (mine, theirs) = within(async { tokio::join!(mine, theirs) }).await;
    assert!(mine == back && theirs == there);
    assert_eq!(within(one.closed()).await, CloseReason::Finished);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_cross_both_ways_over_ipv4() {
    both_ways("127.0.0.1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_cross_both_ways_over_ipv6() {
    both_ways("::1").await;
}

#[tokio::test]
async fn a_dual_stack_socket_reaches_ipv4() {
    let (a, b) = (peer("::"), peer("127.0.0.1"));
    let port = a.address.port();
    let a = Peer { address: SocketAddr::from(([127, 0, 0, 1], port)), ..a };
    let (mut one, mut two) = connected(&a, &b);
    within(async {
        one.write_all(b"over the border").await.unwrap();
        let mut got = [0; 15];
        two.read_exact(&mut got).await.unwrap();
        two.write_all(&got).await.unwrap();
        one.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"over the border");
    })
    .await;
}

#[tokio::test]
async fn other_datagrams_go_to_the_other_machine() {
    let (a, mut b) = (peer("127.0.0.1"), peer("127.0.0.1"));
    a.udp.send(a.socket, b.address, &[0x03, 1, 2], None).unwrap();
    let got = within(b.datagrams.recv()).await.unwrap();
    assert_eq!((got.socket, got.from, &got.bytes[..]), (b.socket, a.address, &[3, 1, 2][..]));
    a.udp.send(a.socket, b.address, &[0], Some(5)).unwrap();
    assert_eq!(within(b.datagrams.recv()).await.unwrap().bytes, Bytes::from_static(&[0]));
    for _ in 0..50 {
        a.udp.send(a.socket, b.address, &[0x13; 30], None).unwrap();
    }
    within(async {
        while b.udp.dropped() < 46 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn messages_cross() {
    let (a, b) = (peer("127.0.0.1"), peer("127.0.0.1"));
    let (one, two) = connected(&a, &b);
    one.send_message(Bytes::from_static(b"unordered")).unwrap();
    assert_eq!(within(two.receive_message()).await, Some(Bytes::from_static(b"unordered")));
    one.destroy();
    assert_eq!(within(two.receive_message()).await, None);
}

#[tokio::test]
async fn dropping_a_stream_resets_the_peer() {
    let (a, b) = (peer("127.0.0.1"), peer("127.0.0.1"));
    let (mut one, two) = connected(&a, &b);
    drop(two);
    let error = within(one.read(&mut [0; 10])).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(one.write(b"x").await.is_err());
}

#[tokio::test]
async fn a_server_learns_who_calls_and_answers() {
    let (a, b) = (peer("127.0.0.1"), peer("127.0.0.1"));
    let mut one = a.udp.open(StreamId(1), StreamOptions::default()).unwrap();
    let options = StreamOptions { firewall: Firewall::Ask, ..StreamOptions::default() };
    let mut two = b.udp.open(StreamId(2), options).unwrap();
    one.connect(Remote { socket: a.socket, address: b.address, id: 2 }, None).unwrap();
    within(async {
        one.write_all(b"hello").await.unwrap();
        let (socket, from) = two.asked().await.unwrap();
        two.connect(Remote { socket, address: from, id: 1 }, None).unwrap();
        two.answer(true);
        let mut got = [0; 5];
        two.read_exact(&mut got).await.unwrap();
        two.write_all(&got).await.unwrap();
        one.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_holds_the_writer_back() {
    let (a, b) = (peer("127.0.0.1"), peer("127.0.0.1"));
    let (mut one, mut two) = connected(&a, &b);
    let all = bytes(12_000_000);
    let mut written = 0;
    while let Ok(result) = tokio::time::timeout(Duration::from_millis(300), one.write(&all[written..])).await {
        written += result.unwrap();
    }
    assert!(written < 6_000_000, "{written}");
    let write = async {
        one.write_all(&all[written..]).await.unwrap();
        one.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    within(async { tokio::join!(write, async { two.read_to_end(&mut got).await.unwrap() }) }).await;
    assert!(got == all);
}

#[tokio::test]
async fn a_closed_socket_can_be_bound_again() {
    let a = peer("127.0.0.1");
    a.udp.close(a.socket);
    within(async {
        while a.udp.bind(a.address).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(a.udp.send(a.socket, a.address, b"x", None).is_err());
}

#[tokio::test]
async fn a_core_replicates_over_it() {
    use corestore_peer::{Corestore, Options, Role};
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (a, b) = (peer("127.0.0.1"), peer("127.0.0.1"));
    let (one, two) = connected(&a, &b);
    within(async {
        let writer = Corestore::open(folders[0].path(), Options::default()).await.unwrap();
        let reader = Corestore::open(folders[1].path(), Options::default()).await.unwrap();
        let core = writer.get("notes").await.unwrap();
        core.append("over udx").await.unwrap();
        let copy = reader.get(core.key()).await.unwrap();
        let _writing = writer.replicate(one, Role::Responder).unwrap();
        let _reading = reader.replicate(two, Role::Initiator).unwrap();
        assert_eq!(&copy.get(0).await.unwrap()[..], b"over udx");
    })
    .await;
}
