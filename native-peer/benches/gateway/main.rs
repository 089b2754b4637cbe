//! A gateway under load: `cargo bench -p corestore-peer --bench gateway [-- IDLE ACTIVE SECONDS]`; and megabytes through
//! it beside other ways: `cargo bench -p corestore-peer --bench gateway -- carry [MEGABYTES ROUNDS]`.
//!
//! Three processes: `corestore gateway`; the far side, which is a private network and a peer that sends everything back;
//! and this one, which is all clients on one thread. Idle clients have said who they are and answer pings; active ones
//! send 256 bytes to the peer five times a second, each at its own moment, and wait for them. Then rude ones join: one that
//! sends garbage again and again, one that asks without end, one that floods, one that reads nothing.
//!
//! Printed for each part: how long the answers of the honest took, how late their own process was to send (what it adds
//! to the answers too), and of each process memory, cores used, and cores waited for: what the machine could not give.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a measurement may fail loudly"
)]

mod carry;
mod far;
mod honest;
mod process;
#[path = "../../tests/relay_client/mod.rs"]
mod relay_client;
mod rude;

use carry::Carriers;
use corestore_core::crypto::PublicKey;
use corestore_peer::keys;
use honest::Times;
use process::{GatewayProcess, Process, Usage, usage};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` and `cargo test --benches` add arguments of their own.
    match arguments.iter().map(String::as_str).find(|text| ["--test", FAR].contains(text)) {
        Some(FAR) => return far::run().await,
        Some(_) => return,
        None => {}
    }
    let numbers: Vec<usize> = arguments.iter().filter_map(|text| text.parse().ok()).collect();
    let of = |at: usize, usual: usize| numbers.get(at).copied().unwrap_or(usual);
    if arguments.iter().any(|text| text == "carry") {
        return carry(u64::try_from(of(0, 64)).unwrap(), of(1, 3)).await;
    }
    measure(of(0, 500), of(1, 50), Duration::from_secs(u64::try_from(of(2, 10)).unwrap())).await;
}

/// The far side, and a gateway to it.
fn processes(arguments: &[&str]) -> (Process, GatewayProcess) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(FAR);
    let far = Process::start(command);
    let gateway = GatewayProcess::start(far.first["nodes"].as_str().unwrap(), arguments);
    (far, gateway)
}

fn key(far: &Process, name: &str) -> PublicKey {
    PublicKey(keys::parse(far.first[name].as_str().unwrap()).unwrap())
}

async fn carry(megabytes: u64, rounds: usize) {
    let (far, gateway) = processes(&["--max-bytes", &u32::MAX.to_string()]);
    let carriers = Carriers {
        nodes: far.first["nodes"].as_str().unwrap().to_owned(),
        peers: [key(&far, "peer"), key(&far, "hidden")],
        gateway: (gateway.address, gateway.id()),
    };
    carry::measure(&carriers, megabytes, rounds).await;
    far.end();
}

async fn measure(idle: usize, active: usize, seconds: Duration) {
    let (far, gateway) = processes(&[]);
    let peer = key(&far, "peer");
    let watched = [("gateway", gateway.id()), ("far side", far.id()), ("clients", std::process::id())];
    let empty = usage(gateway.id()).memory;
    println!("empty gateway: {empty} KiB");

    let (mut tasks, times, begun) = (JoinSet::new(), Times::default(), Instant::now());
    for client in honest::connect(gateway.address, 0..idle).await {
        tasks.spawn(honest::keep(client));
    }
    println!("{idle} idle clients came in {:.1} s", begun.elapsed().as_secs_f64());
    window("idle", &watched, seconds, &times).await;
    let grown = usage(gateway.id()).memory.saturating_sub(empty);
    println!("  {:.1} KiB for each idle client", grown as f64 / idle.max(1) as f64);

    let begun = Instant::now();
    let clients = honest::connect(gateway.address, idle..idle + active).await;
    honest::work(clients, peer, &times, &mut tasks).await;
    println!("{active} active clients came in {:.1} s", begun.elapsed().as_secs_f64());
    window("idle and active", &watched, seconds, &times).await;

    let [faults, limited, refused] =
        ["faults_total", "limited_total", "refused_total"].map(|name| gateway.figure(name));
    tasks.spawn(rude::garbage(gateway.address));
    tasks.spawn(rude::greedy(gateway.address));
    tasks.spawn(rude::flood(gateway.address, peer));
    tasks.spawn(rude::slow(gateway.address, peer));
    window("with rude clients", &watched, seconds, &times).await;
    println!(
        "  shown out for garbage {} times, refused at the door {} times, requests above a limit {}",
        gateway.figure("faults_total") - faults,
        gateway.figure("refused_total") - refused,
        gateway.figure("limited_total") - limited,
    );
    println!("  connections: {}, streams: {}", gateway.figure("connections"), gateway.figure("streams"));
    tasks.shutdown().await;
    far.end();
}

/// Waits, and tells what everybody used meanwhile.
async fn window(name: &str, watched: &[(&str, u32)], time: Duration, times: &Times) {
    times.take();
    let before: Vec<Usage> = watched.iter().map(|(_, process)| usage(*process)).collect();
    let begun = Instant::now();
    tokio::time::sleep(time).await;
    let (seconds, seen) = (begun.elapsed().as_secs_f64(), times.take());
    println!("{name}:");
    for ((process, id), before) in watched.iter().zip(before) {
        let after = usage(*id);
        let share = |after: Duration, before: Duration| (after - before).as_secs_f64() / seconds * 100.0;
        println!(
            "  {process}: {} KiB, {:.1} % of a core, waited for one {:.1} %",
            after.memory,
            share(after.cpu, before.cpu),
            share(after.waited, before.waited)
        );
    }
    if !seen.answers.is_empty() {
        let (answers, late) = (Quantiles::of(seen.answers), Quantiles::of(seen.late));
        println!("  {} answers, {answers}; sent late by {late}", answers.count);
    }
}

/// Half, 99 of 100, all.
struct Quantiles {
    count: usize,
    at: [Duration; 3],
}

impl Quantiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let last = times.len().saturating_sub(1);
        Self { count: times.len(), at: [50, 99, 100].map(|percent| times[(times.len() * percent / 100).min(last)]) }
    }
}

impl std::fmt::Display for Quantiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [half, most, all] = self.at.map(|time| time.as_secs_f64() * 1000.0);
        write!(f, "half in {half:.1} ms, 99 of 100 in {most:.1} ms, all in {all:.1} ms")
    }
}

/// Has this program be the far side.
const FAR: &str = "--far";
