//! Genuine HyperDHT nodes: `tests/js/dht_testnet.mjs`, spoken to in JSON lines.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

pub(crate) struct Js {
    pub(crate) bootstrap: Vec<SocketAddrV4>,
    child: Child,
    input: ChildStdin,
    lines: Receiver<Value>,
    next: u64,
    early: Vec<Value>,
}

impl Js {
    /// Starts so many nodes.
    pub(crate) fn start(nodes: usize) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("js/dht_testnet.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .args(["--nodes", &nodes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap_or_default()).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take().unwrap();
        let first: Value = lines.recv_timeout(Duration::from_secs(60)).expect("the nodes are up");
        let port = |node: &Value| u16::try_from(node["port"].as_u64().unwrap()).unwrap();
        let nodes = first["bootstrap"].as_array().unwrap().iter();
        let bootstrap = nodes.map(|node| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port(node))).collect();
        Self { bootstrap, child, input, lines, next: 0, early: Vec::new() }
    }

    /// Asks for something; the answer comes by [`Js::answer`].
    pub(crate) fn ask(&mut self, method: &str, args: Value) -> u64 {
        self.next += 1;
        writeln!(self.input, "{}", json!({ "id": self.next, "method": method, "args": args })).unwrap();
        self.next
    }

    /// The answer, once it is there.
    pub(crate) fn answer(&mut self, id: u64) -> Option<Value> {
        self.early.extend(self.lines.try_iter());
        let place = self.early.iter().position(|line| line["id"] == id)?;
        let line = self.early.swap_remove(place);
        assert!(line["error"].is_null(), "{line}");
        Some(line["result"].clone())
    }
}

impl Drop for Js {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
