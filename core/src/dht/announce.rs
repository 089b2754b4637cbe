//! Who is to be found under a target, and the signatures that prove it (`hyperdht/lib/messages.js`,
//! `hyperdht/lib/persistent.js`).

use super::address::{decode_addresses, encode_addresses};
use super::datagram::flag;
use crate::crypto::namespace::{ANNOUNCE, UNANNOUNCE};
use crate::crypto::{Hash, KeyPair, PublicKey, Signature, blake2b, verify_signature};
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use alloc::vec::Vec;
use core::net::SocketAddrV4;

/// A peer that is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRecord {
    /// Its key.
    pub public_key: PublicKey,
    /// Nodes that pass handshakes to it.
    pub relay_addresses: Vec<SocketAddrV4>,
}

/// The value of an announce or unannounce request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announce {
    /// Who is announced; absent when `refresh` renews an earlier announcement.
    pub peer: Option<PeerRecord>,
    /// With a peer: the hash of the token that will renew this. Without: that token.
    pub refresh: Option<Hash>,
    /// The peer's signature; see [`Announce::sign`].
    pub signature: Option<Signature>,
    /// Unix time in ms at which subscribers should look again; 0 when not.
    pub bump: u64,
}

/// What a node knows under a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookupReply {
    /// At most [`MAX_RECORDS`] from a well-behaved node.
    pub peers: Vec<PeerRecord>,
    /// The latest [`Announce::bump`].
    pub bump: u64,
}

/// What an announcement is made for: only this node, and only while its token holds, accepts it.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    target: &'a Hash,
    node: &'a Hash,
    token: &'a Hash,
}

impl Announce {
    /// An announcement of `peer` under `target`, for the node with the id `node` that gave `token`.
    pub fn sign_announce(
        key_pair: &KeyPair,
        target: &Hash,
        node: &Hash,
        token: &Hash,
        peer: PeerRecord,
        bump: u64,
    ) -> Self {
        let mut announce = Self { peer: Some(peer), refresh: None, signature: None, bump };
        announce.sign(key_pair, &ANNOUNCE, Place { target, node, token });
        announce
    }

    /// A request to forget `key_pair`'s record under `target`, for the node with the id `node` that gave `token`.
    pub fn sign_unannounce(key_pair: &KeyPair, target: &Hash, node: &Hash, token: &Hash) -> Self {
        let peer = PeerRecord { public_key: key_pair.public_key(), relay_addresses: Vec::new() };
        let mut announce = Self { peer: Some(peer), ..Self::default() };
        announce.sign(key_pair, &UNANNOUNCE, Place { target, node, token });
        announce
    }

    fn sign(&mut self, key_pair: &KeyPair, namespace: &Hash, place: Place<'_>) {
        self.signature = self.signable(namespace, place).map(|signable| key_pair.sign(&signable));
    }

    /// True when the peer itself asks to be announced there.
    pub fn verify_announce(&self, target: &Hash, node: &Hash, token: &Hash) -> bool {
        self.verify(&ANNOUNCE, Place { target, node, token })
    }

    /// True when the peer itself asks to be forgotten there.
    pub fn verify_unannounce(&self, target: &Hash, node: &Hash, token: &Hash) -> bool {
        self.verify(&UNANNOUNCE, Place { target, node, token })
    }

    fn verify(&self, namespace: &Hash, place: Place<'_>) -> bool {
        match (&self.peer, &self.signature, self.signable(namespace, place)) {
            (Some(peer), Some(signature), Some(signable)) => verify_signature(&peer.public_key, &signable, signature),
            _ => false,
        }
    }

    fn signable(&self, namespace: &Hash, place: Place<'_>) -> Option<Vec<u8>> {
        let peer = self.peer.as_ref()?.to_bytes();
        let refresh = self.refresh.as_ref().map_or(&[][..], AsRef::as_ref);
        let parts = [place.target.as_ref(), place.node.as_ref(), place.token.as_ref(), &peer, refresh];
        Some([namespace.as_ref(), blake2b(&parts).as_ref()].concat())
    }
}

impl Encode for PeerRecord {
    fn encode(&self, writer: &mut Writer) {
        writer.raw(self.public_key.as_ref());
        encode_addresses(writer, &self.relay_addresses);
    }
}

impl Decode for PeerRecord {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let public_key = PublicKey(reader.array("peer's key")?);
        Ok(Self { public_key, relay_addresses: decode_addresses(reader)? })
    }
}

impl Encode for Announce {
    fn encode(&self, writer: &mut Writer) {
        let flags = flag(self.peer.is_some(), 1)
            | flag(self.refresh.is_some(), 2)
            | flag(self.signature.is_some(), 4)
            | flag(self.bump != 0, 8);
        writer.u8(flags);
        self.peer.iter().for_each(|peer| peer.encode(writer));
        self.refresh.iter().for_each(|refresh| writer.raw(refresh.as_ref()));
        self.signature.iter().for_each(|signature| writer.raw(signature.as_ref()));
        if self.bump != 0 {
            writer.uint(self.bump);
        }
    }
}

impl Decode for Announce {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = reader.uint("announce flags")?;
        Ok(Self {
            peer: if flags & 1 == 0 { None } else { Some(PeerRecord::decode(reader)?) },
            refresh: if flags & 2 == 0 { None } else { Some(Hash(reader.array("refresh token")?)) },
            signature: if flags & 4 == 0 { None } else { Some(Signature(reader.array("signature")?)) },
            bump: if flags & 8 == 0 { 0 } else { reader.uint("bump")? },
        })
    }
}

impl Encode for LookupReply {
    fn encode(&self, writer: &mut Writer) {
        writer.count(self.peers.len());
        self.peers.iter().for_each(|peer| peer.encode(writer));
        writer.uint(self.bump);
    }
}

impl Decode for LookupReply {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.count(33, "peers")?;
        let peers = (0..count).map(|_| PeerRecord::decode(reader)).collect::<Result<_, _>>()?;
        // Nodes of older versions leave it out.
        let bump = if reader.is_empty() { 0 } else { reader.uint("bump")? };
        Ok(Self { peers, bump })
    }
}

/// Where a peer with this key is announced for those who know the key: its hash.
pub fn peer_target(public_key: &PublicKey) -> Hash {
    blake2b(&[public_key.as_ref()])
}

/// The most records a lookup's answer holds.
pub const MAX_RECORDS: usize = 20;
/// The most relay addresses a node keeps with a record.
pub const MAX_RELAY_ADDRESSES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_holds_at_one_node_for_one_target_and_token_only() {
        let pair = KeyPair::from_seed(&[1; 32]);
        let [target, node, token, other] = [[2; 32], [3; 32], [4; 32], [5; 32]].map(Hash);
        let peer = PeerRecord { public_key: pair.public_key(), relay_addresses: Vec::new() };
        let announce = Announce::sign_announce(&pair, &target, &node, &token, peer, 9);
        assert_eq!(Announce::from_bytes(&announce.to_bytes()).unwrap(), announce);
        assert!(announce.verify_announce(&target, &node, &token));
        assert!(!announce.verify_announce(&other, &node, &token));
        assert!(!announce.verify_announce(&target, &other, &token));
        assert!(!announce.verify_announce(&target, &node, &other));
        assert!(!announce.verify_unannounce(&target, &node, &token));
        assert!(Announce::sign_unannounce(&pair, &target, &node, &token).verify_unannounce(&target, &node, &token));
    }
}
