//! What happens by itself, and when: one ordered table, so that finding the next costs the same for any number of cores.

use super::io::{ConnectionId, RequestId};
use crate::crypto::DiscoveryKey;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};

/// Whose time comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A core's replicator, or its being idle.
    Core(DiscoveryKey),
    /// A stream's keep-alive or time-out.
    Connection(ConnectionId),
    /// A caller's patience.
    Request(RequestId),
    /// Records that a failed write left behind.
    Store,
}

/// The table. A timer may go off early, never late: whoever it belongs to looks and sets it again.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Instant, Timer)>,
    set: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Makes a timer go off at `at` at the latest.
    pub(super) fn set(&mut self, timer: Timer, at: Option<Instant>) {
        let Some(at) = at else { return };
        match self.set.get(&timer) {
            Some(earlier) if *earlier <= at => {}
            _ => {
                self.clear(timer);
                self.due.insert((at, timer));
                self.set.insert(timer, at);
            }
        }
    }

    /// Drops a timer.
    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.set.remove(&timer) {
            self.due.remove(&(at, timer));
        }
    }

    /// When the next one goes off.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes one whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_time_wins_and_each_goes_off_once() {
        let mut timers = Timers::default();
        let at = Instant::from_micros;
        timers.set(Timer::Store, Some(at(9)));
        timers.set(Timer::Store, Some(at(5)));
        timers.set(Timer::Store, Some(at(7)));
        timers.set(Timer::Connection(ConnectionId(1)), Some(at(6)));
        assert_eq!(timers.next(), Some(at(5)));
        assert_eq!(timers.take_due(at(4)), None);
        assert_eq!(timers.take_due(at(6)), Some(Timer::Store));
        assert_eq!(timers.take_due(at(6)), Some(Timer::Connection(ConnectionId(1))));
        assert_eq!(timers.take_due(at(100)), None);
    }
}
