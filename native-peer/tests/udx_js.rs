//! Our UDX streams against udx-native, over loopback. Needs Node and the packages of `tests/js`.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use bytes::Bytes;
use corestore_peer::swarm::udp::Udp;
use corestore_peer::swarm::udx::{CloseReason, Config, Firewall, Remote, SocketId, StreamId, StreamOptions};
use corestore_peer::swarm::udx_stream::UdxStream;
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const OURS: u32 = 1001;
const THEIRS: u32 = 2002;

/// A running `udx.mjs`.
struct Js {
    _child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Js {
    fn start(arguments: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/js");
        assert!(folder.join("node_modules/udx-native").exists(), "run `npm install` in tests/js");
        let mut command = Command::new("node");
        command.arg("udx.mjs").args(arguments).current_dir(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("node runs");
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, stdin, lines }
    }

    async fn tell(&mut self, line: &str) {
        self.stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// The value of `key` in the next line that has it, as text.
    async fn expect(&mut self, key: &str) -> String {
        let marker = format!("\"{key}\":");
        loop {
            let line = within(self.lines.next_line()).await.unwrap().unwrap_or_else(|| panic!("no {key}"));
            if let Some((_, rest)) = line.split_once(&marker) {
                return rest.split([',', '}']).next().unwrap().trim_matches('"').to_owned();
            }
        }
    }

    async fn port(&mut self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.expect("port").await.parse().unwrap()))
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it ends")
}

/// A socket and a stream on it.
fn ours(firewall: Firewall) -> (Udp, SocketId, SocketAddr, UdxStream) {
    let (udp, _) = Udp::new(Config::default(), [3; 32], 16);
    let (socket, address) = udp.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let stream = udp.open(StreamId(OURS), StreamOptions { firewall, ..StreamOptions::default() }).unwrap();
    (udp, socket, address, stream)
}

/// A JavaScript peer in `mode`, connected with ours.
async fn pair(mode: &str, length: usize) -> (Js, UdxStream, Udp, SocketId) {
    let mut js = Js::start(&[mode, &THEIRS.to_string(), &OURS.to_string(), &length.to_string()]);
    let (udp, socket, local, stream) = ours(Firewall::Accept);
    let address = js.port().await;
    js.tell(&format!("{{\"port\":{}}}", local.port())).await;
    stream.connect(Remote { socket, address, id: THEIRS }, None).unwrap();
    (js, stream, udp, socket)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index / 7 + index % 251).to_le_bytes()[0]).collect()
}

#[tokio::test]
async fn what_we_send_arrives() {
    let (mut js, mut stream, ..) = pair("receive", 0).await;
    let all = bytes(20_000_000);
    within(stream.write_all(&all)).await.unwrap();
    within(stream.shutdown()).await.unwrap();
    assert_eq!(js.expect("sha256").await, sha256(&all));
    assert_eq!(within(stream.closed()).await, CloseReason::Finished);
    assert_eq!(js.expect("closed").await, "true");
}

#[tokio::test]
async fn what_they_send_arrives() {
    let (mut js, mut stream, ..) = pair("send", 20_000_000).await;
    let mut got = Vec::new();
    within(stream.read_to_end(&mut got)).await.unwrap();
    within(stream.shutdown()).await.unwrap();
    assert_eq!((got.len(), js.expect("sha256").await), (20_000_000, sha256(&got)));
    assert_eq!(js.expect("closed").await, "true");
}

#[tokio::test]
async fn messages_and_data_come_back() {
    let (mut js, mut stream, ..) = pair("echo", 0).await;
    for index in 0..20u8 {
        // The first may arrive before the other side is connected; none is promised to.
        let answer = loop {
            stream.send_message(Bytes::from(vec![index; 500])).unwrap();
            let answer = tokio::time::timeout(Duration::from_millis(500), stream.receive_message()).await;
            if let Ok(Some(answer)) = answer
                && answer[0] == index
            {
                break answer;
            }
        };
        assert_eq!(answer, vec![index; 500]);
    }
    let all = bytes(500_000);
    let mut got = vec![0; all.len()];
    {
        let (mut read, mut write) = tokio::io::split(&mut stream);
        within(async { tokio::try_join!(write.write_all(&all), read.read_exact(&mut got)) }).await.unwrap();
    }
    assert!(got == all);
    within(stream.shutdown()).await.unwrap();
    assert_eq!(js.expect("closed").await, "true");
}

#[tokio::test]
async fn their_server_finds_out_who_calls() {
    let mut js = Js::start(&["server", &THEIRS.to_string(), &OURS.to_string()]);
    let (_udp, socket, _, mut stream) = ours(Firewall::Deny);
    let address = js.port().await;
    stream.connect(Remote { socket, address, id: THEIRS }, None).unwrap();
    within(stream.write_all(b"who am I")).await.unwrap();
    let mut got = [0; 8];
    within(stream.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"who am I");
}

