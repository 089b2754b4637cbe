//! UDX throughput, one way, ours and udx-native in all four pairings, each end a process of its own, in interleaved
//! rounds, over a clean loopback and through links that lose and delay (on real sockets, both directions alike):
//!
//!     cargo bench -p corestore-peer --bench udx -- [ROUNDS] [MEGABYTES_CLEAN] [MEGABYTES_LOSSY]
//!
//! Prints each run, then one table: the median of each pairing and link in MB/s, its ratio to udx-native ↔ udx-native,
//! and the packets it sent again. Begins no round after six minutes, so that it ends within eight.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a measurement may fail loudly")]

mod end;
mod link;

use link::LossyLink;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == "end") {
        end::run(arguments.get(1..).unwrap_or_default());
        return;
    }
    let number = |index: usize, default| arguments.get(index).map_or(default, |text| text.parse().expect("a number"));
    let (rounds, clean, lossy) = (number(0, 5), number(1, 256), number(2, 128));
    let began = Instant::now();
    let mut cells: Vec<Cell> = LINKS.iter().flat_map(|&link| PAIRS.map(|pair| Cell::new(pair, link))).collect();
    for round in (0..rounds).take_while(|_| began.elapsed() < LAST_ROUND) {
        println!("round {} of {rounds}", round + 1);
        for cell in &mut cells {
            cell.measure(if cell.link.0 == 0 { clean } else { lossy });
        }
    }
    println!("\nMB/s, medians; x: ratio to js -> js; again: packets sent again");
    for (link, row) in LINKS.iter().zip(cells.chunks_mut(PAIRS.len())) {
        println!("{} MB, {}", if link.0 == 0 { clean } else { lossy }, name(*link));
        let base = row.first_mut().map_or(1.0, |cell| median(&mut cell.rates));
        for cell in row {
            let ((sender, receiver), rate) = (cell.pair, median(&mut cell.rates));
            let again = median(&mut cell.again);
            println!("  {sender:>4} -> {receiver:<4} {rate:8.1}  {:5.2} x  {again:7.0} again", rate / base);
        }
    }
}

/// One pairing over one link.
struct Cell {
    pair: (&'static str, &'static str),
    link: (u64, u64),
    rates: Vec<f64>,
    again: Vec<f64>,
}

impl Cell {
    fn new(pair: (&'static str, &'static str), link: (u64, u64)) -> Self {
        Self { pair, link, rates: Vec::new(), again: Vec::new() }
    }

    fn measure(&mut self, megabytes: u64) {
        let (sender, receiver) = self.pair;
        let (rate, again) = measure(sender, receiver, megabytes, self.link.0, self.link.1);
        println!("  {}: {sender:>4} -> {receiver:<4} {rate:8.1} MB/s, {again} sent again", name(self.link));
        self.rates.push(rate);
        self.again.push(again.parse().unwrap_or_default());
    }
}

fn name((loss, delay): (u64, u64)) -> String {
    if loss == 0 { "clean".to_owned() } else { format!("{loss} % loss, {delay} ms") }
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

const PAIRS: [(&str, &str); 4] = [("js", "js"), ("ours", "ours"), ("ours", "js"), ("js", "ours")];
/// Loss in per cent and delay in ms, one way.
const LINKS: [(u64, u64); 3] = [(0, 0), (1, 40), (5, 40)];
const LAST_ROUND: Duration = Duration::from_secs(360);
