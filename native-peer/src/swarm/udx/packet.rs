//! One datagram: a 20-byte little-endian header, selective acknowledgements or padding, payload.
//!
//! Bytes after libudx `include/udx.h` and `src/udx.c` (`udx_write_header`, `process_packet`): magic 0xff, version 1,
//! kind bits, data offset, receiver's stream id, receive window, sequence number (of the packet, not of a byte),
//! acknowledgement (the next sequence number wanted).

use core::ops::BitOr;

/// Bytes of a header.
pub const HEADER_SIZE: usize = 20;
/// Ranges a packet carries at most. The reference sends 50 and takes as many as a packet holds; more of them tell a
/// sender with thousands of packets in flight which ones are lost.
pub const MAX_SACKS: usize = 140;

/// What a packet carries: any of the bits below, or none (a bare acknowledgement).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    /// Nothing but the header's acknowledgement.
    pub const ACK: Self = Self(0);
    /// Bytes of the ordered stream.
    pub const DATA: Self = Self(1);
    /// The ordered stream ends with this packet.
    pub const END: Self = Self(2);
    /// Ranges received ahead of the acknowledgement.
    pub const SACK: Self = Self(4);
    /// An unordered, unreliable message.
    pub const MESSAGE: Self = Self(8);
    /// The stream is reset.
    pub const DESTROY: Self = Self(16);
    /// Wants an acknowledgement, carries nothing.
    pub const HEARTBEAT: Self = Self(32);

    /// Whether any bit of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the packet takes a place in the ordered stream.
    pub const fn is_ordered(self) -> bool {
        self.0 & (Self::DATA.0 | Self::END.0) != 0
    }
}

impl BitOr for Kind {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The fixed part of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// What the packet carries.
    pub kind: Kind,
    /// Bytes between header and payload: padding of an MTU probe, or ranges. 0 with [`Kind::SACK`] means that all
    /// that follows is ranges.
    pub data_offset: u8,
    /// The stream, by its id at the receiver.
    pub stream: u32,
    /// Bytes the sender is ready to receive beyond `ack`.
    pub window: u32,
    /// Number of this packet in the ordered stream, or of the next one when this packet is not part of it.
    pub seq: u32,
    /// Number of the first packet of the other direction that has not arrived.
    pub ack: u32,
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let (head, words) = bytes.split_at_mut(4);
        head.copy_from_slice(&[MAGIC, VERSION, self.kind.0, self.data_offset]);
        for (slot, word) in words.chunks_exact_mut(4).zip([self.stream, self.window, self.seq, self.ack]) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// A datagram taken apart; borrows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The fixed part.
    pub header: Header,
    sacks: &'a [u8],
    /// What follows the ranges or the padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Whether `datagram` starts as a UDX packet does; it may still be malformed.
    pub fn is_udx(datagram: &[u8]) -> bool {
        datagram.len() >= HEADER_SIZE && datagram.starts_with(&[MAGIC, VERSION])
    }

    /// Takes a datagram apart; `None` when it is no UDX packet or its data offset points past its end.
    pub fn decode(datagram: &'a [u8]) -> Option<Self> {
        let (head, rest) = datagram.split_first_chunk::<HEADER_SIZE>()?;
        let [MAGIC, VERSION, kind, data_offset, words @ ..] = *head else {
            return None;
        };
        let mut words = words.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap_or_default()));
        let mut word = || words.next().unwrap_or_default();
        let header = Header { kind: Kind(kind), data_offset, stream: word(), window: word(), seq: word(), ack: word() };
        let (between, payload) = match (header.kind.has(Kind::SACK), data_offset) {
            (true, 0) => (rest, &[][..]),
            _ => rest.split_at_checked(usize::from(data_offset))?,
        };
        let sacks = if header.kind.has(Kind::SACK) { between } else { &[] };
        Some(Self { header, sacks, payload })
    }

    /// The ranges (first, one past the last), at most [`MAX_SACKS`]; unchecked claims of the peer.
    pub fn sacks(&self) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        let (pairs, _) = self.sacks.as_chunks::<8>();
        pairs.iter().take(MAX_SACKS).map(|[a, b, c, d, e, f, g, h]| {
            (u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes([*e, *f, *g, *h]))
        })
    }
}

