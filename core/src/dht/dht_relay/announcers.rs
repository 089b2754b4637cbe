//! One node's answer to a query, as a relay passes it on (`@hyperswarm/dht-relay/lib/codecs.js`).

use crate::crypto::Hash;
use crate::dht::{PeerRecord, decode_address, encode_address};
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use alloc::vec::Vec;
use core::net::SocketAddrV4;

/// The content of a `Result`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcers {
    /// The node's token.
    pub token: Hash,
    /// The node.
    pub from: Contact,
    /// The relay, as the node sees it.
    pub to: Contact,
    /// Who is announced there. Their records are not signed: only a handshake proves a key.
    pub peers: Vec<PeerRecord>,
}

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Its id, if it has a lasting one.
    pub id: Option<Hash>,
    /// Its address.
    pub address: SocketAddrV4,
}

impl Encode for Contact {
    fn encode(&self, writer: &mut Writer) {
        writer.optional_buffer(self.id.as_ref().map(AsRef::as_ref));
        encode_address(writer, &self.address);
    }
}

impl Decode for Contact {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = reader.optional_buffer("node id")?;
        let id = id.map(|id| <[u8; 32]>::try_from(id).map(Hash)).transpose().map_err(|_| reader.error("node id"))?;
        Ok(Self { id, address: decode_address(reader)? })
    }
}

impl Encode for Announcers {
    fn encode(&self, writer: &mut Writer) {
        writer.raw(self.token.as_ref());
        self.from.encode(writer);
        self.to.encode(writer);
        writer.count(self.peers.len());
        self.peers.iter().for_each(|peer| peer.encode(writer));
    }
}

impl Decode for Announcers {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let token = Hash(reader.array("token")?);
        let (from, to) = (Contact::decode(reader)?, Contact::decode(reader)?);
        let count = reader.count(33, "peers")?;
        let peers = (0..count).map(|_| PeerRecord::decode(reader)).collect::<Result<_, _>>()?;
        Ok(Self { token, from, to, peers })
    }
}
