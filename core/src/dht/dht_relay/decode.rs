//! From bytes to messages: strictly. Bytes behind a message, a claimed length and a chunk too many are refused.

use super::encode::{COMPLETE, CUSTODIAL, ERROR, INITIATOR, PAIRED};
use super::message::{DhtRelayMessage, NoiseProgress, StreamAlias};
use crate::crypto::{Hash, PublicKey, Signature};
use crate::dht::{HolepunchKey, decode_address, decode_addresses};
use crate::encoding::{DecodeError, Reader};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhtRelayError {
    /// The bytes are no such message.
    Malformed {
        /// The message's number.
        kind: u64,
        /// What is wrong.
        error: DecodeError,
    },
    /// The message hands over a secret key, or is of a relay that has it. The rest of it is not read.
    Custodial {
        /// The message's number.
        kind: u64,
    },
    /// There is no message of this number.
    Unknown {
        /// The number.
        kind: u64,
    },
}

impl fmt::Display for DhtRelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { kind, error } => write!(f, "dht-relay message {kind}: {error}"),
            Self::Custodial { kind } => {
                write!(f, "dht-relay message {kind} is custodial: keep the secret key, connect with custodial: false")
            }
            Self::Unknown { kind } => write!(f, "there is no dht-relay message {kind}"),
        }
    }
}

impl core::error::Error for DhtRelayError {}

impl DhtRelayMessage {
    /// Reads the message with this number. Chunks and payloads share the memory of `bytes`.
    ///
    /// # Errors
    /// [`DhtRelayError`].
    pub fn decode(kind: u64, bytes: &Bytes) -> Result<Self, DhtRelayError> {
        let mut source = Source { bytes, reader: Reader::new(bytes) };
        if FLAGGED.contains(&kind) {
            let flags = source.reader.u8("flags").map_err(|error| DhtRelayError::Malformed { kind, error })?;
            if flags & CUSTODIAL != 0 {
                return Err(DhtRelayError::Custodial { kind });
            }
        }
        let message = source.message(kind).map_err(|error| DhtRelayError::Malformed { kind, error })?;
        match message {
            Some(message) if source.reader.is_empty() => Ok(message),
            Some(_) => {
                Err(DhtRelayError::Malformed { kind, error: source.reader.error("message: bytes follow its end") })
            }
            None => Err(DhtRelayError::Unknown { kind }),
        }
    }
}

/// A reader that remembers whose memory it reads.
struct Source<'a> {
    bytes: &'a Bytes,
    reader: Reader<'a>,
}

