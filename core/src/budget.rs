//! So many a second, and no more.

use crate::time::{Duration, Instant};

/// A bucket that fills with time: what is not used in one second is lost.
#[derive(Debug)]
pub struct Budget {
    each_second: u32,
    left: u32,
    since: Instant,
}

impl Budget {
    /// So many each second, from `now` on.
    pub fn new(now: Instant, each_second: u32) -> Self {
        Self { each_second, left: each_second, since: now }
    }

    /// True when there is one left.
    pub fn take(&mut self, now: Instant) -> bool {
        if now.since(self.since) >= Duration::from_secs(1) {
            (self.left, self.since) = (self.each_second, now);
        }
        let granted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_gives_so_many() {
        let now = Instant::ZERO;
        let mut budget = Budget::new(now, 3);
        assert_eq!((0..10).filter(|_| budget.take(now)).count(), 3);
        let later = now.after(Duration::from_secs(1));
        assert_eq!((0..10).filter(|_| budget.take(later)).count(), 3);
    }
}
