//! Messages that nodes pass on between two peers (`hyperdht/lib/messages.js`, `hyperdht/lib/router.js`).

use super::address::{decode_address, encode_address};
use super::datagram::flag;
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use bytes::Bytes;
use core::net::SocketAddrV4;

/// Where on its way a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From the client to the first node.
    FromClient,
    /// From the server back to the first node.
    FromServer,
    /// From the first node to the server, or to a second node.
    FromRelay,
    /// From the second node to the server.
    FromSecondRelay,
    /// To the client.
    Reply,
}

/// A Noise message on its way to the peer behind the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeMessage {
    /// Where on its way it is.
    pub mode: Mode,
    /// The Noise message.
    pub noise: Bytes,
    /// The other peer, as the node that wrote this sees it.
    pub peer_address: Option<SocketAddrV4>,
    /// The node the answer has to go through.
    pub relay_address: Option<SocketAddrV4>,
}

/// A sealed word on hole punching, on its way to the peer behind the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolepunchMessage {
    /// Where on its way it is.
    pub mode: Mode,
    /// The handshake it belongs to.
    pub id: u64,
    /// The sealed word.
    pub payload: Bytes,
    /// The other peer, as the node that wrote this sees it.
    pub peer_address: Option<SocketAddrV4>,
}

impl Mode {
    const fn number(self) -> u64 {
        match self {
            Self::FromClient => 0,
            Self::FromServer => 1,
            Self::FromRelay => 2,
            Self::FromSecondRelay => 3,
            Self::Reply => 4,
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.error("relay mode");
        Ok(match reader.uint("relay mode")? {
            0 => Self::FromClient,
            1 => Self::FromServer,
            2 => Self::FromRelay,
            3 => Self::FromSecondRelay,
            4 => Self::Reply,
            _ => return Err(at),
        })
    }
}

impl Encode for HandshakeMessage {
    fn encode(&self, writer: &mut Writer) {
        writer.u8(flag(self.peer_address.is_some(), 1) | flag(self.relay_address.is_some(), 2));
        writer.uint(self.mode.number());
        writer.buffer(&self.noise);
        self.peer_address.iter().chain(&self.relay_address).for_each(|address| encode_address(writer, address));
    }
}

impl Decode for HandshakeMessage {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = reader.uint("handshake flags")?;
        Ok(Self {
            mode: Mode::decode(reader)?,
            noise: Bytes::copy_from_slice(reader.buffer("Noise message")?),
            peer_address: if flags & 1 == 0 { None } else { Some(decode_address(reader)?) },
            relay_address: if flags & 2 == 0 { None } else { Some(decode_address(reader)?) },
        })
    }
}

impl Encode for HolepunchMessage {
    fn encode(&self, writer: &mut Writer) {
        writer.u8(flag(self.peer_address.is_some(), 1));
        writer.uint(self.mode.number());
        writer.uint(self.id);
        writer.buffer(&self.payload);
        self.peer_address.iter().for_each(|address| encode_address(writer, address));
    }
}

impl Decode for HolepunchMessage {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = reader.uint("holepunch flags")?;
        Ok(Self {
            mode: Mode::decode(reader)?,
            id: reader.uint("handshake id")?,
            payload: Bytes::copy_from_slice(reader.buffer("sealed payload")?),
            peer_address: if flags & 1 == 0 { None } else { Some(decode_address(reader)?) },
        })
    }
}
