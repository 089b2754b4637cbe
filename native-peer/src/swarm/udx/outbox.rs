//! Datagrams ready to go that no stream holds: relayed ones and last words. When it is full the newest are dropped, as
//! a network would.

use super::endpoint::Transmit;
use super::event::SocketId;
use bytes::Bytes;
use core::net::SocketAddr;
use std::collections::VecDeque;

/// A queue with a limit.
#[derive(Debug)]
pub(super) struct Outbox {
    datagrams: VecDeque<(SocketId, SocketAddr, Bytes)>,
    limit: usize,
}

impl Outbox {
    /// An empty one for at most `limit` datagrams.
    pub(super) fn new(limit: usize) -> Self {
        Self { datagrams: VecDeque::new(), limit }
    }

    /// Takes a datagram, if there is room.
    pub(super) fn push(&mut self, socket: SocketId, to: SocketAddr, datagram: Bytes) {
        if self.datagrams.len() < self.limit {
            self.datagrams.push_back((socket, to, datagram));
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Appends the first datagram, and those after it that can share its batch, to `buffer`.
    pub(super) fn poll(&mut self, max_segments: usize, buffer: &mut Vec<u8>) -> Option<Transmit> {
        let (socket, to, first) = self.datagrams.pop_front()?;
        buffer.extend_from_slice(&first);
        let (size, mut count) = (first.len(), 1);
        while count < max_segments
            && buffer.len().is_multiple_of(size)
            && let Some((_, _, next)) = self.datagrams.front().filter(|next| (next.0, next.1) == (socket, to))
            && next.len() <= size
            && buffer.len() + size <= MAX_BATCH
        {
            buffer.extend_from_slice(next);
            self.datagrams.pop_front();
            count += 1;
        }
        Some(Transmit { socket, to, len: buffer.len(), segment_size: (count > 1).then_some(size) })
    }
}

const MAX_BATCH: usize = 65_000;
