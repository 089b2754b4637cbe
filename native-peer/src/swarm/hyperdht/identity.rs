//! Whose key a server, a connection or an announcement uses. A key of somebody else never comes here: what needs it is
//! asked for by events, so that a gateway serves browsers without their secrets.

use super::machine::{HyperDht, RequestFor};
use super::operations::put;
use super::output::{ConnectionId, Event};
use bytes::Bytes;
use corestore_core::crypto::{Hash, KeyPair, PublicKey, Signature};
use corestore_core::dht::{Announce, Command, HandshakePayload, HolepunchKey, PeerRecord};
use corestore_core::encoding::Encode;
use corestore_core::time::Instant;
use std::net::SocketAddrV4;

/// Whose key it is.
#[derive(Clone, Debug)]
pub enum Identity {
    /// Ours.
    Own(KeyPair),
    /// Somebody else's, who answers [`Event::Sign`], [`Event::ReadHandshake`] and [`Event::WriteHandshake`].
    Foreign(Foreign),
}

/// Somebody else's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The key.
    pub key: PublicKey,
    /// Comes back in the events that ask for it: who is to answer, and for what.
    pub holder: u64,
}

/// Names a signature that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignatureId(pub(crate) u64);

/// What somebody else is to sign: [`Announce::sign_announce`] or [`Announce::sign_unannounce`] with his key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signable {
    /// Ends an announcement.
    pub unannounce: bool,
    /// Where he is to be found.
    pub target: Hash,
    /// The node's id.
    pub node: Hash,
    /// The node's token.
    pub token: Hash,
    /// What is announced.
    pub peer: PeerRecord,
    /// See [`Announce::bump`].
    pub bump: u64,
}

/// What somebody else read in the other side's handshake message.
#[derive(Clone, Debug)]
pub struct ReadHandshake {
    /// The other side's key.
    pub remote: PublicKey,
    /// What it tells.
    pub payload: HandshakePayload,
    /// Seals the words on hole punching; needed when he called, and the handshake is over by this message.
    pub holepunch_key: Option<HolepunchKey>,
}

/// A request that waits for its signature.
#[derive(Debug)]
pub(super) struct Unsigned {
    signable: Signable,
    to: SocketAddrV4,
    owner: RequestFor,
}

impl Identity {
    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        match self {
            Self::Own(key_pair) => key_pair.public_key(),
            Self::Foreign(foreign) => foreign.key,
        }
    }
}

impl From<&KeyPair> for Identity {
    fn from(key_pair: &KeyPair) -> Self {
        Self::Own(key_pair.clone())
    }
}

impl From<Foreign> for Identity {
    fn from(foreign: Foreign) -> Self {
        Self::Foreign(foreign)
    }
}

impl HyperDht {
    /// Asks a node to keep or drop an announcement, once it is signed.
    pub(super) fn request_signed(
        &mut self,
        now: Instant,
        identity: &Identity,
        signable: Signable,
        to: SocketAddrV4,
        owner: RequestFor,
    ) {
        let key_pair = match identity {
            Identity::Own(key_pair) => key_pair,
            Identity::Foreign(foreign) => {
                if self.unsigned.len() >= MAX_UNSIGNED {
                    return self.deliver(now, owner, None);
                }
                let signature = SignatureId(self.number());
                self.event(Event::Sign { signature, owner: *foreign, signable: signable.clone() });
                self.unsigned.insert(signature, Unsigned { signable, to, owner });
                return;
            }
        };
        let Signable { unannounce, target, node, token, peer, bump } = signable;
        let announce = if unannounce {
            Announce::sign_unannounce(key_pair, &target, &node, &token)
        } else {
            Announce::sign_announce(key_pair, &target, &node, &token, peer, bump)
        };
        self.send_signed(now, unannounce, target, token, &announce, to, owner);
    }

    /// Takes the signature that [`Event::Sign`] asked for; `None` when there will be none.
    pub fn signed(&mut self, now: Instant, signature: SignatureId, given: Option<Signature>) {
        let Some(Unsigned { signable, to, owner }) = self.unsigned.remove(&signature) else { return };
        match given {
            Some(signature) => {
                let Signable { unannounce, target, token, peer, bump, .. } = signable;
                let announce = Announce { peer: Some(peer), refresh: None, signature: Some(signature), bump };
                self.send_signed(now, unannounce, target, token, &announce, to, owner);
            }
            None => self.deliver(now, owner, None),
        }
        self.pump(now);
    }

    #[expect(clippy::too_many_arguments, reason = "one request, said in full")]
    fn send_signed(
        &mut self,
        now: Instant,
        unannounce: bool,
        target: Hash,
        token: Hash,
        announce: &Announce,
        to: SocketAddrV4,
        owner: RequestFor,
    ) {
        let command = if unannounce { Command::Unannounce } else { Command::Announce };
        let settings = put(command, target, token, Bytes::from(announce.to_bytes()));
        self.request_for(now, to, settings, owner);
    }

    /// Takes what [`Event::ReadHandshake`] asked for; `None` when the message does not hold.
    pub fn handshake_read(&mut self, now: Instant, connection: ConnectionId, read: Option<ReadHandshake>) {
        if self.connects.contains_key(&connection) {
            self.connect_read(now, connection, read);
        } else {
            self.incoming_read(now, connection, read);
        }
        self.pump(now);
    }

    /// Takes the message that [`Event::WriteHandshake`] asked for; with it the key that seals words on hole punching,
    /// when he is called and the handshake is over by this message.
    pub fn handshake_written(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        noise: Bytes,
        holepunch_key: Option<HolepunchKey>,
    ) {
        if self.connects.contains_key(&connection) {
            self.connect_written(now, connection, noise);
        } else if let Some(key) = holepunch_key {
            self.incoming_written(now, connection, noise, key);
        }
        self.pump(now);
    }
}

/// Signatures awaited at once.
const MAX_UNSIGNED: usize = 4096;
