//! A word on hole punching, as it is sealed (`hyperdht/lib/messages.js`, `holepunchPayload`).

use super::address::{decode_address, decode_addresses, encode_address, encode_addresses};
use super::command::{Firewall, PeerError};
use super::datagram::flag;
use crate::crypto::Hash;
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use alloc::vec::Vec;
use core::net::SocketAddrV4;

/// What a side tells the other of its progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HolepunchPayload {
    /// Why it gives up, if so.
    pub error: PeerError,
    /// Its NAT, as far as it knows.
    pub firewall: Firewall,
    /// Counts up; words of an earlier round tell nothing new.
    pub round: u64,
    /// It has a connection.
    pub connected: bool,
    /// It punches, or will when the other does.
    pub punching: bool,
    /// Where its packets come from.
    pub addresses: Option<Vec<SocketAddrV4>>,
    /// Where it sent a first packet to, to open the way.
    pub remote_address: Option<SocketAddrV4>,
    /// To be echoed from the address it was given to.
    pub token: Option<Hash>,
    /// The echo: proof that the sender receives at its address.
    pub remote_token: Option<Hash>,
}

impl Encode for HolepunchPayload {
    fn encode(&self, writer: &mut Writer) {
        let flags = flag(self.connected, 1)
            | flag(self.punching, 2)
            | flag(self.addresses.is_some(), 4)
            | flag(self.remote_address.is_some(), 8)
            | flag(self.token.is_some(), 16)
            | flag(self.remote_token.is_some(), 32);
        writer.u8(flags);
        writer.uint(self.error.number());
        writer.uint(self.firewall.number());
        writer.uint(self.round);
        self.addresses.iter().for_each(|addresses| encode_addresses(writer, addresses));
        self.remote_address.iter().for_each(|address| encode_address(writer, address));
        self.token.iter().chain(&self.remote_token).for_each(|token| writer.raw(token.as_ref()));
    }
}

impl Decode for HolepunchPayload {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = reader.uint("holepunch flags")?;
        let token = |reader: &mut Reader<'_>, bit: u64| {
            if flags & bit == 0 { Ok(None) } else { reader.array("holepunch token").map(|bytes| Some(Hash(bytes))) }
        };
        Ok(Self {
            error: PeerError::from_number(reader.uint("holepunch error")?),
            firewall: Firewall::from_number(reader.uint("firewall")?),
            round: reader.uint("holepunch round")?,
            connected: flags & 1 != 0,
            punching: flags & 2 != 0,
            addresses: if flags & 4 == 0 { None } else { Some(decode_addresses(reader)?) },
            remote_address: if flags & 8 == 0 { None } else { Some(decode_address(reader)?) },
            token: token(reader, 16)?,
            remote_token: token(reader, 32)?,
        })
    }
}
