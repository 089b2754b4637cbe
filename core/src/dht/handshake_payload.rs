//! What the two sides tell each other inside the handshake (`hyperdht/lib/messages.js`, `noisePayload`).

use super::address::{
    decode_address, decode_addresses, decode_addresses_v6, encode_address, encode_addresses, encode_addresses_v6,
};
use super::command::{Firewall, PeerError};
use super::datagram::flag;
use crate::crypto::{Hash, PublicKey};
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use alloc::vec::Vec;
use core::net::{SocketAddrV4, SocketAddrV6};

/// What a side tells of itself in its handshake message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandshakePayload {
    /// Must be [`HandshakePayload::VERSION`]; of another version nothing else was read.
    pub version: u64,
    /// Why the other side cannot connect, if so.
    pub error: PeerError,
    /// The sender's NAT.
    pub firewall: Firewall,
    /// How to punch a hole towards the sender; absent when none is needed.
    pub holepunch: Option<HolepunchInfo>,
    /// Where the sender listens, its local addresses included.
    pub addresses4: Vec<SocketAddrV4>,
    /// The same over IPv6.
    pub addresses6: Vec<SocketAddrV6>,
    /// The sender's end of the UDX stream.
    pub udx: Option<UdxInfo>,
    /// That a secret-stream runs on it.
    pub secret_stream: Option<SecretStreamInfo>,
    /// The blind relay the sender wants to meet at.
    pub relay_through: Option<RelayThrough>,
    /// Nodes that pass handshakes to the sender, for the next time.
    pub relay_addresses: Option<Vec<SocketAddrV4>>,
}

/// How to punch a hole towards a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolepunchInfo {
    /// Names this handshake in the words that follow.
    pub id: u64,
    /// Nodes that pass words on hole punching to the server.
    pub relays: Vec<RelayInfo>,
}

/// A node that passes messages on to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayInfo {
    /// The node.
    pub relay_address: SocketAddrV4,
    /// The server as that node sees it.
    pub peer_address: SocketAddrV4,
}

/// One end of a UDX stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdxInfo {
    /// 1.
    pub version: u64,
    /// The socket may serve later connections too.
    pub reusable_socket: bool,
    /// The stream's id at the sender.
    pub id: u64,
    /// 0.
    pub seq: u64,
}

/// That a secret-stream follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretStreamInfo {
    /// 1.
    pub version: u64,
}

/// A meeting at a blind relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayThrough {
    /// 1.
    pub version: u64,
    /// The relay's key.
    pub public_key: PublicKey,
    /// What both sides name there to be paired; a secret.
    pub token: Hash,
}

impl HandshakePayload {
    /// The version this is.
    pub const VERSION: u64 = 1;
}

impl Encode for HandshakePayload {
    fn encode(&self, writer: &mut Writer) {
        let flags = flag(self.holepunch.is_some(), 1)
            | flag(!self.addresses4.is_empty(), 2)
            | flag(!self.addresses6.is_empty(), 4)
            | flag(self.udx.is_some(), 8)
            | flag(self.secret_stream.is_some(), 16)
            | flag(self.relay_through.is_some(), 32)
            | flag(self.relay_addresses.is_some(), 64);
        writer.uint(Self::VERSION);
        writer.u8(flags);
        writer.uint(self.error.number());
        writer.uint(self.firewall.number());
        self.holepunch.iter().for_each(|info| info.encode(writer));
        if !self.addresses4.is_empty() {
            encode_addresses(writer, &self.addresses4);
        }
        if !self.addresses6.is_empty() {
            encode_addresses_v6(writer, &self.addresses6);
        }
        self.udx.iter().for_each(|info| info.encode(writer));
        self.secret_stream.iter().for_each(|_| writer.uint(1));
        self.relay_through.iter().for_each(|info| info.encode(writer));
        self.relay_addresses.iter().for_each(|addresses| encode_addresses(writer, addresses));
    }
}

impl Decode for HandshakePayload {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.uint("handshake version")?;
        if version != Self::VERSION {
            return Ok(Self { version, ..Self::default() });
        }
        let flags = reader.uint("handshake flags")?;
        Ok(Self {
            version,
            error: PeerError::from_number(reader.uint("handshake error")?),
            firewall: Firewall::from_number(reader.uint("firewall")?),
            holepunch: optional(reader, flags & 1, HolepunchInfo::decode)?,
            addresses4: optional(reader, flags & 2, decode_addresses)?.unwrap_or_default(),
            addresses6: optional(reader, flags & 4, decode_addresses_v6)?.unwrap_or_default(),
            udx: optional(reader, flags & 8, UdxInfo::decode)?,
            secret_stream: optional(reader, flags & 16, |reader| {
                Ok(SecretStreamInfo { version: reader.uint("secret-stream version")? })
            })?,
            relay_through: optional(reader, flags & 32, RelayThrough::decode)?,
            relay_addresses: optional(reader, flags & 64, decode_addresses)?,
        })
    }
}

impl HolepunchInfo {
    fn encode(&self, writer: &mut Writer) {
        writer.uint(self.id);
        writer.count(self.relays.len());
        for relay in &self.relays {
            encode_address(writer, &relay.relay_address);
            encode_address(writer, &relay.peer_address);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = reader.uint("handshake id")?;
        let count = reader.count(12, "relays")?;
        let relay = |reader: &mut Reader<'_>| {
            Ok(RelayInfo { relay_address: decode_address(reader)?, peer_address: decode_address(reader)? })
        };
        let relays = (0..count).map(|_| relay(reader)).collect::<Result<_, _>>()?;
        Ok(Self { id, relays })
    }
}

impl UdxInfo {
    fn encode(&self, writer: &mut Writer) {
        writer.uint(1);
        writer.u8(flag(self.reusable_socket, 1));
        writer.uint(self.id);
        writer.uint(self.seq);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: reader.uint("UDX version")?,
            reusable_socket: reader.uint("UDX features")? & 1 != 0,
            id: reader.uint("UDX stream id")?,
            seq: reader.uint("UDX sequence number")?,
        })
    }
}

impl RelayThrough {
    fn encode(&self, writer: &mut Writer) {
        writer.uint(1);
        writer.u8(0);
        writer.raw(self.public_key.as_ref());
        writer.raw(self.token.as_ref());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.uint("relay version")?;
        reader.uint("relay flags")?;
        let public_key = PublicKey(reader.array("relay's key")?);
        Ok(Self { version, public_key, token: Hash(reader.array("relay's token")?) })
    }
}

fn optional<'a, T>(
    reader: &mut Reader<'a>,
    flag: u64,
    decode: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    if flag == 0 { Ok(None) } else { decode(reader).map(Some) }
}
