//! Spreads packets over time: a bucket of bytes that fills at the congestion controller's rate.

use corestore_core::time::{Duration, Instant};

/// The bucket. It may go below empty by one batch; then nothing is sent until it is filled again.
#[derive(Debug)]
pub(super) struct Pacer {
    tokens: i64,
    filled_at: Instant,
}

impl Pacer {
    /// A bucket with `burst` bytes in it.
    pub(super) fn new(now: Instant, burst: u64) -> Self {
        Self { tokens: signed(burst), filled_at: now }
    }

    /// Fills the bucket at `rate` bytes a second, up to what [`BURST`] gives, or `burst` bytes when that is more.
    pub(super) fn fill(&mut self, now: Instant, rate: u64, burst: u64) {
        let micros = u64::try_from(now.since(self.filled_at).as_micros()).unwrap_or(u64::MAX);
        let earned = rate.saturating_mul(micros.min(MAX_STEP)) / 1_000_000;
        if earned > 0 {
            let capacity = (rate / BURST_PER_SECOND).max(burst);
            self.tokens = self.tokens.saturating_add(signed(earned)).min(signed(capacity));
            self.filled_at = now;
        }
    }

    /// Takes a packet's bytes out.
    pub(super) fn take(&mut self, bytes: u64) {
        self.tokens = self.tokens.saturating_sub(signed(bytes));
    }

    /// Whether a packet may go now.
    pub(super) fn is_open(&self) -> bool {
        self.tokens > 0
    }

    /// When the bucket has something in it again, at `rate` bytes a second.
    pub(super) fn opens_at(&self, rate: u64) -> Instant {
        let missing = u64::try_from(1 - self.tokens).unwrap_or(0);
        let micros = missing.saturating_mul(1_000_000) / rate.max(1) + 1;
        self.filled_at.after(Duration::from_micros(micros.min(MAX_STEP)))
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// What the bucket holds, as a part of a second's bytes: timers come late, and late tokens must not be lost.
const BURST_PER_SECOND: u64 = 250;
const MAX_STEP: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lets_a_seconds_bytes_through() {
        let (mut pacer, rate, mut sent) = (Pacer::new(Instant::ZERO, 1000), 1_000_000, 0);
        let mut now = Instant::ZERO;
        while now < Instant::from_micros(1_000_000) {
            pacer.fill(now, rate, 1000);
            while pacer.is_open() {
                pacer.take(1000);
                sent += 1000;
            }
            assert!(pacer.opens_at(rate) > now);
            now = pacer.opens_at(rate);
        }
        assert!((990_000..=1_010_000).contains(&sent), "{sent}");
    }

    #[test]
    fn idle_time_saves_no_more_than_a_burst() {
        let mut pacer = Pacer::new(Instant::ZERO, 1000);
        pacer.fill(Instant::from_micros(900_000_000), 1_000_000, 1000);
        pacer.take(4000);
        assert!(!pacer.is_open());
    }
}
