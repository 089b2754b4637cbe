//! The program `corestore gateway` between genuine JavaScript peers: clients of the npm dht-relay on one side, a private
//! JavaScript network on the other.
//!
//! They need Node and the npm packages of `tests/js`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

use corestore_tests::harness::{Process, corestore, js_peer};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

/// A JavaScript network, our gateway to it, and the methods of its JavaScript clients.
struct World {
    network: Asking,
    gateway: Process,
    port: u16,
    url: String,
    nodes: String,
}

/// A process that answers questions.
struct Asking {
    process: Process,
    asked: u64,
}

impl Asking {
    fn begin(&mut self, method: &str, arguments: Value) -> u64 {
        self.asked += 1;
        self.process.say(&json!({ "id": self.asked, "method": method, "args": arguments }).to_string());
        self.asked
    }

    fn ask(&mut self, method: &str, arguments: Value) -> Value {
        let id = self.begin(method, arguments);
        let line = self.process.line_where(|line| line["id"] == id);
        assert!(line["error"].is_null(), "{method}: {line}");
        line["result"].clone()
    }

    fn refused(&mut self, method: &str, arguments: Value) -> String {
        let id = self.begin(method, arguments);
        let line = self.process.line_where(|line| line["id"] == id);
        line["error"].as_str().unwrap_or_else(|| panic!("{method} went well: {line}")).to_owned()
    }
}

impl World {
    fn new(arguments: &[&str]) -> Self {
        let mut process = js_peer("dht_testnet.mjs", &["--nodes", "4"]);
        let node = process.line()["bootstrap"][0].clone();
        let nodes = format!("{}:{}", node["host"].as_str().unwrap(), node["port"]);
        let mut command = Command::new(corestore());
        command.args(["gateway", "--listen", "127.0.0.1:0", "--bootstrap", &nodes, "--json"]).args(arguments);
        let mut gateway = Process::start(command);
        let first = gateway.line();
        let port = u16::try_from(first["port"].as_u64().unwrap()).unwrap();
        let url = first["url"].as_str().unwrap().replace("http", "ws");
        Self { network: Asking { process, asked: 0 }, gateway, port, url, nodes }
    }

    fn client(&self, seed: u8) -> Asking {
        Asking { process: js_peer("dht_relay.mjs", &["--url", &self.url, "--seed", &hex(seed)]), asked: 0 }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn figure(&self, name: &str) -> u64 {
        let text = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("corestore_gateway_{name} ")));
        line.unwrap().parse().unwrap()
    }
}

/// The first block of a core that names no others.
const FIRST: &str = "{\"otherKeys\":[]}";

/// 32 equal bytes.
fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

#[test]
fn a_js_client_meets_a_js_network_both_ways() {
    let mut world = World::new(&[]);
    let mut client = world.client(1);
    let far = world.network.ask("listen", json!([hex(2)]));
    assert_eq!(client.ask("connect", json!([far, "hello"])), "HELLO");
    let flood = client.ask("flood", json!([far, 3 << 20]));
    assert_eq!(flood, json!({ "received": 3 << 20, "same": true }));
    // A server of a client that keeps its key: what the reference's own relay cannot do.
    let served = client.ask("listen", json!([hex(3)]));
    assert_eq!(world.network.ask("connect", json!([served, "world"])), "WORLD");
    let mut other = world.client(4);
    assert_eq!(other.ask("connect", json!([served, "relayed twice"])), "RELAYED TWICE");
    let reason = other.refused("connect", json!([hex(5), "nobody"]));
    assert!(reason.contains("nobody is announced"), "{reason}");
    assert_eq!(client.ask("close", json!([])), true);
    other.refused("connect", json!([served, "closed"]));
    assert_eq!((world.figure("connections"), world.figure("faults_total")), (2, 0));
    assert!(world.figure("from_browsers_bytes_total") > 3 << 20);
}

#[test]
fn announcements_are_signed_by_the_client_and_found_by_others() {
    let mut world = World::new(&[]);
    let mut client = world.client(1);
    let topic = hex(6);
    let ours = client.ask("announce", json!([topic, hex(7)]));
    assert_eq!(world.network.ask("lookup", json!([topic])), json!([ours]));
    let theirs = world.network.ask("announce", json!([topic, hex(8)]));
    let mut both = vec![ours.as_str().unwrap(), theirs.as_str().unwrap()];
    both.sort_unstable();
    assert_eq!(client.ask("lookup", json!([topic])), json!(both));
    client.ask("unannounce", json!([topic, hex(7)]));
    assert_eq!(world.network.ask("lookup", json!([topic])), json!([theirs]));
}

