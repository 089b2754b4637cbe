//! A stream that a browser makes to the gateway itself: the cores it keeps, without any network.

use super::said::Duplex;
use super::session::Part;
use super::shared::Shared;
use crate::swarm::hyperdht::ConnectionId;
use bytes::Bytes;
use corestore_core::corestore::Role;
use corestore_core::crypto::PublicKey;
use corestore_core::dht::{Firewall, Handshake, HandshakePayload, PeerError, SecretStreamInfo, UdxInfo};
use std::collections::BTreeMap;

/// Handshakes of one session with the gateway itself.
#[derive(Default)]
pub(super) struct Locals {
    next: u64,
    calls: BTreeMap<ConnectionId, Call>,
}

struct Call {
    stream: Part,
    /// Who calls.
    client: PublicKey,
    /// The store's end, once its handshake is written.
    far: Option<Box<dyn Duplex>>,
}

impl Locals {
    /// Begins one: gives its name and what the browser is to tell us.
    pub(super) fn begin(&mut self, stream: Part, client: PublicKey) -> (ConnectionId, HandshakePayload) {
        self.next = self.next.saturating_add(1);
        // The DHT counts its own from below.
        let connection = ConnectionId(u64::MAX.saturating_sub(self.next));
        self.calls.insert(connection, Call { stream, client, far: None });
        (connection, payload())
    }

    pub(super) fn is_ours(&self, connection: ConnectionId) -> bool {
        self.calls.contains_key(&connection)
    }

    pub(super) fn forget(&mut self, stream: Part) {
        self.calls.retain(|_, call| call.stream != stream);
    }

    /// The browser wrote its Noise message: gives the stream and our answer; the store waits behind it. `None` when it
    /// does not hold.
    pub(super) fn answer(&mut self, shared: &Shared, connection: ConnectionId, noise: &[u8]) -> Option<(Part, Bytes)> {
        let call = self.calls.get_mut(&connection)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).ok()?;
        let mut handshake = Handshake::responder(&shared.key_pair, seed).ok()?;
        handshake.read(noise).ok()?;
        let reply = handshake.write(&payload()).ok()?;
        let split = handshake.finish()?.split;
        // Nobody calls under a key that is not his.
        if split.remote != call.client {
            return None;
        }
        let (ours, theirs) = tokio::io::duplex(DUPLEX);
        shared.store.replicate_split(ours, Role::Responder, split).ok()?;
        call.far = Some(Box::new(theirs));
        Some((call.stream, Bytes::from(reply)))
    }

    /// The browser read our answer, or refused it: gives the stream and its far end.
    pub(super) fn finish(&mut self, connection: ConnectionId) -> Option<(Part, Option<Box<dyn Duplex>>)> {
        self.calls.remove(&connection).map(|call| (call.stream, call.far))
    }
}

fn payload() -> HandshakePayload {
    HandshakePayload {
        version: HandshakePayload::VERSION,
        error: PeerError::None,
        firewall: Firewall::Open,
        udx: Some(UdxInfo { version: 1, reusable_socket: false, id: 0, seq: 0 }),
        secret_stream: Some(SecretStreamInfo { version: 1 }),
        ..HandshakePayload::default()
    }
}

/// What a session and the store hold for each other, in bytes.
const DUPLEX: usize = 64 << 10;
