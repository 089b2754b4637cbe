//! UDX throughput, one way, ours and udx-native in all four pairings, each end a process of its own, in interleaved
//! rounds: `cargo bench --bench udx -- [MEGABYTES] [ROUNDS] [LOSS_PERCENT DELAY_MS]`. Prints the median of each pairing
//! in MB/s and its ratio to udx-native ↔ udx-native. With a loss and a delay (one way) both directions go through a
//! lossy link on real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a measurement may fail loudly")]

mod end;
mod link;

use link::LossyLink;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == "end") {
        end::run(arguments.get(1..).unwrap_or_default());
        return;
    }
    let number = |index: usize, default| arguments.get(index).map_or(default, |text| text.parse().expect("a number"));
    let (megabytes, rounds, loss, delay) = (number(0, 64), number(1, 5), number(2, 0), number(3, 0));
    println!("{megabytes} MB one way, {rounds} rounds, loss {loss} %, delay {delay} ms");
    let pairs = [("js", "js"), ("ours", "ours"), ("ours", "js"), ("js", "ours")];
    let mut rates = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        for ((sender, receiver), rates) in pairs.iter().zip(&mut rates) {
            let (rate, retransmits) = measure(sender, receiver, megabytes, loss, delay);
            println!("  {sender:>4} -> {receiver:<4} {rate:8.1} MB/s, {retransmits} retransmitted");
            rates.push(rate);
        }
    }
    let [base, ..] = rates.each_mut().map(|rates| median(rates));
    for ((sender, receiver), rates) in pairs.iter().zip(&mut rates) {
        let rate = median(rates);
        println!("{sender:>4} -> {receiver:<4} {rate:8.1} MB/s  {:5.2} x", rate / base);
    }
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

/// MB/s from the first byte received to the end, and packets the sender sent again.
fn measure(sender: &str, receiver: &str, megabytes: u64, loss: u64, delay: u64) -> (f64, String) {
    let bytes = megabytes * 1_000_000;
    let mut take = End::start(receiver, "measure", 2, 1, bytes);
    let mut pour = End::start(sender, "pour", 1, 2, bytes);
    let link = (loss > 0 || delay > 0).then(|| LossyLink::start(take.address, pour.address, loss, delay));
    let (to_sender, to_receiver) = match &link {
        Some(link) => (link.towards_second, link.towards_first),
        None => (pour.address, take.address),
    };
    take.tell(to_sender);
    pour.tell(to_receiver);
    let line = take.expect("\"received\":");
    let field = |line: &str, key: &str| {
        let rest = line.split_once(key).map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        rest.split([',', '}']).next().unwrap_or_default().to_owned()
    };
    assert_eq!(field(&line, "\"received\":"), bytes.to_string(), "all bytes arrive");
    let ms: f64 = field(&line, "\"ms\":").parse().expect("a time");
    let closed = pour.expect("\"retransmits\":");
    take.wait();
    pour.wait();
    #[expect(clippy::cast_precision_loss, reason = "a rate is not exact")]
    let rate = bytes as f64 / ms / 1000.0;
    (rate, field(&closed, "\"retransmits\":"))
}

/// One end as a process; see `tests/js/udx.mjs` for how it is spoken with.
struct End {
    child: Child,
    stdin: ChildStdin,
    lines: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl End {
    fn start(kind: &str, mode: &str, own: u32, other: u32, bytes: u64) -> Self {
        let mut command = if kind == "js" {
            let mut command = Command::new("node");
            command.arg("udx.mjs").current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/js"));
            command
        } else {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.arg("end");
            command
        };
        command.args([mode, &own.to_string(), &other.to_string(), &bytes.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("an end starts");
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut end =
            Self { child, stdin, lines: BufReader::new(stdout), address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let line = end.expect("\"port\":");
        let port: String = line.chars().filter(char::is_ascii_digit).collect();
        end.address.set_port(port.parse().unwrap());
        end
    }

    fn tell(&mut self, peer: SocketAddr) {
        writeln!(self.stdin, "{{\"port\":{}}}", peer.port()).unwrap();
    }

    fn expect(&mut self, key: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "no {key}");
            if line.contains(key) {
                return line;
            }
        }
    }

    fn wait(&mut self) {
        self.child.wait().unwrap();
    }
}