#[test]
fn blocks_travel_both_ways_and_pinned_cores_are_the_gateways_own() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let world = World::new(&[]);
    let mut writer = world.client(1);
    let written = writer.ask("write", json!([hex(2), FIRST, at("one")]));
    let mut reader = world.client(3);
    let read = reader.ask("read", json!([written["peer"], written["core"], 0, at("two")]));
    assert_eq!(read, FIRST);
    // Another gateway keeps the core: it is found over the swarm, and served to its own clients without a network.
    let key = written["core"].as_str().unwrap();
    let mut command = Command::new(corestore());
    command.args(["gateway", "--bootstrap", &world.nodes, "--pin", key, "--json"]);
    let mut keeper = Process::start(command);
    let first = keeper.line();
    let url = first["url"].as_str().unwrap().replace("http", "ws");
    let mut reader = Asking { process: js_peer("dht_relay.mjs", &["--url", &url, "--seed", &hex(4)]), asked: 0 };
    let read = reader.ask("read", json!([first["publicKey"], key, 0, at("three")]));
    assert_eq!(read, FIRST);
    // And over plain replication.
    let mut command = Command::new(corestore());
    command.args(["read", key, "--storage", &at("four"), "--ws", &format!("{url}/replicate"), "--json", "--no-swarm"]);
    let mut reader = Process::start(command);
    assert_eq!(reader.line_where(|line| line["event"] == "otherKeys")["otherKeys"], json!([]));
}

#[cfg(target_os = "linux")]
#[test]
fn the_gateways_memory_holds_neither_blocks_nor_secret_keys() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let world = World::new(&[]);
    let seed = "c0ffee5eedb10c4d00d2468ace13579bdf0123456789abcdefdeadbeef5ca1ab";
    let block = "{\"otherKeys\":[],\"marker\":\"nobody between us reads this\"}";
    let mut writer = world.client(1);
    let written = writer.ask("write", json!([seed, block, at("one")]));
    let mut reader = world.client(3);
    let read = reader.ask("read", json!([written["peer"], written["core"], 0, at("two")]));
    assert_eq!(read, block);
    let memory = memory(world.gateway.pid());
    let holds = |needle: &[u8]| memory.iter().any(|part| part.windows(needle.len()).any(|window| window == needle));
    // It does know whom it carries.
    assert!(holds(&bytes(written["peer"].as_str().unwrap())));
    assert!(!holds(b"nobody between us reads"));
    assert!(!holds(&bytes(seed)));
    assert!(!holds(&bytes(written["core"].as_str().unwrap())));
}

/// All that a process may write to.
#[cfg(target_os = "linux")]
fn memory(pid: u32) -> Vec<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let file = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let writable = maps.lines().filter(|line| line.contains(" rw"));
    let part = |line: &str| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // What is not there, such as a guard page, holds nothing.
        file.read_exact_at(&mut bytes, from).ok().map(|()| bytes)
    };
    writable.filter_map(part).collect()
}

fn bytes(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[test]
fn a_secret_key_is_refused_with_the_reason() {
    let mut world = World::new(&[]);
    let mut client = js_peer("dht_relay.mjs", &["--url", &world.url, "--custodial", "yes"]);
    let closed = client.line_where(|line| !line["closed"].is_null());
    assert_eq!(closed["closed"]["code"], 1008);
    assert!(closed["closed"]["reason"].as_str().unwrap().contains("keep the secret key"), "{closed}");
    let logged = world.gateway.line_where(|line| line["event"] == "disconnected");
    assert!(logged["reason"].as_str().unwrap().contains("custodial"));
    assert_eq!(world.figure("faults_total"), 1);
}

#[test]
fn one_port_answers_everything_and_shutdown_is_told() {
    let page = tempfile::tempdir().unwrap();
    std::fs::write(page.path().join("index.html"), "<!doctype html>the page").unwrap();
    let mut world = World::new(&["--page", page.path().to_str().unwrap(), "--max-per-address", "2"]);
    assert!(world.get("/").ends_with("the page") && world.get("/").contains("text/html"));
    assert!(world.get("/nothing").starts_with("HTTP/1.1 404"));
    assert!(world.get("/health").contains("\"ok\":true"));
    let mut one = world.client(1);
    let mut two = world.client(2);
    one.ask("lookup", json!([hex(9)]));
    two.ask("lookup", json!([hex(9)]));
    let mut three = world.client(3);
    let failed = three.process.line_where(|line| !line["failed"].is_null());
    assert!(failed["failed"].as_str().unwrap().contains("429"), "{failed}");
    world.gateway.terminate();
    let closed = one.process.line_where(|line| !line["closed"].is_null());
    assert_eq!(
        (&closed["closed"]["code"], &closed["closed"]["reason"]),
        (&json!(1001), &json!("the gateway shuts down"))
    );
    assert!(world.gateway.wait().success());
}
