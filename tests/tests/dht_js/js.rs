//! Genuine HyperDHT nodes: `tests/js/dht_testnet.mjs`, spoken to in JSON lines.

use serde_json::{Value, json};
use std::any::Any;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

pub(crate) struct Js {
    pub(crate) bootstrap: Vec<SocketAddrV4>,
    child: Child,
    input: ChildStdin,
    lines: Receiver<Value>,
    next: u64,
    early: Vec<Value>,
    /// Held until the nodes have ended.
    _company: Box<dyn Any>,
}

static NETWORKS: RwLock<()> = RwLock::new(());

impl Js {
    /// Starts so many nodes, beside other networks of this process.
    pub(crate) fn start(nodes: usize) -> Self {
        Self::among(nodes, Box::new(NETWORKS.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Starts so many nodes while there is no other network: where many nodes come and go, their ports are soon taken by
    /// others, who would be drawn into theirs.
    pub(crate) fn start_alone(nodes: usize) -> Self {
        Self::among(nodes, Box::new(NETWORKS.write().unwrap_or_else(PoisonError::into_inner)))
    }

    fn among(nodes: usize, company: Box<dyn Any>) -> Self {
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
        let first: Value = lines.recv_timeout(Duration::from_secs(120)).expect("the nodes are up");
        let port = |node: &Value| u16::try_from(node["port"].as_u64().unwrap()).unwrap();
        let nodes = first["bootstrap"].as_array().unwrap().iter();
        let bootstrap = nodes.map(|node| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port(node))).collect();
        Self { bootstrap, child, input, lines, next: 0, early: Vec::new(), _company: company }
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
