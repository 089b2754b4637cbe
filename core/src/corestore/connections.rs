//! Connections: one encrypted stream with every loaded core on it, each on a channel of its own.

use super::connection::{Connection, ConnectionEvent};
use super::corestore::Corestore;
use super::io::{CloseReason, ConnectionId, Event, Output, Role};
use super::timers::Timer;
use crate::crypto::{DiscoveryKey, PublicKey, capability};
use crate::encoding::{Decode, Encode};
use crate::protomux::ChannelId;
use crate::replication::{Handshake, Message, PeerId};
use crate::stream::{SecretStream, Split};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    connection: Connection,
    role: Role,
    remote: Option<(PublicKey, [u8; 64])>,
    channels: BTreeMap<ChannelId, Channel>,
    by_core: BTreeMap<DiscoveryKey, ChannelId>,
    /// Bytes that wait in the transport.
    backlog: usize,
    /// Bytes that were not handed to it yet.
    unsent: usize,
    /// Peers that are not answered until the transport has room.
    clogged: Vec<PeerId>,
    held: VecDeque<(DiscoveryKey, PeerId, Message)>,
    corked: bool,
}

#[derive(Debug)]
struct Channel {
    core: DiscoveryKey,
    peer: Option<PeerId>,
}

/// One core on one connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) connection: ConnectionId,
    channel: ChannelId,
    core: DiscoveryKey,
}

/// A connection as callers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Which.
    pub connection: ConnectionId,
    /// Who dialled.
    pub role: Role,
    /// The peer's key on this stream, after the handshake.
    pub public_key: Option<PublicKey>,
    /// Cores replicated on it now.
    pub cores: Vec<DiscoveryKey>,
}

impl Link {
    fn cork(&mut self) {
        if !self.corked {
            self.corked = true;
            self.connection.cork();
        }
    }
}

