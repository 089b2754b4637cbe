//! The program `corestore gateway` by itself: the key it keeps, pinned cores it cannot read, addresses that a proxy tells.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use corestore_peer::swarm::dht_rpc::Config;
use corestore_peer::swarm::hyperswarm::JoinOptions;
use corestore_peer::swarm::member::MemberOptions;
use corestore_peer::swarm::{Swarm, SwarmOptions};
use corestore_peer::{CoreOptions, Corestore, Options};
use corestore_tests::harness::{Process, corestore};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::Command;

/// `corestore testnet`, and where its first node is.
fn network() -> (Process, SocketAddrV4) {
    let mut command = Command::new(corestore());
    command.args(["testnet", "--json"]);
    let mut process = Process::start(command);
    let first = process.line();
    let port = first.pointer("/bootstrap/0/port").and_then(|port| port.as_u64()).unwrap();
    (process, SocketAddrV4::new(Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap()))
}

struct Gateway {
    process: Process,
    port: u16,
    key: String,
}

fn gateway(node: SocketAddrV4, arguments: &[&str]) -> Gateway {
    let mut command = Command::new(corestore());
    command.args(["gateway", "--listen", "127.0.0.1:0", "--json", "--bootstrap", &node.to_string()]).args(arguments);
    let mut process = Process::start(command);
    let first = process.line();
    let port = first.get("port").and_then(|port| port.as_u64()).unwrap();
    let key = first.get("publicKey").and_then(|key| key.as_str()).unwrap().to_owned();
    Gateway { process, port: u16::try_from(port).unwrap(), key }
}

impl Gateway {
    fn end(mut self) {
        self.process.terminate();
        assert!(self.process.wait().success());
    }

    /// The status line that answers a browser of which a proxy tells this.
    fn knock(&self, forwarded_for: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For: {forwarded_for}\r\n\r\n"
        )
        .unwrap();
        let mut line = [0; 12];
        stream.read_exact(&mut line).unwrap();
        (stream, String::from_utf8_lossy(&line).into_owned())
    }
}

#[test]
fn a_gateway_with_a_storage_directory_keeps_its_key_and_shows_it_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("kept");
    let (_network, node) = network();
    let start = || gateway(node, &["--storage", storage.to_str().unwrap()]);
    let first = start();
    let key = first.key.clone();
    first.end();
    let second = start();
    assert_eq!(second.key, key);
    second.end();
    let seed = storage.join("swarm").join("gateway.seed");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&seed).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read(&seed).unwrap().len(), 64);
    assert_ne!(gateway(node, &[]).key, key);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_encrypted_core_stays_unreadable_to_the_gateway_and_readable_through_it() {
    const SECRET: &str = "nobody but who has the key reads this";
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("kept");
    let (_network, node) = network();
    let encryption = [9; 32];
    let writer = Corestore::in_memory(&Options::default()).unwrap();
    let core = writer.get(CoreOptions::name("secrets").encryption_key(encryption)).await.unwrap();
    for number in 0..8 {
        core.append(format!("{SECRET}, {number}")).await.unwrap();
    }
    let options = MemberOptions {
        host: Ipv4Addr::LOCALHOST,
        port: 0,
        node: Config { bootstrap: vec![node], ..Config::default() },
        ..MemberOptions::default()
    };
    let (swarm, connections) = Swarm::start(SwarmOptions { member: options, ..SwarmOptions::default() }).unwrap();
    connections.replicate(writer.clone());
    swarm.join(core.discovery_key(), JoinOptions::default());
    swarm.flush().await;
    let keeper = gateway(node, &["--storage", storage.to_str().unwrap(), "--pin", &core.key().to_string()]);
    // Whoever has the key reads it from the gateway alone.
    let reader = Corestore::in_memory(&Options::default()).unwrap();
    let read = reader.get(CoreOptions::key(core.key()).encryption_key(encryption)).await.unwrap();
    let url = format!("ws://127.0.0.1:{}/replicate", keeper.port);
    let _connection = reader.connect_websocket(url).await.unwrap();
    for number in 0..8 {
        assert_eq!(read.get(number).await.unwrap(), format!("{SECRET}, {number}"));
    }
    keeper.end();
    // The gateway's own copy.
    assert!(!holds(&storage, SECRET.as_bytes()) && !holds(&storage, &encryption));
    let kept = Corestore::open(&storage, Options::default()).await.unwrap();
    let sealed = kept.get(core.key()).await.unwrap();
    assert_eq!(sealed.contiguous_length(), 8);
    let block = sealed.get(3).await.unwrap();
    assert!(holds(&storage, &block) && !block.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()));
    swarm.close().await;
}

/// Whether some file below a folder holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().flatten().any(|entry| match entry.file_type().unwrap().is_dir() {
        true => holds(&entry.path(), bytes),
        false => fs::read(entry.path()).unwrap().windows(bytes.len()).any(|window| window == bytes),
    })
}

#[test]
fn behind_a_proxy_addresses_are_the_proxys_word_and_else_nobodys() {
    const IN: &str = "HTTP/1.1 101";
    const OUT: &str = "HTTP/1.1 429";
    let (_network, node) = network();
    let behind = gateway(node, &["--max-per-address", "2", "--proxy"]);
    let knock = |told: &str| behind.knock(told);
    let (_one, _two) = (knock("10.0.0.1"), knock("10.0.0.1"));
    assert_eq!([_one.1.as_str(), _two.1.as_str()], [IN, IN]);
    // What stands before the proxy's own word was written by the browser.
    let third = knock("10.0.0.9, 10.0.0.1");
    let other = knock("10.0.0.1, 10.0.0.2");
    assert_eq!([third.1.as_str(), other.1.as_str()], [OUT, IN]);
    let open = gateway(node, &["--max-per-address", "2"]);
    let (_one, _two, third) = (open.knock("10.0.0.1"), open.knock("10.0.0.2"), open.knock("10.0.0.3"));
    assert_eq!([_one.1.as_str(), _two.1.as_str(), third.1.as_str()], [IN, IN, OUT]);
}
