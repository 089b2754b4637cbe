//! What a mux says, what it may refuse, and what a peer may use of our memory.

use crate::encoding::DecodeError;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// A channel of ours; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub(super) u64);

/// Something the mux has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MuxEvent {
    /// Send this as one message of the stream.
    Transmit(Bytes),
    /// The other side opens something nobody here has opened: open it too, or reject it.
    Pair {
        /// Which protocol.
        protocol: String,
        /// Which of it.
        id: Option<Vec<u8>>,
    },
    /// Both sides opened it.
    Opened {
        /// Which.
        channel: ChannelId,
        /// What the other side said with its open.
        handshake: Bytes,
    },
    /// A message.
    Message {
        /// On which channel.
        channel: ChannelId,
        /// Its number.
        kind: u64,
        /// Its payload.
        payload: Bytes,
    },
    /// The other side closed or rejected it.
    Closed {
        /// Which.
        channel: ChannelId,
    },
}

/// The other side broke the rules; the stream must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MuxError {
    /// A frame cannot be read.
    Malformed(DecodeError),
    /// An open frame skips or repeats a channel number.
    InvalidOpen {
        /// The number.
        channel: u64,
    },
    /// A reject names a channel that is not being opened.
    InvalidReject {
        /// The number.
        channel: u64,
    },
    /// Too many opens wait for an answer.
    TooManyOpens,
    /// Too many bytes wait for a channel to open.
    TooMuchBuffered,
}

impl fmt::Display for MuxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "the peer sent a {error}"),
            Self::InvalidOpen { channel } => write!(f, "the peer opened channel {channel} out of turn"),
            Self::InvalidReject { channel } => write!(f, "the peer rejected channel {channel}, which is not opening"),
            Self::TooManyOpens => f.write_str("the peer opens more channels than are answered"),
            Self::TooMuchBuffered => f.write_str("the peer sends too much on channels that are not open"),
        }
    }
}

impl core::error::Error for MuxError {}

impl From<DecodeError> for MuxError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

/// What a peer may use of our memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MuxLimits {
    /// Opens that wait for our answer.
    pub pending_opens: usize,
    /// Channels of the other side at once.
    pub channels: usize,
    /// Bytes of messages that wait for a channel to open.
    pub buffered: usize,
}

impl Default for MuxLimits {
    fn default() -> Self {
        Self { pending_opens: 16_384, channels: 65_536, buffered: 1 << 20 }
    }
}
