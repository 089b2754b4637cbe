//! How much a relay passes on.

use corestore_core::time::Instant;
use std::sync::{Arc, Mutex, PoisonError};

/// So many bytes a second for all streams that share it: what comes beyond is dropped, and the senders slow down as
/// for a path that carries no more. What one second gives may be used at once.
#[derive(Clone, Debug)]
pub struct Meter(Arc<Mutex<Fill>>);

#[derive(Debug)]
struct Fill {
    /// Bytes a second.
    rate: u64,
    /// Bytes that may pass now, in millionths.
    left: u64,
    at: Instant,
}

impl Meter {
    /// A full one.
    pub fn new(bytes_per_second: u32) -> Self {
        let rate = u64::from(bytes_per_second);
        Self(Arc::new(Mutex::new(Fill { rate, left: rate * MILLION, at: Instant::ZERO })))
    }

    /// Whether so many bytes may pass.
    pub(super) fn take(&self, now: Instant, bytes: usize) -> bool {
        let mut fill = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = u64::try_from(now.since(fill.at).as_micros()).unwrap_or(u64::MAX);
        fill.left = fill.rate.saturating_mul(passed).saturating_add(fill.left).min(fill.rate * MILLION);
        fill.at = fill.at.max(now);
        let cost = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(MILLION);
        let granted = fill.left >= cost;
        fill.left -= if granted { cost } else { 0 };
        granted
    }
}

const MILLION: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use corestore_core::time::Duration;

    #[test]
    fn a_second_gives_so_many_bytes_and_no_sum_overflows() {
        let meter = Meter::new(1000);
        assert!(meter.take(Instant::ZERO, 900) && !meter.take(Instant::ZERO, 101) && meter.take(Instant::ZERO, 100));
        let half = Instant::ZERO.after(Duration::from_millis(500));
        assert!(!meter.take(half, 501) && meter.take(half, 500));
        let late = Instant::from_micros(u64::MAX);
        assert!(meter.take(late, 1000) && !meter.take(late, 1));
        assert!(!meter.take(half, usize::MAX), "time that goes back gives nothing");
        assert!(Meter::new(u32::MAX).take(late, 1 << 30));
    }
}
