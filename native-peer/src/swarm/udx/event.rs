//! What a machine tells its owner, and how its operations fail.

use core::net::SocketAddr;
use thiserror::Error;

/// One of the driver's sockets; the driver numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u32);

/// A stream, by the id under which the peer addresses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// The far end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The socket to send from.
    pub socket: SocketId,
    /// Where to send.
    pub address: SocketAddr,
    /// The peer's id of the stream.
    pub id: u32,
}

/// Who may send to a stream from a socket that the stream is not connected on. On its own socket everyone may who
/// knows the id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Firewall {
    /// No one.
    #[default]
    Deny,
    /// Everyone.
    Accept,
    /// Whom the owner lets: [`Event::Firewall`] asks, [`answer_firewall`](super::Udx::answer_firewall) answers.
    Ask,
}

/// Something happened to a stream. Repeated until acted upon only where said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes, or the end, can be read. Told once until [`read`](super::Udx::read) has come up empty.
    Readable(StreamId),
    /// [`write`](super::Udx::write) takes bytes again.
    Writable(StreamId),
    /// An unordered message can be taken. Told once until [`receive_message`](super::Udx::receive_message) has come
    /// up empty.
    Message(StreamId),
    /// The peer has everything, the end included.
    Finished(StreamId),
    /// Nothing is under way to the former remote any more, and the peer speaks from the new one.
    RemoteChanged(StreamId),
    /// Someone sends to this stream. His datagrams are held back, within limits, until
    /// [`answer_firewall`](super::Udx::answer_firewall).
    Firewall {
        /// The stream.
        stream: StreamId,
        /// Where the datagram came in.
        socket: SocketId,
        /// Whence.
        from: SocketAddr,
    },
    /// The stream is closed; what has arrived in order can still be read.
    Closed(StreamId, CloseReason),
}

/// Why a stream is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CloseReason {
    /// Both directions have ended.
    #[error("both sides ended the stream")]
    Finished,
    /// This side destroyed it.
    #[error("this side destroyed the stream")]
    Destroyed,
    /// The peer destroyed it.
    #[error("the peer reset the stream")]
    Reset,
    /// The peer did not answer.
    #[error("connection timed out")]
    TimedOut,
    /// The stream it is relayed with is closed.
    #[error("the other half of the relay closed")]
    RelayClosed,
}

/// Why a stream could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Close some first, or raise [`max_streams`](super::Config::max_streams).
    #[error("{0} streams are open, which is the limit")]
    TooManyStreams(usize),
    /// Choose another id.
    #[error("stream id {} is in use", .0.0)]
    InUse(StreamId),
}

/// Why an operation on a stream failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// Open it first.
    #[error("there is no stream with id {}", .0.0)]
    Unknown(StreamId),
    /// Use [`change_remote`](super::Udx::change_remote).
    #[error("the stream is connected already")]
    AlreadyConnected,
    /// Connect it first.
    #[error("the stream is not connected")]
    NotConnected,
    /// The port of a remote is never 0.
    #[error("{0} has no port")]
    NoPort(SocketAddr),
    /// Nothing can be done with it but reading.
    #[error("the stream is closed: {0}")]
    Closed(CloseReason),
    /// Nothing can be written after the end.
    #[error("the stream has been ended")]
    Ended,
    /// It relays already, or the other is closed.
    #[error("the stream cannot be relayed")]
    CannotRelay,
}

/// Why a message was not queued; nothing of it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The stream is in no state to send.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Send less at once.
    #[error("a message of {size} bytes does not fit in a packet, which takes {limit}")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Bytes that fit.
        limit: usize,
    },
    /// Messages are not kept beyond a limit; send it later or never.
    #[error("the queue of messages is full")]
    QueueFull,
}
