//! Signatures that only the client can give.

use super::machine::Session;
use super::output::{Fault, Part, Request};
use crate::swarm::hyperdht::{Signable, SignatureId};
use corestore_core::crypto::{Hash, Signature};
use corestore_core::dht::{Announce, DhtRelayMessage as Message, PeerRecord, peer_target};
use corestore_core::time::Instant;

/// A signature that is awaited.
#[derive(Debug)]
pub(super) struct Asked {
    purpose: Purpose,
    /// When it is given up.
    pub(super) until: Instant,
}

/// What a signature is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// To prove that the client has the key it wants to listen under: for a node and a token of our own making.
    Challenge { server: Part, node: Hash, token: Hash },
    /// For a node of the DHT; the server whose announcement it ends.
    Dht { signature: SignatureId, ends: Option<Part> },
}

impl Session {
    /// The DHT needs a signature for a query or a server of the client's.
    pub fn sign(&mut self, now: Instant, owner: Part, signature: SignatureId, signable: Signable) {
        let (server, query) = (self.servers.get(&owner), self.queries.get(&owner));
        let signee = server.map(|server| server.client).or(query.map(|query| query.client));
        let Signable { unannounce, node, token, peer, .. } = signable;
        let ends = server.filter(|_| unannounce).map(|_| owner);
        let id = signee.and_then(|_| self.ask_signature(now, Purpose::Dht { signature, ends }));
        let (Some(signee), Some(id)) = (signee, id) else {
            return self.request(Request::Signed { signature, given: None });
        };
        let relay_addresses = peer.relay_addresses;
        self.tell(&match unannounce {
            false => Message::SignAnnounce { id, signee, token, node, relay_addresses },
            true => Message::SignUnannounce { id, signee, token, node, relay_addresses },
        });
    }

    pub(super) fn ask_signature(&mut self, now: Instant, purpose: Purpose) -> Option<u32> {
        if self.signatures.len() >= self.limits.signatures {
            return None;
        }
        let (id, until) = (self.number(), now.after(self.limits.answer));
        self.signatures.insert(id, Asked { purpose, until });
        Some(id)
    }

    pub(super) fn signature(&mut self, _: Instant, id: u32, given: Option<Signature>) -> Result<(), Fault> {
        match self.signatures.remove(&id) {
            Some(Asked { purpose, .. }) => self.signed(purpose, given),
            None => Ok(()),
        }
    }

    fn signed(&mut self, purpose: Purpose, given: Option<Signature>) -> Result<(), Fault> {
        match purpose {
            Purpose::Challenge { server, node, token } => {
                let Some(key) = self.servers.get(&server).map(|entry| entry.key) else { return Ok(()) };
                let peer = PeerRecord { public_key: key, relay_addresses: Vec::new() };
                let claimed = Announce { peer: Some(peer), signature: given, ..Announce::default() };
                self.proven(server, claimed.verify_announce(&peer_target(&key), &node, &token))
            }
            Purpose::Dht { signature, ends } => {
                self.request(Request::Signed { signature, given });
                ends.into_iter().for_each(|server| self.taken_back(server));
                Ok(())
            }
        }
    }

    pub(super) fn give_up_signatures(&mut self, now: Instant) {
        let late = self.signatures.iter().filter(|(_, asked)| asked.until <= now).map(|(id, _)| *id);
        for id in late.collect::<Vec<_>>() {
            match self.signatures.remove(&id).map(|asked| asked.purpose) {
                Some(Purpose::Challenge { server, .. }) => self.server_ended(server),
                Some(Purpose::Dht { signature, ends }) => {
                    self.request(Request::Signed { signature, given: None });
                    ends.into_iter().for_each(|server| self.taken_back(server));
                }
                None => {}
            }
        }
    }
}
