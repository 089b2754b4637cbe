//! dht-rpc's two datagrams (`dht-rpc/lib/io.js`).

use super::address::{decode_address, decode_addresses, encode_address, encode_addresses};
use crate::crypto::Hash;
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddrV4;

/// A datagram between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// Somebody asks.
    Request(Request),
    /// Somebody answers.
    Response(Response),
}

/// A question to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Comes back in the answer.
    pub tid: u16,
    /// The address it is sent to, as the sender sees it.
    pub to: SocketAddrV4,
    /// The sender's id; only from lasting nodes, and only true when it is the hash of the sender's address.
    pub id: Option<Hash>,
    /// A token that the receiver gave to the sender's host.
    pub token: Option<Hash>,
    /// True when `command` is one of [`super::InternalCommand`], else one of the layer above.
    pub internal: bool,
    /// What is asked.
    pub command: u64,
    /// The place in the key space it is about.
    pub target: Option<Hash>,
    /// What the command needs besides.
    pub value: Option<Bytes>,
}

/// An answer of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The question's.
    pub tid: u16,
    /// The address it is sent to: how the sender sees the receiver.
    pub to: SocketAddrV4,
    /// The sender's id, as in [`Request::id`].
    pub id: Option<Hash>,
    /// Lets the receiver's host store something at the sender.
    pub token: Option<Hash>,
    /// Nodes nearer to the target.
    pub closer_nodes: Vec<SocketAddrV4>,
    /// 0, or the number of an error.
    pub error: u64,
    /// What the command gives.
    pub value: Option<Bytes>,
}

impl Encode for Datagram {
    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Request(request) => request.encode(writer),
            Self::Response(response) => response.encode(writer),
        }
    }
}

impl Decode for Datagram {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.error("datagram of version 3");
        match reader.u8("datagram")? {
            REQUEST => Request::decode_body(reader).map(Self::Request),
            RESPONSE => Response::decode_body(reader).map(Self::Response),
            _ => Err(at),
        }
    }
}

impl Encode for Request {
    fn encode(&self, writer: &mut Writer) {
        let flags = flag(self.id.is_some(), 1)
            | flag(self.token.is_some(), 2)
            | flag(self.internal, 4)
            | flag(self.target.is_some(), 8)
            | flag(self.value.is_some(), 16);
        encode_head(writer, REQUEST, flags, self.tid, &self.to);
        encode_hashes(writer, &[self.id, self.token]);
        writer.uint(self.command);
        encode_hashes(writer, &[self.target]);
        self.value.iter().for_each(|value| writer.buffer(value));
    }
}

impl Request {
    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = reader.uint("request flags")?;
        Ok(Self {
            tid: reader.u16("request id")?,
            to: decode_address(reader)?,
            id: decode_hash(reader, flags & 1, "node id")?,
            token: decode_hash(reader, flags & 2, "token")?,
            internal: flags & 4 != 0,
            command: reader.uint("command")?,
            target: decode_hash(reader, flags & 8, "target")?,
            value: decode_value(reader, flags & 16)?,
        })
    }
}

impl Encode for Response {
    fn encode(&self, writer: &mut Writer) {
        let flags = flag(self.id.is_some(), 1)
            | flag(self.token.is_some(), 2)
            | flag(!self.closer_nodes.is_empty(), 4)
            | flag(self.error > 0, 8)
            | flag(self.value.is_some(), 16);
        encode_head(writer, RESPONSE, flags, self.tid, &self.to);
        encode_hashes(writer, &[self.id, self.token]);
        if !self.closer_nodes.is_empty() {
            encode_addresses(writer, &self.closer_nodes);
        }
        if self.error > 0 {
            writer.uint(self.error);
        }
        self.value.iter().for_each(|value| writer.buffer(value));
    }
}

impl Response {
    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = reader.uint("response flags")?;
        Ok(Self {
            tid: reader.u16("request id")?,
            to: decode_address(reader)?,
            id: decode_hash(reader, flags & 1, "node id")?,
            token: decode_hash(reader, flags & 2, "token")?,
            closer_nodes: if flags & 4 == 0 { Vec::new() } else { decode_addresses(reader)? },
            error: if flags & 8 == 0 { 0 } else { reader.uint("error")? },
            value: decode_value(reader, flags & 16)?,
        })
    }
}

fn encode_head(writer: &mut Writer, kind: u8, flags: u8, tid: u16, to: &SocketAddrV4) {
    writer.u8(kind);
    writer.u8(flags);
    writer.u16(tid);
    encode_address(writer, to);
}

fn encode_hashes(writer: &mut Writer, hashes: &[Option<Hash>]) {
    hashes.iter().flatten().for_each(|hash| writer.raw(hash.as_ref()));
}

fn decode_hash(reader: &mut Reader<'_>, flag: u64, what: &'static str) -> Result<Option<Hash>, DecodeError> {
    if flag == 0 { Ok(None) } else { reader.array(what).map(|bytes| Some(Hash(bytes))) }
}

fn decode_value(reader: &mut Reader<'_>, flag: u64) -> Result<Option<Bytes>, DecodeError> {
    if flag == 0 { Ok(None) } else { reader.buffer("value").map(|bytes| Some(Bytes::copy_from_slice(bytes))) }
}

pub(super) const fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

/// First byte of a request: version 3, type 0.
const REQUEST: u8 = 0x03;
/// First byte of a response: version 3, type 1.
const RESPONSE: u8 = 0x13;

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;

    fn hash() -> impl Strategy<Value = Option<Hash>> {
        proptest::option::of(any::<[u8; 32]>().prop_map(Hash))
    }

    fn address() -> impl Strategy<Value = SocketAddrV4> {
        any::<(u32, u16)>().prop_map(|(host, port)| SocketAddrV4::new(Ipv4Addr::from_bits(host), port))
    }

    fn value() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(any::<Vec<u8>>().prop_map(Bytes::from))
    }

    fn datagram() -> impl Strategy<Value = Datagram> {
        let head = (any::<u16>(), address(), hash(), hash(), value());
        let rest = (any::<bool>(), any::<bool>(), 0..(1_u64 << 53), hash(), prop::collection::vec(address(), 0..21));
        (head, rest).prop_map(|((tid, to, id, token, value), (request, internal, number, target, closer_nodes))| {
            if request {
                Datagram::Request(Request { tid, to, id, token, internal, command: number, target, value })
            } else {
                Datagram::Response(Response { tid, to, id, token, closer_nodes, error: number, value })
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_a_cut_is_noticed(datagram in datagram()) {
            let bytes = datagram.to_bytes();
            prop_assert_eq!(&Datagram::from_bytes(&bytes).unwrap(), &datagram);
            for cut in 0..bytes.len() {
                prop_assert!(Datagram::from_bytes(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn noise_does_no_harm(bytes: Vec<u8>, response: bool) {
            let _ = Datagram::from_bytes(&[&[if response { RESPONSE } else { REQUEST }], bytes.as_slice()].concat());
        }
    }
}
