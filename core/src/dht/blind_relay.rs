//! The two messages of the protocol `blind-relay` (`blind-relay/index.js`).

use crate::crypto::Hash;
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};

/// Asks a relay to join this stream with the one of the same token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// One side of the two is.
    pub initiator: bool,
    /// Known to both sides only.
    pub token: Hash,
    /// The sender's UDX stream.
    pub stream: u64,
    /// 0.
    pub seq: u64,
}

/// Asks a relay to forget a pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpair {
    /// The pairing's.
    pub token: Hash,
}

impl Encode for Pair {
    fn encode(&self, writer: &mut Writer) {
        writer.u8(u8::from(self.initiator));
        writer.raw(self.token.as_ref());
        writer.uint(self.stream);
        writer.uint(self.seq);
    }
}

impl Decode for Pair {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            initiator: reader.u8("pairing flags")? & 1 != 0,
            token: Hash(reader.array("pairing token")?),
            stream: reader.uint("stream id")?,
            seq: reader.uint("sequence number")?,
        })
    }
}

impl Encode for Unpair {
    fn encode(&self, writer: &mut Writer) {
        writer.u8(0);
        writer.raw(self.token.as_ref());
    }
}

impl Decode for Unpair {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u8("pairing flags")?;
        Ok(Self { token: Hash(reader.array("pairing token")?) })
    }
}
