//! One core, many readers: `cargo bench -p corestore-peer --bench scale [-- PEERS GATEWAYS BROWSERS BLOCKS]`.
//!
//! A private network on this machine; a writer and PEERS - 1 native readers; GATEWAYS times `corestore gateway`, each with
//! BROWSERS readers as a page has them (`corestore_core::relay_client`, over its WebSocket). Every one of them is a process
//! of its own but the browsers, who share one for each gateway. They know nothing of each other but the core's key. All
//! start at once, each has to have every block of 64 KiB, and stays to serve others until all are done.
//!
//! Printed: who had all blocks, by hash, and when; how many bytes the writer sent and how many the others; lookups; memory.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a measurement may fail loudly"
)]

mod browsers;
mod content;
mod counted;
mod peer;
#[path = "../gateway/process.rs"]
mod process;

use process::{GatewayProcess, Process, Usage, usage};
use serde_json::Value;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match texts.as_slice() {
        ["--writer", rest @ ..] => run(peer::write(rest)),
        ["--reader", rest @ ..] => run(peer::read(rest)),
        ["--browsers", rest @ ..] => run(browsers::read(rest)),
        // `cargo test --benches` runs this too.
        texts if texts.contains(&"--test") => {}
        texts => {
            let numbers: Vec<usize> = texts.iter().filter_map(|text| text.parse().ok()).collect();
            let of = |at: usize, usual: usize| numbers.get(at).copied().unwrap_or(usual);
            return measure(of(0, 10), of(1, 2), of(2, 2), of(3, 16));
        }
    }
    ExitCode::SUCCESS
}

fn run(what: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what);
}

fn measure(peers: usize, gateways: usize, browsers: usize, blocks: usize) -> ExitCode {
    let begun = Instant::now();
    let network = network();
    let nodes = nodes(&network.first);
    let blocks = blocks.to_string();
    let writer = role(&["--writer", &nodes, &blocks]);
    let key = text(&writer.first, "key");
    let readers: Vec<Process> = (1..peers).map(|_| role(&["--reader", &nodes, &key, &blocks])).collect();
    let gateways: Vec<GatewayProcess> = (0..gateways).map(|_| GatewayProcess::start(&nodes, &[])).collect();
    let pages: Vec<Process> = gateways
        .iter()
        .map(|gateway| {
            let url = format!("ws://{}/", gateway.address);
            role(&["--browsers", &url, &browsers.to_string(), &key, &blocks])
        })
        .collect();
    println!("{} processes came in {:.1} s", 2 + readers.len() + 2 * gateways.len(), begun.elapsed().as_secs_f64());

    let whole = text(&writer.first, "digest");
    let mut wrong = 0;
    for (name, processes, each) in [("native readers", &readers, 1), ("browsers", &pages, browsers)] {
        let lines: Vec<Value> = processes.iter().flat_map(|process| (0..each).map_while(|_| process.line())).collect();
        let right = lines.iter().filter(|line| text(line, "digest") == whole).count();
        let expected = processes.len() * each;
        wrong += expected - right;
        let seconds = sorted(lines.iter().map(|line| line["seconds"].as_f64().unwrap()));
        println!("{name}: {right} of {expected} have every block; in {seconds}");
    }
    println!("the writer: {}", used(&[writer.id()]));
    println!("native readers: {}", used(&readers.iter().map(Process::id).collect::<Vec<_>>()));
    println!("gateways: {}", used(&gateways.iter().map(GatewayProcess::id).collect::<Vec<_>>()));
    println!("processes of {browsers} browsers: {}", used(&pages.iter().map(Process::id).collect::<Vec<_>>()));
    let carried: u64 = gateways.iter().map(|gateway| gateway.figure("to_browsers_bytes_total")).sum();
    println!("MB: carried by gateways to browsers {:.1}", carried as f64 / 1e6);

    let reports = |processes: Vec<Process>| -> Vec<Value> { processes.into_iter().filter_map(Process::end).collect() };
    let (pages, readers, writer) = (reports(pages), reports(readers), reports(vec![writer]));
    for (name, reports) in [("the writer", &writer), ("native readers", &readers), ("browsers", &pages)] {
        let figure = |what: &str| sorted(reports.iter().filter_map(|report| report[what].as_f64()));
        println!("{name}: MB sent {}", figure("sent"));
        println!("{name}: connections {}; lookups and announcements {}", figure("connections"), figure("queries"));
        println!("{name}: requests to nodes {}", figure("requests"));
    }
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn network() -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corestore"));
    command.args(["testnet", "--nodes", "8", "--json"]);
    Process::start(command)
}

fn nodes(first: &Value) -> String {
    let list = first["bootstrap"].as_array().unwrap();
    let texts: Vec<String> =
        list.iter().take(3).map(|node| format!("{}:{}", text(node, "host"), node["port"])).collect();
    texts.join(",")
}

fn role(arguments: &[&str]) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments);
    Process::start(command)
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

fn used(processes: &[u32]) -> String {
    let usages: Vec<Usage> = processes.iter().map(|id| usage(*id)).collect();
    let seconds = |of: fn(&Usage) -> Duration| usages.iter().map(of).sum::<Duration>().as_secs_f64();
    let (cpu, waited) = (seconds(|usage| usage.cpu), seconds(|usage| usage.waited));
    let memory = sorted(usages.iter().map(|usage| usage.memory as f64 / 1024.0));
    format!("MiB {memory}; {cpu:.1} s on a core, {waited:.1} s waited for one")
}

/// The sum of figures, and the least, the middle and the greatest.
fn sorted(figures: impl Iterator<Item = f64>) -> String {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    match figures.as_slice() {
        [] => "none".to_owned(),
        [one] => format!("{one:.1}"),
        [least, .., most] => {
            let (sum, middle) = (figures.iter().sum::<f64>(), figures[figures.len() / 2]);
            format!("{least:.1} to {most:.1}, half {middle:.1}, together {sum:.1}")
        }
    }
}
