//! IPv4 and IPv6 addresses as they travel (`compact-encoding/net`), and the id a node has by its address
//! (`dht-rpc/lib/peer.js`).

use crate::crypto::{Hash, blake2b};
use crate::encoding::{DecodeError, Reader, Writer};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

/// The id of the node at `address`: the hash of its 6 bytes, as others see it.
pub fn node_id(address: &SocketAddrV4) -> Hash {
    let [low, high] = address.port().to_le_bytes();
    blake2b(&[&address.ip().octets(), &[low, high]])
}

/// Appends 6 bytes: the host, then the port, little endian.
pub fn encode_address(writer: &mut Writer, address: &SocketAddrV4) {
    writer.raw(&address.ip().octets());
    writer.u16(address.port());
}

/// Reads 6 bytes.
///
/// # Errors
/// [`DecodeError`] when the bytes end early.
pub fn decode_address(reader: &mut Reader<'_>) -> Result<SocketAddrV4, DecodeError> {
    let host = Ipv4Addr::from(reader.array::<4>("IPv4 host")?);
    Ok(SocketAddrV4::new(host, reader.u16("port")?))
}

/// Appends a count and so many addresses.
pub fn encode_addresses(writer: &mut Writer, addresses: &[SocketAddrV4]) {
    writer.count(addresses.len());
    addresses.iter().for_each(|address| encode_address(writer, address));
}

/// Reads a count and so many addresses.
///
/// # Errors
/// [`DecodeError`] when more are claimed than there are bytes for.
pub fn decode_addresses(reader: &mut Reader<'_>) -> Result<Vec<SocketAddrV4>, DecodeError> {
    let count = reader.count(6, "addresses")?;
    (0..count).map(|_| decode_address(reader)).collect()
}

pub(super) fn encode_addresses_v6(writer: &mut Writer, addresses: &[SocketAddrV6]) {
    writer.count(addresses.len());
    for address in addresses {
        writer.raw(&address.ip().octets());
        writer.u16(address.port());
    }
}

pub(super) fn decode_addresses_v6(reader: &mut Reader<'_>) -> Result<Vec<SocketAddrV6>, DecodeError> {
    let count = reader.count(18, "IPv6 addresses")?;
    let one = |reader: &mut Reader<'_>| {
        // Words travel big endian, the port little endian.
        let host = Ipv6Addr::from(reader.array::<16>("IPv6 host")?);
        Ok(SocketAddrV6::new(host, reader.u16("port")?, 0, 0))
    };
    (0..count).map(|_| one(reader)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_known_id_and_a_claimed_count() {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 49737);
        let expected = "d1dcf835b0d62b9230c41393cb96a34f5f8b9f814f421ca3382dfc1678022e0e";
        assert_eq!(node_id(&address).to_string(), expected);
        let mut writer = Writer::new();
        encode_addresses(&mut writer, &[address]);
        let mut bytes = writer.into_vec();
        assert_eq!(decode_addresses(&mut Reader::new(&bytes)).unwrap(), [address]);
        bytes[0] = 2;
        assert!(decode_addresses(&mut Reader::new(&bytes)).is_err());
    }
}