/// The full number whose low 32 bits are `wire`, the one nearest to `near`; `None` when that would be negative.
pub(super) fn expand(wire: u32, near: u64) -> Option<u64> {
    near.checked_add_signed(i64::from(wire.wrapping_sub(low_bits(near)).cast_signed()))
}

/// The low 32 bits, as they are sent.
pub(super) fn low_bits(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default()
}

const MAGIC: u8 = 0xff;
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Header {
        Header {
            kind: Kind::DATA | Kind::END,
            data_offset: 0,
            stream: 0x2222_2222,
            window: 4 << 20,
            seq: 7,
            ack: u32::MAX,
        }
    }

    #[test]
    fn header_bytes_are_the_references() {
        let bytes = sample().encode();
        assert_eq!(bytes, *b"\xff\x01\x03\x00\x22\x22\x22\x22\x00\x00\x40\x00\x07\x00\x00\x00\xff\xff\xff\xff");
        assert_eq!(Packet::decode(&bytes).unwrap().header, sample());
    }

    #[test]
    fn every_truncation_is_refused() {
        let mut bytes = Header { data_offset: 3, ..sample() }.encode().to_vec();
        bytes.extend([0, 0, 0]);
        for length in 0..bytes.len() {
            assert_eq!(Packet::decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(Packet::decode(&bytes).unwrap().payload, b"");
    }

    #[test]
    fn ranges_fill_the_rest_or_the_data_offset() {
        let ranges = [1u32, 2, 5, 9].map(u32::to_le_bytes).concat();
        let all = [&Header { kind: Kind::SACK, ..sample() }.encode()[..], &ranges].concat();
        assert_eq!(Packet::decode(&all).unwrap().sacks().collect::<Vec<_>>(), [(1, 2), (5, 9)]);
        let header = Header { kind: Kind::SACK | Kind::DATA, data_offset: 8, ..sample() };
        let part = [&header.encode()[..], &ranges].concat();
        let packet = Packet::decode(&part).unwrap();
        assert_eq!(packet.sacks().collect::<Vec<_>>(), [(1, 2)]);
        assert_eq!(packet.payload, &ranges[8..]);
    }

    #[test]
    fn padding_is_not_payload_and_not_ranges() {
        let header = Header { kind: Kind::DATA, data_offset: 16, ..sample() };
        let bytes = [&header.encode()[..], &[0; 16], b"block"].concat();
        let packet = Packet::decode(&bytes).unwrap();
        assert_eq!((packet.sacks().count(), packet.payload), (0, &b"block"[..]));
    }

    #[test]
    fn numbers_expand_across_the_wrap() {
        assert_eq!(expand(1, u64::from(u32::MAX)), Some((1 << 32) + 1));
        assert_eq!(expand(u32::MAX, 1 << 32), Some((1 << 32) - 1));
        assert_eq!(expand(u32::MAX, 0), None);
    }

    proptest! {
        #[test]
        fn decoding_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            if let Some(packet) = Packet::decode(&bytes) {
                prop_assert!(packet.sacks().count() <= MAX_SACKS);
                prop_assert!(packet.payload.len() + HEADER_SIZE <= bytes.len());
            }
        }

        #[test]
        fn headers_round_trip(kind in 0u8..64, stream: u32, window: u32, seq: u32, ack: u32) {
            let header = Header { kind: Kind(kind), data_offset: 0, stream, window, seq, ack };
            prop_assert_eq!(Packet::decode(&header.encode()).unwrap().header, header);
        }

        #[test]
        fn expansion_undoes_truncation(number in 0u64..1 << 40, distance in -0x7fff_ffffi64..0x7fff_ffff) {
            if let Some(other) = number.checked_add_signed(distance) {
                prop_assert_eq!(expand(low_bits(other), number), Some(other));
            }
        }
    }
}
