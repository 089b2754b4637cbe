//! The processes of the measurement, and what each of them uses.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A process that says JSON, line by line. It ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) first: Value,
    lines: Receiver<Value>,
}

/// `corestore gateway`.
pub(crate) struct GatewayProcess {
    process: Process,
    pub(crate) address: SocketAddr,
}

/// What a process has used so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    /// KiB.
    pub(crate) memory: u64,
    /// On a core.
    pub(crate) cpu: Duration,
    /// Ready to run, while the cores did something else.
    pub(crate) waited: Duration,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, taken) = channel();
        // Nobody is to stand in the way of a gateway's log.
        std::thread::spawn(move || {
            for line in lines.by_ref().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        let first = taken.recv().unwrap();
        Self { child, first, lines: taken }
    }

    /// The next line; `None` when there is none in time.
    pub(crate) fn line(&self) -> Option<Value> {
        self.lines.recv_timeout(PATIENCE).ok()
    }

    /// Ends its input and gives its last line.
    pub(crate) fn end(mut self) -> Option<Value> {
        drop(self.child.stdin.take());
        std::iter::from_fn(|| self.line()).last()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl GatewayProcess {
    pub(crate) fn start(nodes: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corestore"));
        command.args(["gateway", "--listen", "127.0.0.1:0", "--json", "--bootstrap", nodes]);
        command.args(arguments);
        let process = Process::start(command);
        let port = u16::try_from(process.first["port"].as_u64().unwrap()).unwrap();
        Self { process, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
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

/// What a process has used so far, all its threads together.
pub(crate) fn usage(process: u32) -> Usage {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let memory = line.trim().trim_end_matches(" kB").parse().unwrap();
    let mut usage = Usage { memory, ..Usage::default() };
    for thread in std::fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten() {
        // A thread may end meanwhile.
        let Ok(text) = std::fs::read_to_string(thread.path().join("schedstat")) else { continue };
        let mut nanoseconds = text.split(' ').map_while(|number| number.parse().ok()).map(Duration::from_nanos);
        usage.cpu += nanoseconds.next().unwrap_or_default();
        usage.waited += nanoseconds.next().unwrap_or_default();
    }
    usage
}

/// How long a line may take.
const PATIENCE: Duration = Duration::from_secs(900);