impl Corestore {
    /// Every connection.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let info = |(connection, link): (&ConnectionId, &Link)| ConnectionInfo {
            connection: *connection,
            role: link.role,
            public_key: link.remote.map(|(key, _)| key),
            cores: link.channels.values().filter(|c| c.peer.is_some()).map(|c| c.core).collect(),
        };
        self.connections.iter().map(info).collect()
    }

    /// True while a connection shakes hands, or a channel of this core is not answered yet.
    pub(super) fn is_meeting(&self, core: &DiscoveryKey) -> bool {
        let unanswered = |link: &Link| {
            let channel = link.by_core.get(core).and_then(|channel| link.channels.get(channel));
            channel.is_some_and(|channel| channel.peer.is_none())
        };
        self.connections.values().any(|link| link.remote.is_none() || unanswered(link))
    }

    /// Closes a connection.
    pub fn close_connection(&mut self, connection: ConnectionId) {
        self.fail_connection(connection, CloseReason::Local);
        self.settle();
    }

    pub(super) fn connection_opened(&mut self, id: ConnectionId, role: Role, split: Option<Split>) {
        if self.connections.len() >= self.config.max_connections || self.connections.contains_key(&id) {
            let reason = CloseReason::Violation(String::from("too many connections"));
            self.output(Output::Close { connection: id, reason });
            return;
        }
        let initiator = Self::is_initiator(role);
        let (entropy, now) = (&mut self.entropy, self.now);
        let connection = Connection::new(match split {
            Some(split) => SecretStream::from_split(initiator, split, entropy, now),
            None => SecretStream::new(initiator, &self.identity, entropy, now),
        });
        let link = Link {
            connection,
            role,
            remote: None,
            channels: BTreeMap::new(),
            by_core: BTreeMap::new(),
            backlog: 0,
            unsent: 0,
            clogged: Vec::new(),
            held: VecDeque::new(),
            corked: false,
        };
        self.connections.insert(id, link);
        self.dirty_connections.insert(id);
    }

    pub(super) fn connection_received(&mut self, id: ConnectionId, bytes: &Bytes) {
        let now = self.now;
        let Some(link) = self.connections.get_mut(&id) else { return };
        if let Err(reason) = link.connection.handle_bytes(now, bytes) {
            self.fail_connection(id, CloseReason::Violation(reason.to_string()));
            return;
        }
        self.dirty_connections.insert(id);
    }

    /// The transport's queue changed: go on serving once it has room.
    pub(super) fn connection_writable(&mut self, id: ConnectionId, backlog: usize) {
        let max = self.config.max_backlog;
        let Some(link) = self.connections.get_mut(&id) else { return };
        link.backlog = backlog;
        if backlog <= max {
            for peer in core::mem::take(&mut link.clogged) {
                if let Some(core) = self.peers.get(&peer).map(|peer| peer.core) {
                    self.set_clogged(core, peer, false);
                }
            }
        }
        while let Some(link) = self.connections.get_mut(&id).filter(|link| link.backlog <= max) {
            let Some((core, peer, message)) = link.held.pop_front() else { return };
            self.peer_message(core, peer, message);
            self.settle();
        }
    }

    /// Sends what connections held back, each as one batch; false when none held anything.
    pub(super) fn uncork_connections(&mut self) -> bool {
        let corked = core::mem::take(&mut self.corked);
        for id in &corked {
            if let Some(link) = self.connections.get_mut(id) {
                link.corked = false;
                link.unsent = 0;
                link.connection.uncork();
                self.dirty_connections.insert(*id);
            }
        }
        !corked.is_empty()
    }

    /// Takes what a connection has to say and hands out what it sends.
    pub(super) fn drain_connection(&mut self, id: ConnectionId) {
        loop {
            let Some(link) = self.connections.get_mut(&id) else { return };
            let event = match link.connection.poll_event() {
                Ok(event) => event,
                Err(error) => return self.fail_connection(id, CloseReason::Violation(error.to_string())),
            };
            match event {
                None => {
                    self.timers.set(Timer::Connection(id), link.connection.deadline());
                    return;
                }
                Some(event) => self.connection_event(id, event),
            }
        }
    }

    fn connection_event(&mut self, id: ConnectionId, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Transmit(bytes) => {
                if let Some(link) = self.connections.get_mut(&id) {
                    link.backlog = link.backlog.saturating_add(bytes.len());
                }
                self.output(Output::Transmit { connection: id, bytes });
            }
            ConnectionEvent::Connected { remote, handshake_hash } => {
                if let Some(link) = self.connections.get_mut(&id) {
                    link.remote = Some((remote, handshake_hash));
                }
                self.event(Event::Connected { connection: id, public_key: remote });
                let wanted = self.cores.iter().filter(|(_, core)| core.is_downloading());
                let wanted: Vec<DiscoveryKey> = wanted.map(|(core, _)| *core).collect();
                for core in wanted {
                    self.attach(id, core);
                }
            }
            ConnectionEvent::Pair(core) => self.open_for_peer(id, core),
            ConnectionEvent::Opened { channel, handshake } => self.channel_opened(id, channel, &handshake),
            ConnectionEvent::Message { channel, kind, payload } => self.channel_message(id, channel, kind, &payload),
            ConnectionEvent::Closed { channel } => self.channel_closed(id, channel, true),
        }
    }

    /// Opens a channel for `core` on every connection that has none.
    pub(super) fn attach_everywhere(&mut self, core: DiscoveryKey) {
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for id in ids {
            self.attach(id, core);
        }
    }

    /// Opens a channel for `core` on a connection, unless there is one.
    pub(super) fn attach(&mut self, id: ConnectionId, core: DiscoveryKey) {
        let Some(log) = self.cores.get(&core).map(|core| &core.log) else { return };
        if log.is_frozen() {
            return self.reject(id, core);
        }
        let Some(link) = self.connections.get_mut(&id) else { return };
        let Some((_, hash)) = &link.remote else { return };
        if link.by_core.contains_key(&core) {
            return;
        }
        let capability = capability(Self::is_initiator(link.role), log.key(), hash);
        let handshake = Handshake { seeks: true, capability };
        if let Some(channel) = link.connection.open(&core, &handshake.to_bytes()) {
            link.by_core.insert(core, channel);
            link.channels.insert(channel, Channel { core, peer: None });
        }
        self.dirty_connections.insert(id);
    }

    pub(super) fn reject(&mut self, id: ConnectionId, core: DiscoveryKey) {
        if let Some(link) = self.connections.get_mut(&id) {
            link.connection.reject(&core);
            self.dirty_connections.insert(id);
        }
    }

    fn channel_opened(&mut self, id: ConnectionId, channel: ChannelId, handshake: &[u8]) {
        let peer = PeerId(self.next_id());
        let Some(link) = self.connections.get_mut(&id) else { return };
        let initiator = Self::is_initiator(link.role);
        let (Some(entry), Some((public_key, hash))) = (link.channels.get_mut(&channel), link.remote) else { return };
        let core = entry.core;
        entry.peer = Some(peer);
        let Some(log) = self.cores.get(&core).map(|core| &core.log) else {
            self.close_channel_of(id, channel);
            return;
        };
        let proven = Handshake::from_bytes(handshake)
            .ok()
            .filter(|theirs| theirs.capability == capability(!initiator, log.key(), &hash));
        let Some(theirs) = proven else {
            let reason = format!("the peer did not prove that it knows the key of core {core}");
            self.fail_connection(id, CloseReason::Violation(reason));
            return;
        };
        self.peers.insert(peer, Peer { connection: id, channel, core });
        self.peer_opened(core, peer, theirs.seeks);
        self.event(Event::PeerAdded { core, connection: id, public_key });
    }

    fn channel_message(&mut self, id: ConnectionId, channel: ChannelId, kind: u64, payload: &Bytes) {
        let (max_backlog, max_held) = (self.config.max_backlog, self.config.max_held_requests);
        let Some(link) = self.connections.get_mut(&id) else { return };
        let Some(Channel { core, peer: Some(peer) }) = link.channels.get(&channel) else { return };
        let (core, peer) = (*core, *peer);
        match Message::decode(kind, payload) {
            Err(error) => self.fail_connection(id, CloseReason::Violation(error.to_string())),
            Ok(None) => {}
            Ok(Some(message @ (Message::Request(_) | Message::Cancel { .. } | Message::Want(_))))
                if link.backlog > max_backlog =>
            {
                if link.held.len() >= max_held {
                    let reason = String::from("the peer asks for more than it reads");
                    self.fail_connection(id, CloseReason::Violation(reason));
                    return;
                }
                link.held.push_back((core, peer, message));
            }
            Ok(Some(message)) => self.peer_message(core, peer, message),
        }
    }

    fn channel_closed(&mut self, id: ConnectionId, channel: ChannelId, by_remote: bool) {
        let Some(link) = self.connections.get_mut(&id) else { return };
        let Some(closed) = link.channels.remove(&channel) else { return };
        link.by_core.remove(&closed.core);
        link.held.retain(|(_, peer, _)| Some(*peer) != closed.peer);
        if let Some(peer) = closed.peer {
            self.remove_peer(peer, by_remote);
        }
    }

    /// Closes a peer's channel; its core may be opened on the connection again later.
    pub(super) fn close_channel(&mut self, peer: PeerId) {
        if let Some(Peer { connection, channel, .. }) = self.peers.get(&peer) {
            self.close_channel_of(*connection, *channel);
        }
    }

    fn close_channel_of(&mut self, id: ConnectionId, channel: ChannelId) {
        if let Some(link) = self.connections.get_mut(&id) {
            link.connection.close(channel);
            self.dirty_connections.insert(id);
        }
        self.channel_closed(id, channel, false);
    }

    pub(super) fn fail_peer(&mut self, peer: PeerId, reason: String) {
        if let Some(connection) = self.peers.get(&peer).map(|peer| peer.connection) {
            self.fail_connection(connection, CloseReason::Violation(reason));
        }
    }

    fn fail_connection(&mut self, id: ConnectionId, reason: CloseReason) {
        if self.connections.contains_key(&id) {
            self.output(Output::Close { connection: id, reason: reason.clone() });
            self.end_connection(id, reason);
        }
    }

    /// Forgets a connection and every peer on it.
    pub(super) fn end_connection(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(link) = self.connections.remove(&id) else { return };
        self.timers.clear(Timer::Connection(id));
        for peer in link.channels.into_values().filter_map(|channel| channel.peer) {
            self.remove_peer(peer, false);
        }
        self.event(Event::Disconnected { connection: id, reason });
    }

    fn remove_peer(&mut self, peer: PeerId, by_remote: bool) {
        if let Some(Peer { connection, core, .. }) = self.peers.remove(&peer) {
            self.peer_closed(core, peer, by_remote);
            self.event(Event::PeerRemoved { core, connection });
        }
    }

    /// Sends a replication message on a peer's channel; all of one drain travel as one batch.
    pub(super) fn send(&mut self, peer: PeerId, message: &Message) {
        let Some(&Peer { connection, channel, core }) = self.peers.get(&peer) else { return };
        let Some(link) = self.connections.get_mut(&connection) else { return };
        let payload = message.encode_payload();
        if !link.corked {
            link.cork();
            self.corked.insert(connection);
        }
        link.connection.send(channel, message.kind(), &payload);
        link.unsent = link.unsent.saturating_add(payload.len());
        let full = link.backlog.saturating_add(link.unsent) > self.config.max_backlog;
        if full && !link.clogged.contains(&peer) {
            link.clogged.push(peer);
            self.set_clogged(core, peer, true);
        }
    }

    pub(super) fn connection_deadline(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(link) = self.connections.get_mut(&id) else { return };
        match link.connection.handle_deadline(now) {
            Ok(()) => {
                self.dirty_connections.insert(id);
            }
            Err(_) => self.fail_connection(id, CloseReason::Timeout),
        }
    }
}
