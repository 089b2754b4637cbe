//! A bucket that fills with time, up to a limit.

use std::time::{Duration, Instant};

/// So many tokens a second, and so many at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    each_second: f64,
    most: f64,
    /// Below 0: what was taken ahead of time.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(now: Instant, each_second: u32, burst: u32) -> Self {
        let each_second = f64::from(each_second.max(1));
        let most = each_second * f64::from(burst);
        Self { each_second, most, tokens: most, at: now }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }

    /// Takes so many at any rate; tells how long to wait before more are taken.
    pub(super) fn spend(&mut self, now: Instant, count: u32) -> Duration {
        self.fill(now);
        self.tokens -= f64::from(count);
        Duration::try_from_secs_f64((-self.tokens / self.each_second).max(0.0)).unwrap_or(Duration::MAX)
    }

    /// Nobody takes from it.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= self.most
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.tokens = (self.tokens + passed * self.each_second).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_so_many_a_second_and_debts_are_waited_for() {
        let now = Instant::now();
        let mut bucket = Bucket::new(now, 10, 2);
        assert!(bucket.is_full(now));
        assert_eq!((0..100).filter(|_| bucket.take(now)).count(), 20);
        let later = now + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| bucket.take(later)).count(), 10);
        assert_eq!(bucket.spend(later, 30), Duration::from_secs(3));
        assert!(!bucket.take(later + Duration::from_secs(3)));
        assert!(bucket.take(later + Duration::from_secs(4)));
        assert!(bucket.is_full(later + Duration::from_secs(10)));
    }
}
