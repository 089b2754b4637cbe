//! Follows a core as it grows and tells how late each block came.

use crate::counted::Counted;
use crate::job::{Failure, Job};
use corestore_peer::{Corestore, Hypercore, Role, StoreEvent};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use std::time::{Duration, Instant};

/// Dials, waits until the connection has settled, and then for `count` blocks of `block_size` bytes.
pub(crate) async fn run(
    store: &Corestore,
    core: &Hypercore,
    address: &str,
    (count, block_size): (u64, usize),
    job: Job,
) -> Result<(), Failure> {
    let mut events = store.events();
    store.replicate(Counted::connect(address).await?, Role::Initiator)?;
    while !matches!(events.next_event().await, Some(StoreEvent::Connected { .. })) {}
    drop(events);
    tokio::time::sleep(SETTLED).await;
    job.ready(json!({})).await?;

    let start = Instant::now();
    let mut late = Vec::new();
    let mut blocks = core.live_blocks(0);
    for expected in 0..count {
        let (index, block) = blocks.next_block().await.ok_or("the blocks ended")??;
        let now = monotonic_nanoseconds();
        let sent = block.get(8..16).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
        let right = index == expected && block.len() == block_size && block.get(..8) == Some(&index.to_le_bytes());
        if !right {
            return Err(format!("block {expected} is not what was written").into());
        }
        late.push(milliseconds(now.saturating_sub(sent)));
    }
    job.result(json!({ "seconds": start.elapsed().as_secs_f64(), "late": late })).await
}

/// The clock that all processes of this machine share, in nanoseconds.
pub(crate) fn monotonic_nanoseconds() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let of = |part: i64| u64::try_from(part).unwrap_or(0);
    of(time.tv_sec).saturating_mul(1_000_000_000).saturating_add(of(time.tv_nsec))
}

fn milliseconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64() * 1000.0
}

const SETTLED: Duration = Duration::from_millis(300);
