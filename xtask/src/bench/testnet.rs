//! A private DHT of genuine nodes on this machine, for as long as a workload needs it.

use crate::command::Running;
use crate::project;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdin, Command, Stdio};

/// The network; it ends with this.
pub(crate) struct Testnet {
    /// Its first nodes, as `host:port,…`.
    pub(crate) bootstrap: String,
    /// The nodes leave when this closes.
    _stdin: Option<ChildStdin>,
    _running: Running,
}

impl Testnet {
    /// Starts four nodes and waits until they know each other.
    pub(crate) fn start() -> Result<Self, String> {
        let mut node = Command::new("node");
        node.arg(project::path("tests/js/dht_testnet.mjs")).args(["--nodes", "4"]);
        let mut running = Running::start(node.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let stdin = running.0.stdin.take();
        let stdout = running.0.stdout.take().ok_or("the private DHT has no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .map_err(|error| format!("the private DHT says nothing: {error}"))?;
        let said: Value =
            serde_json::from_str(&line).map_err(|error| format!("the private DHT said {line}: {error}"))?;
        let nodes = said.get("bootstrap").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let addresses: Vec<String> = nodes.iter().filter_map(address).collect();
        if addresses.is_empty() {
            return Err(format!("the private DHT named no nodes: {line}"));
        }
        Ok(Self { bootstrap: addresses.join(","), _stdin: stdin, _running: running })
    }
}

fn address(node: &Value) -> Option<String> {
    Some(format!("{}:{}", node.get("host")?.as_str()?, node.get("port")?.as_u64()?))
}
