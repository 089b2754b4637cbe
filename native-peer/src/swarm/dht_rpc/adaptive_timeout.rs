//! How long to wait for an address, from the round trips it had (`adaptive-timeout/index.js`).

use corestore_core::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;

/// Round trips of some addresses; the longest known goes when there are too many.
#[derive(Debug)]
pub(super) struct AdaptiveTimeout {
    known: BTreeMap<SocketAddrV4, RoundTrip>,
    order: VecDeque<SocketAddrV4>,
    capacity: usize,
    fallback: Duration,
    bounds: (Duration, Duration),
}

#[derive(Debug)]
struct RoundTrip {
    mean: Duration,
    deviation: Duration,
    at: Instant,
}

impl AdaptiveTimeout {
    pub(super) fn new(capacity: usize, fallback: Duration, bounds: (Duration, Duration)) -> Self {
        Self { known: BTreeMap::new(), order: VecDeque::new(), capacity, fallback, bounds }
    }

    /// Addresses known.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Takes the round trip of a request that was sent once: of one sent twice it is not known which was answered.
    pub(super) fn sample(&mut self, now: Instant, address: SocketAddrV4, took: Duration) {
        self.forget_old(now);
        if let Some(known) = self.known.get_mut(&address) {
            let off = known.mean.abs_diff(took);
            known.deviation = known.deviation.saturating_mul(3).saturating_add(off) / 4;
            known.mean = known.mean.saturating_mul(7).saturating_add(took) / 8;
            known.at = now;
            return;
        }
        self.known.insert(address, RoundTrip { mean: took, deviation: took / 2, at: now });
        self.order.push_back(address);
        if self.order.len() > self.capacity {
            let oldest = self.order.pop_front();
            oldest.map(|oldest| self.known.remove(&oldest));
        }
    }

    /// Looks at the two that came in first: those that tell nothing any more go, the others come in anew.
    fn forget_old(&mut self, now: Instant) {
        for _ in 0..2 {
            let Some(address) = self.order.pop_front() else { return };
            if self.known.get(&address).is_some_and(|known| now.since(known.at) < MAX_AGE) {
                self.order.push_back(address);
            } else {
                self.known.remove(&address);
            }
        }
    }

    /// How long the `attempt`th sending (from 1) may take. `jitter` is below 256 ms.
    pub(super) fn timeout(&self, now: Instant, address: &SocketAddrV4, attempt: u32, jitter: Duration) -> Duration {
        match self.known.get(address).filter(|known| now.since(known.at) < MAX_AGE) {
            Some(known) => {
                let base = known.mean.saturating_add(known.deviation.saturating_mul(2));
                base.saturating_mul(attempt).saturating_add(jitter).clamp(self.bounds.0, self.bounds.1)
            }
            None => self.fallback,
        }
    }
}

/// After that a round trip tells nothing any more.
const MAX_AGE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
    }

    #[test]
    fn it_learns_stays_in_bounds_and_forgets() {
        let millis = Duration::from_millis;
        let mut timeouts = AdaptiveTimeout::new(2, millis(1000), (millis(300), millis(4000)));
        let now = Instant::ZERO;
        assert_eq!(timeouts.timeout(now, &address(1), 1, millis(0)), millis(1000));
        timeouts.sample(now, address(1), millis(400));
        assert_eq!(timeouts.timeout(now, &address(1), 1, millis(0)), millis(800));
        assert_eq!(timeouts.timeout(now, &address(1), 9, millis(0)), millis(4000));
        for _ in 0..100 {
            timeouts.sample(now, address(1), millis(1));
        }
        assert_eq!(timeouts.timeout(now, &address(1), 1, millis(0)), millis(300));
        assert_eq!(timeouts.timeout(now.after(MAX_AGE), &address(1), 1, millis(0)), millis(1000));
        (2..50).for_each(|port| timeouts.sample(now, address(port), millis(1)));
        assert_eq!((timeouts.known.len(), timeouts.order.len()), (2, 2));
    }

    #[test]
    fn what_tells_nothing_any_more_takes_no_room() {
        let millis = Duration::from_millis;
        let mut timeouts = AdaptiveTimeout::new(1000, millis(1000), (millis(300), millis(4000)));
        (0..50).for_each(|port| timeouts.sample(Instant::ZERO, address(port), millis(1)));
        let later = Instant::ZERO.after(MAX_AGE);
        timeouts.sample(later, address(7), millis(1));
        (100..150).for_each(|port| timeouts.sample(later, address(port), millis(1)));
        assert_eq!((timeouts.known.len(), timeouts.order.len()), (51, 51), "port 7 was heard again");
        let later = later.after(MAX_AGE);
        (0..26).for_each(|_| timeouts.sample(later, address(7), millis(1)));
        assert_eq!((timeouts.known.len(), timeouts.order.len()), (1, 1), "nobody new need come for it");
    }
}
