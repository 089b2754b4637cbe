//! What is known of one peer, and when it deserves another try (`hyperswarm/lib/peer-info.js`, `retry-timer.js`).

use super::config::Config;
use crate::crypto::Hash;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddrV4;

/// Which peers are dialled first; the greater the sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    Low,
    Normal,
    High,
    VeryHigh,
}

/// A peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) relay_addresses: Vec<SocketAddrV4>,
    pub(super) topics: BTreeSet<Hash>,
    pub(super) banned: bool,
    /// Named by the user rather than found.
    pub(super) explicit: bool,
    /// Its place in the queue, when it waits there.
    pub(super) queued: Option<(Priority, u64)>,
    /// When it enters the queue again.
    pub(super) retry_at: Option<Instant>,
    /// No hole leads there: only a blind relay helps.
    pub(super) relay: bool,
    priority: Priority,
    /// A connection we made to it came about once.
    proven: bool,
    /// The last connection was made by us.
    client: bool,
    attempts: u32,
    connected_at: Option<Instant>,
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            relay_addresses: Vec::new(),
            topics: BTreeSet::new(),
            banned: false,
            explicit: false,
            queued: None,
            retry_at: None,
            relay: false,
            priority: Priority::Normal,
            proven: false,
            client: false,
            attempts: 0,
            connected_at: None,
        }
    }

    /// It was found anew: old failures count no more, unless it is being tried already.
    pub(super) fn found(&mut self) {
        if self.priority < Priority::Normal || !self.client {
            self.client = false;
            self.proven = false;
            self.attempts = 0;
        }
    }

    pub(super) fn connected(&mut self, now: Instant) {
        self.proven = true;
        self.client = true;
        self.connected_at = Some(now);
    }

    /// It called us.
    pub(super) fn called(&mut self) {
        self.client = false;
    }

    /// No hole could be punched: what failed counts no more, by a relay it may succeed.
    pub(super) fn needs_relay(&mut self) {
        if !core::mem::replace(&mut self.relay, true) {
            (self.attempts, self.proven) = (0, true);
        }
    }

    /// A connection we made or tried to make is over.
    pub(super) fn disconnected(&mut self, now: Instant, config: &Config) {
        if self.connected_at.take().is_some_and(|since| now.since(since) >= config.good_connection) {
            self.attempts = 0;
        }
        self.attempts = self.attempts.saturating_add(1);
    }

    /// How urgent it is now; `None` when it is not to be dialled.
    pub(super) fn update_priority(&mut self) -> Option<Priority> {
        if self.explicit && self.attempts > 3 {
            self.attempts = 3;
        }
        if self.banned || self.queued.is_some() {
            return None;
        }
        self.priority = match self.attempts {
            0 => Priority::Normal,
            1 => Priority::VeryHigh,
            2 => Priority::High,
            3 => Priority::Low,
            _ => return None,
        };
        Some(self.priority)
    }

    /// How long to wait for the next try; `None` when there is none.
    pub(super) fn backoff(&self, config: &Config) -> Option<Duration> {
        let [short, middle, long, last] = config.backoffs;
        match (self.attempts, self.proven) {
            _ if self.banned => None,
            (0, _) | (1, true) => Some(short),
            (1, false) | (2, true) => Some(middle),
            (2 | 3, _) => Some(long),
            _ => self.explicit.then_some(last),
        }
    }

    /// Nothing is lost when it is forgotten.
    pub(super) fn is_idle(&self) -> bool {
        !self.banned && !self.explicit && self.queued.is_none() && self.retry_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_fails_is_tried_thrice_ever_later_and_anew_when_found() {
        let (config, mut peer) = (Config::default(), Peer::new());
        let mut pauses = Vec::new();
        while peer.update_priority().is_some() {
            peer.disconnected(Instant::ZERO, &config);
            pauses.push(peer.backoff(&config).map(|pause| pause.as_secs()));
        }
        assert_eq!(pauses, [Some(5), Some(15), Some(15), None]);
        peer.found();
        assert_eq!(peer.update_priority(), Some(Priority::Normal));
    }

    #[test]
    fn a_good_connection_that_ends_is_made_again_soon() {
        let (config, mut peer) = (Config::default(), Peer::new());
        (0..3).for_each(|_| peer.disconnected(Instant::ZERO, &config));
        peer.connected(Instant::ZERO);
        peer.disconnected(Instant::ZERO.after(Duration::from_secs(15)), &config);
        assert_eq!(peer.backoff(&config), Some(Duration::from_secs(1)));
        assert_eq!(peer.update_priority(), Some(Priority::VeryHigh));
    }
}
