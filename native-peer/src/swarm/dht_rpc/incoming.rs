//! Requests of others.

use super::machine::{DhtRpc, is_usable};
use super::output::{Answer, Event, IncomingRequest, SocketId};
use bytes::Bytes;
use corestore_core::crypto::{Hash, blake2b};
use corestore_core::dht::{InternalCommand, Request, Response, RpcError};
use corestore_core::encoding::Encode;
use corestore_core::time::{Duration, Instant};
use std::net::SocketAddrV4;

impl DhtRpc {
    pub(super) fn handle_request(&mut self, now: Instant, socket: SocketId, from: SocketAddrV4, request: Request) {
        self.stats.received = self.stats.received.saturating_add(1);
        let id = self.checked_id(request.id, &from);
        let incoming = IncomingRequest {
            tid: request.tid,
            from,
            id,
            to: request.to,
            socket,
            token: request.token,
            internal: request.internal,
            command: request.command,
            target: request.target,
            value: request.value,
        };
        if incoming.token.is_some_and(|token| !self.tokens.holds(from.ip(), &token)) {
            self.stats.bad_tokens = self.stats.bad_tokens.saturating_add(1);
            let error = RpcError::InvalidToken.number();
            self.answer(&incoming, Answer { error, token: true, closer_nodes: true, ..Answer::default() });
            return;
        }
        if id.is_some() {
            self.note_node(now, socket == self.socket(), from, id, request.to);
        }
        if incoming.internal {
            self.handle_internal(now, incoming);
        } else {
            self.event(Event::Request(incoming));
        }
    }

    fn handle_internal(&mut self, now: Instant, request: IncomingRequest) {
        match InternalCommand::from_number(request.command) {
            Some(InternalCommand::Ping) => self.answer(&request, Answer::default()),
            Some(InternalCommand::PingNat) => self.answer_ping_nat(&request),
            Some(InternalCommand::FindNode) if request.target.is_some() => {
                self.answer(&request, Answer { closer_nodes: true, ..Answer::default() });
            }
            Some(InternalCommand::FindNode) => {}
            Some(InternalCommand::DownHint) => self.handle_down_hint(now, &request),
            Some(InternalCommand::DelayedPing) => self.delay_ping(now, request),
            None => self.refuse(&request),
        }
    }

    /// Tells that we do not know the command.
    pub fn refuse(&mut self, request: &IncomingRequest) {
        let error = RpcError::UnknownCommand.number();
        self.answer(request, Answer { error, closer_nodes: request.target.is_some(), ..Answer::default() });
    }

    /// The host stays the one who asked: no stranger gets a datagram by this.
    fn answer_ping_nat(&mut self, request: &IncomingRequest) {
        let port = request.value.as_ref().and_then(|value| value.first_chunk()).map(|port| u16::from_le_bytes(*port));
        if let Some(port) = port.filter(|port| *port != 0) {
            let to = Some(SocketAddrV4::new(*request.from.ip(), port));
            self.answer(request, Answer { to, ..Answer::default() });
        }
    }

    fn handle_down_hint(&mut self, now: Instant, request: &IncomingRequest) {
        let Some(address) = request.value.as_ref().and_then(|value| value.first_chunk::<6>()) else { return };
        let id = blake2b(&[address]);
        let tick = self.tick;
        if self.checking < MAX_CHECKS
            && let Some(node) = self.nodes.get_mut(&id)
            && (node.pinged < tick || node.down_hints == 0)
        {
            node.down_hints = node.down_hints.saturating_add(1);
            self.check(now, &id);
        }
        self.answer(request, Answer::default());
    }

    fn delay_ping(&mut self, now: Instant, request: IncomingRequest) {
        let millis = request.value.as_ref().and_then(|value| value.first_chunk()).map(|ms| u32::from_le_bytes(*ms));
        let delay = millis.map(|millis| Duration::from_millis(u64::from(millis)));
        if let Some(delay) = delay.filter(|delay| *delay <= self.config.max_ping_delay)
            && self.delayed.len() < self.config.max_delayed_pings
        {
            let number = self.number();
            self.delayed.insert((now.after(delay), number), request);
        }
    }

    pub(super) fn answer_delayed(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
            let request = entry.remove();
            self.answer(&request, Answer::default());
        }
    }

    /// Answers a request.
    pub fn answer(&mut self, request: &IncomingRequest, answer: Answer) {
        let to = answer.to.unwrap_or(request.from);
        if self.suspended || !is_usable(&to) {
            return;
        }
        let socket = answer.socket.unwrap_or(request.socket);
        let closer = |target: &Hash| {
            let nodes = self.nodes.closest(target, self.config.k);
            nodes.into_iter().map(|node| node.address).filter(|address| *address != to).collect()
        };
        let response = Response {
            tid: request.tid,
            to,
            id: self.id().filter(|_| socket == SocketId::SERVER),
            token: answer.token.then(|| self.tokens.issue(to.ip())),
            closer_nodes: request.target.as_ref().filter(|_| answer.closer_nodes).map(closer).unwrap_or_default(),
            error: answer.error,
            value: answer.value,
        };
        self.transmit(socket, to, Bytes::from(response.to_bytes()));
    }

    /// Passes a request on to another node, with another value.
    pub fn relay(&mut self, request: &IncomingRequest, value: Bytes, to: SocketAddrV4, socket: Option<SocketId>) {
        if self.suspended || !is_usable(&to) {
            return;
        }
        let socket = socket.unwrap_or(request.socket);
        let passed = Request {
            tid: request.tid,
            to,
            id: self.id().filter(|_| socket == SocketId::SERVER),
            token: None,
            internal: request.internal,
            command: request.command,
            target: request.target,
            value: Some(value),
        };
        self.transmit(socket, to, Bytes::from(passed.to_bytes()));
    }
}

/// Checks under way at once, beyond which down hints are only acknowledged.
const MAX_CHECKS: usize = 10;