impl Source<'_> {
    fn message(&mut self, kind: u64) -> Result<Option<DhtRelayMessage>, DecodeError> {
        use DhtRelayMessage as M;
        Ok(Some(match kind {
            0 => M::Handshake { public_key: self.key()? },
            1 => M::Ping,
            2 => M::Pong,
            3 => M::Connect { alias: self.id()?, public_key: self.key()?, remote_public_key: self.key()? },
            4 => M::Connection {
                alias: self.id()?,
                server_alias: self.id()?,
                remote_public_key: self.key()?,
                handshake: self.id()?,
            },
            5 => M::Connected { alias: self.id()?, remote_alias: self.id()? },
            6 => M::Incoming {
                id: self.id()?,
                server_alias: self.id()?,
                remote_public_key: self.key()?,
                payload: self.payload()?,
            },
            7 => M::Deny { id: self.id()? },
            8 => M::Accept { id: self.id()? },
            9 => self.destroy()?,
            10 => M::Listen { alias: self.id()?, public_key: self.key()? },
            11 => {
                M::Listening { alias: self.id()?, remote_alias: self.id()?, address: decode_address(&mut self.reader)? }
            }
            12 => M::Close { alias: self.id()? },
            13 => M::Closed { alias: self.id()? },
            14 => M::Open { alias: self.id()?, remote_alias: self.id()?, handshake: self.id()? },
            15 => M::End { alias: self.id()? },
            16 => M::Data { alias: self.id()?, data: self.chunks()? },
            17 => M::Result { id: self.id()?, data: self.payload()? },
            18 => M::Finished { id: self.id()? },
            19 => M::Lookup { id: self.id()?, topic: self.hash("topic")? },
            20 => M::Announce { id: self.id()?, topic: self.hash("topic")?, public_key: self.key()? },
            21 => M::Unannounce { id: self.id()?, topic: self.hash("topic")?, public_key: self.key()? },
            22 | 23 => self.signable(kind == 23)?,
            24 => M::Signature { id: self.id()?, signature: self.signature()? },
            25 => {
                let called = self.reader.u8("flags")? & INITIATOR != 0;
                M::NoiseSend {
                    id: self.id()?,
                    stream: if called { Some(self.id()?) } else { None },
                    payload: self.payload()?,
                }
            }
            26 => {
                let called = self.reader.u8("flags")? & INITIATOR != 0;
                M::NoiseReceive {
                    id: self.id()?,
                    server: if called { None } else { Some(self.id()?) },
                    payload: self.payload()?,
                }
            }
            27 => self.noise_reply()?,
            _ => return Ok(None),
        }))
    }

    fn destroy(&mut self) -> Result<DhtRelayMessage, DecodeError> {
        let flags = self.reader.u8("flags")?;
        let alias = self.id()?;
        let stream = if flags & PAIRED == 0 { StreamAlias::Receiver(alias) } else { StreamAlias::Sender(alias) };
        let error = if flags & ERROR == 0 { None } else { Some(self.reader.string("reason")?) };
        Ok(DhtRelayMessage::Destroy { stream, error: error.filter(|error| !error.is_empty()) })
    }

    fn chunks(&mut self) -> Result<Vec<Bytes>, DecodeError> {
        let count = self.reader.count(1, "chunks")?;
        if count > MAX_CHUNKS {
            return Err(self.reader.error("chunks: too many"));
        }
        (0..count).map(|_| self.payload()).collect()
    }

    fn signable(&mut self, unannounce: bool) -> Result<DhtRelayMessage, DecodeError> {
        let (id, signee, token) = (self.id()?, self.id()?, self.hash("token")?);
        let node = <[u8; 32]>::try_from(self.reader.buffer("node id")?).map_err(|_| self.reader.error("node id"))?;
        let (node, relay_addresses) = (Hash(node), decode_addresses(&mut self.reader)?);
        Ok(match unannounce {
            false => DhtRelayMessage::SignAnnounce { id, signee, token, node, relay_addresses },
            true => DhtRelayMessage::SignUnannounce { id, signee, token, node, relay_addresses },
        })
    }

    fn signature(&mut self) -> Result<Option<Signature>, DecodeError> {
        let given = self.reader.optional_buffer("signature")?;
        let whole = |bytes: &[u8]| <[u8; 64]>::try_from(bytes).map(Signature);
        given.map(whole).transpose().map_err(|_| self.reader.error("signature"))
    }

    fn noise_reply(&mut self) -> Result<DhtRelayMessage, DecodeError> {
        let flags = self.reader.u8("flags")?;
        let (id, payload) = (self.id()?, self.payload()?);
        let initiator = flags & INITIATOR != 0;
        let progress = if flags & COMPLETE != 0 {
            let remote_id = self.hash("remote id")?;
            let holepunch_key = HolepunchKey::new(self.reader.array("hole punching key")?);
            NoiseProgress::Complete { initiator, remote_id, holepunch_key }
        } else if initiator {
            NoiseProgress::Called
        } else {
            NoiseProgress::CalledBy(self.key()?)
        };
        Ok(DhtRelayMessage::NoiseReply { id, payload, progress })
    }

    fn id(&mut self) -> Result<u32, DecodeError> {
        self.reader.u32("id")
    }

    fn key(&mut self) -> Result<PublicKey, DecodeError> {
        self.reader.array("public key").map(PublicKey)
    }

    fn hash(&mut self, what: &'static str) -> Result<Hash, DecodeError> {
        self.reader.array(what).map(Hash)
    }

    fn payload(&mut self) -> Result<Bytes, DecodeError> {
        self.reader.buffer("payload").map(|slice| self.bytes.slice_ref(slice))
    }
}

/// Messages that begin with flags, the first of which says that a secret key follows.
const FLAGGED: [u64; 7] = [0, 3, 4, 10, 14, 20, 21];
/// Chunks in one message: each costs more memory than it claims bytes.
const MAX_CHUNKS: usize = 1 << 16;
