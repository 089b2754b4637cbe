//! Closed streams whose owner is gone still answer a peer that did not hear the last word.

use super::event::{CloseReason, Remote};
use super::packet::{Header, Kind, Packet, low_bits};
use super::stream::Stream;
use bytes::Bytes;
use corestore_core::time::Instant;
use std::collections::{BTreeMap, VecDeque};

/// One closed stream's last word.
#[derive(Clone, Debug)]
pub(super) struct LastWord {
    remote: Remote,
    answer: Bytes,
    until: Instant,
    /// Answers it still gives.
    left: u8,
}

/// Them all.
#[derive(Debug)]
pub(super) struct Lingering {
    entries: BTreeMap<u32, LastWord>,
    /// By time; entries that are gone are skipped.
    order: VecDeque<(Instant, u32)>,
    limit: usize,
}

impl Lingering {
    /// None yet, at most `limit`.
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: BTreeMap::new(), order: VecDeque::new(), limit }
    }

    /// Keeps a last word; the oldest goes when there are too many.
    pub(super) fn insert(&mut self, id: u32, entry: LastWord) {
        self.order.push_back((entry.until, id));
        self.entries.insert(id, entry);
        while self.order.len() > self.limit
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, id: u32) {
        self.entries.remove(&id);
    }

    /// Forgets those whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(&(until, id)) = self.order.front()
            && until <= now
        {
            self.order.pop_front();
            if self.entries.get(&id).is_some_and(|entry| entry.until <= now) {
                self.entries.remove(&id);
            }
        }
    }

    /// What a packet for a closed stream is answered with.
    pub(super) fn answer(&mut self, packet: &Packet<'_>) -> Option<(Remote, Bytes)> {
        let entry = self.entries.get_mut(&packet.header.stream)?;
        let asks = packet.header.kind.is_ordered() || packet.header.kind.has(Kind::HEARTBEAT);
        entry.left = entry.left.checked_sub(u8::from(asks))?;
        asks.then(|| (entry.remote, entry.answer.clone()))
    }

    /// When the first one's time is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.order.front().map(|&(until, _)| until)
    }
}

impl Stream {
    /// What is to be said after this stream is gone, until `until`.
    pub(super) fn last_word(&self, until: Instant) -> Option<LastWord> {
        let remote = self.link.remote().filter(|_| self.relay_to.is_none())?;
        let kind = match self.closed? {
            CloseReason::Finished => Kind::ACK,
            CloseReason::Destroyed => Kind::DESTROY,
            CloseReason::Reset | CloseReason::TimedOut | CloseReason::RelayClosed => return None,
        };
        let header = Header {
            kind,
            data_offset: 0,
            stream: remote.id,
            window: self.receive.full_window(),
            seq: low_bits(self.sender.ledger.next()),
            ack: low_bits(self.receive.next()),
        };
        let answer = Bytes::copy_from_slice(&header.encode());
        Some(LastWord { remote, answer, until, left: MAX_ANSWERS })
    }
}

const MAX_ANSWERS: u8 = 32;