#[tokio::test]
async fn our_server_finds_out_who_calls() {
    let mut js = Js::start(&["send", &THEIRS.to_string(), &OURS.to_string(), "100000"]);
    let (_udp, _, local, mut stream) = ours(Firewall::Ask);
    js.port().await;
    js.tell(&format!("{{\"port\":{}}}", local.port())).await;
    let (socket, from) = within(stream.asked()).await.unwrap();
    stream.connect(Remote { socket, address: from, id: THEIRS }, None).unwrap();
    stream.answer(true);
    let mut got = Vec::new();
    within(stream.read_to_end(&mut got)).await.unwrap();
    within(stream.shutdown()).await.unwrap();
    assert_eq!(js.expect("sha256").await, sha256(&got));
}

#[tokio::test]
async fn their_reset_is_ours() {
    let (_js, mut stream, ..) = pair("destroy", 0).await;
    within(stream.write_all(b"go away")).await.unwrap();
    assert_eq!(within(stream.closed()).await, CloseReason::Reset);
}

#[tokio::test]
async fn our_reset_is_theirs() {
    let (mut js, mut stream, ..) = pair("echo", 0).await;
    within(stream.write_all(b"hello")).await.unwrap();
    within(stream.read_exact(&mut [0; 5])).await.unwrap();
    drop(stream);
    assert_eq!(js.expect("error").await, "ECONNRESET");
}

#[tokio::test]
async fn they_move_to_another_socket_in_the_middle() {
    let (mut js, mut stream, udp, socket) = pair("move", 2_000_000).await;
    let address = js.port().await;
    let port = udp.local_address(socket).unwrap().port();
    js.tell(&format!("{{\"port\":{port}}}")).await;
    stream.change_remote(Remote { socket, address, id: THEIRS }).unwrap();
    let mut got = Vec::new();
    within(stream.read_to_end(&mut got)).await.unwrap();
    within(stream.shutdown()).await.unwrap();
    assert_eq!(js.expect("sha256").await, sha256(&got));
}

#[tokio::test]
async fn we_move_to_another_socket_in_the_middle() {
    let (mut js, mut stream, udp, socket) = pair("receive", 0).await;
    let all = bytes(4_000_000);
    within(stream.write_all(&all[..2_000_000])).await.unwrap();
    let (second, _) = udp.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = stream.remote().unwrap().address;
    stream.change_remote(Remote { socket: second, address, id: THEIRS }).unwrap();
    within(stream.write_all(&all[2_000_000..])).await.unwrap();
    within(stream.shutdown()).await.unwrap();
    assert_ne!(socket, second);
    assert_eq!(js.expect("sha256").await, sha256(&all));
}

#[tokio::test]
async fn their_relay_carries_our_streams() {
    let mut js = Js::start(&["relay", "31", "32"]);
    let relay = js.port().await;
    let (_a, socket_a, local_a, mut one) = ours(Firewall::Deny);
    let (_b, socket_b, local_b, mut two) = ours(Firewall::Deny);
    let (port_a, port_b) = (local_a.port(), local_b.port());
    js.tell(&format!("{{\"ports\":[{port_a},{port_b}],\"ids\":[{OURS},{OURS}]}}")).await;
    js.expect("relaying").await;
    one.connect(Remote { socket: socket_a, address: relay, id: 31 }, None).unwrap();
    two.connect(Remote { socket: socket_b, address: relay, id: 32 }, None).unwrap();
    transfer(&mut one, &mut two).await;
}

#[tokio::test]
async fn our_relay_carries_their_stream() {
    let mut js = Js::start(&["receive", &THEIRS.to_string(), "42"]);
    let theirs = js.port().await;
    let (relay, _) = Udp::new(Config::default(), [9; 32], 16);
    let (relay_socket, relay_address) = relay.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let half = |id| relay.open(StreamId(id), StreamOptions::default()).unwrap();
    let (ours_half, their_half) = (half(41), half(42));
    let (_udp, socket, local, mut stream) = ours(Firewall::Deny);
    ours_half.connect(Remote { socket: relay_socket, address: local, id: OURS }, None).unwrap();
    their_half.connect(Remote { socket: relay_socket, address: theirs, id: THEIRS }, None).unwrap();
    ours_half.relay_to(&their_half).unwrap();
    their_half.relay_to(&ours_half).unwrap();
    js.tell(&format!("{{\"port\":{}}}", relay_address.port())).await;
    stream.connect(Remote { socket, address: relay_address, id: 41 }, None).unwrap();
    let all = bytes(3_000_000);
    within(stream.write_all(&all)).await.unwrap();
    within(stream.shutdown()).await.unwrap();
    assert_eq!(js.expect("sha256").await, sha256(&all));
    assert!(their_half.stats().bytes_sent > 3_000_000);
}

async fn transfer(one: &mut UdxStream, two: &mut UdxStream) {
    let all = bytes(3_000_000);
    let mut got = Vec::new();
    let write = async {
        one.write_all(&all).await.unwrap();
        one.shutdown().await.unwrap();
    };
    within(async { tokio::join!(write, async { two.read_to_end(&mut got).await.unwrap() }) }).await;
    assert!(got == all);
}
