//! Two generations of something: what was not written for one or two spans goes.

use corestore_core::time::{Duration, Instant};

/// The present generation and the one before.
#[derive(Debug)]
pub(super) struct Spans<G> {
    pub(super) fresh: G,
    pub(super) stale: G,
    span: Duration,
    turns_at: Instant,
}

impl<G: Default> Spans<G> {
    /// Keeps things for two thirds to four thirds of `age`.
    pub(super) fn new(now: Instant, age: Duration) -> Self {
        let span = age.saturating_mul(2) / 3;
        Self { fresh: G::default(), stale: G::default(), span, turns_at: now.after(span) }
    }

    /// Forgets what is too old.
    pub(super) fn turn_if_due(&mut self, now: Instant) {
        if now >= self.turns_at {
            let idle = now.since(self.turns_at) >= self.span;
            self.turn(now);
            if idle {
                self.turn(now);
            }
        }
    }

    /// Begins a new generation; the older one goes.
    pub(super) fn turn(&mut self, now: Instant) {
        self.stale = std::mem::take(&mut self.fresh);
        self.turns_at = now.after(self.span);
    }
}
