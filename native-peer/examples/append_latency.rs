//! How long single appends take while checkpoints run beside them: percentiles, and for the slow ones how much of the
//! time the thread was kept from a processor, which is the machine's doing and not the store's.
//!
//! `append_latency DIRECTORY [COUNT] [BLOCK_BYTES] [PAUSE_MICROSECONDS] [TASKS] [process|power]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a tool may fail loudly"
)]

use bytes::Bytes;
use corestore_peer::store::DurabilityLevel;
use corestore_peer::{Corestore, Hypercore, Options};
use std::time::{Duration, Instant};

/// How long an append took, and how long of that the thread waited for a processor.
type Taken = (Duration, Duration);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().expect("a directory");
    let mut number = |default: u64| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (count, size, pause, tasks) = (number(200_000), number(1024), number(0), number(1).max(1));
    let level = match arguments.next().as_deref() {
        Some("power") => DurabilityLevel::Power,
        _ => DurabilityLevel::Process,
    };
    let store = Corestore::open(directory, Options::default().durability(level)).await.unwrap();
    let core = store.get("log").await.unwrap();
    let begun = Instant::now();
    let appending: Vec<_> =
        (0..tasks).map(|_| tokio::spawn(append(core.clone(), count / tasks, size, pause))).collect();
    let mut taken = Vec::new();
    for task in appending {
        taken.extend(task.await.unwrap());
    }
    let whole = begun.elapsed();
    taken.sort();
    // Thousandths of all appends.
    let at = |share: usize| taken[(taken.len() - 1) * share / 1000].0;
    println!("{} appends in {whole:?}; p50 {:?}, p99 {:?}, p99.9 {:?}", taken.len(), at(500), at(990), at(999));
    for (took, kept) in taken.iter().rev().take(8) {
        println!("{took:?}, of which {kept:?} without a processor");
    }
    store.close().await.unwrap();
}

async fn append(core: Hypercore, count: u64, size: u64, pause: u64) -> Vec<Taken> {
    let block = Bytes::from(vec![7; usize::try_from(size).unwrap()]);
    let mut taken = Vec::new();
    for _ in 0..count {
        let kept = kept_from_processor();
        let started = Instant::now();
        core.append(block.clone()).await.unwrap();
        taken.push((started.elapsed(), kept_from_processor().saturating_sub(kept)));
        if pause > 0 {
            tokio::time::sleep(Duration::from_micros(pause)).await;
        }
    }
    taken
}

/// How long this thread has waited for a processor so far, as Linux counts it.
fn kept_from_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
    Duration::from_nanos(nanos)
}
