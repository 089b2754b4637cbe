//! The gateway's process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// `corestore gateway`, until it is dropped.
pub(crate) struct GatewayProcess {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// What a process uses.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// KiB.
    pub(crate) memory: u64,
    pub(crate) cpu: Duration,
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl GatewayProcess {
    pub(crate) fn start(nodes: &[SocketAddrV4]) -> Self {
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_corestore"));
        command.args(["gateway", "--listen", "127.0.0.1:0", "--json", "--bootstrap", &nodes.join(",")]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let port = u16::try_from(first["port"].as_u64().unwrap()).unwrap();
        // Its log is not to stand in its way.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) }
    }

    pub(crate) fn usage(&self) -> Usage {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap();
        let status = read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory = line.trim().trim_end_matches(" kB").parse().unwrap();
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Usage { memory, cpu: Duration::from_millis(ticks * 10) }
    }

    pub(crate) fn figure(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("corestore_gateway_{name} ")));
        line.unwrap().parse().unwrap()
    }
}
