//! One connection: the encrypted stream with the mux on it. Bytes in, channel events out.

use crate::crypto::{DiscoveryKey, PublicKey};
use crate::protomux::{ChannelId, Mux, MuxError, MuxEvent, MuxLimits};
use crate::stream::{SecretStream, StreamError, StreamEvent};
use crate::time::Instant;
use bytes::Bytes;
use core::fmt;

/// Why a connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionError {
    Stream(StreamError),
    Mux(MuxError),
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => error.fmt(f),
            Self::Mux(error) => error.fmt(f),
        }
    }
}

/// What happens on a connection.
#[derive(Debug)]
pub(super) enum ConnectionEvent {
    Transmit(Bytes),
    Connected { remote: PublicKey, handshake_hash: [u8; 64] },
    Pair(DiscoveryKey),
    Opened { channel: ChannelId, handshake: Bytes },
    Message { channel: ChannelId, kind: u64, payload: Bytes },
    Closed { channel: ChannelId },
}

/// Stream and mux of one connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: SecretStream,
    mux: Mux,
}

impl Connection {
    pub(super) fn new(stream: SecretStream) -> Self {
        Self { stream, mux: Mux::new(MuxLimits::default(), &[("hypercore", PROTOCOL)]) }
    }

    pub(super) fn handle_bytes(&mut self, now: Instant, bytes: &Bytes) -> Result<(), ConnectionError> {
        self.stream.handle_bytes(now, bytes).map_err(ConnectionError::Stream)
    }

    /// The next event; a message that breaks the mux's rules ends the connection.
    pub(super) fn poll_event(&mut self) -> Result<Option<ConnectionEvent>, ConnectionError> {
        loop {
            while let Some(event) = self.mux.poll_event() {
                if let Some(event) = self.mux_event(event) {
                    return Ok(Some(event));
                }
            }
            match self.stream.poll_event() {
                None => return Ok(None),
                Some(StreamEvent::Transmit(bytes)) => return Ok(Some(ConnectionEvent::Transmit(bytes))),
                Some(StreamEvent::Connected { remote, handshake_hash }) => {
                    return Ok(Some(ConnectionEvent::Connected { remote, handshake_hash }));
                }
                Some(StreamEvent::Message(message)) => {
                    self.mux.handle_message(&message).map_err(ConnectionError::Mux)?;
                }
            }
        }
    }

    fn mux_event(&mut self, event: MuxEvent) -> Option<ConnectionEvent> {
        match event {
            MuxEvent::Transmit(frame) => {
                self.stream.send(&frame);
                None
            }
            MuxEvent::Pair { protocol, id } => {
                let core = id.as_deref().and_then(|id| id.try_into().ok()).map(DiscoveryKey);
                match core {
                    Some(core) if protocol == PROTOCOL => Some(ConnectionEvent::Pair(core)),
                    _ => {
                        self.mux.reject(&protocol, id.as_deref());
                        None
                    }
                }
            }
            MuxEvent::Opened { channel, handshake } => Some(ConnectionEvent::Opened { channel, handshake }),
            MuxEvent::Message { channel, kind, payload } => Some(ConnectionEvent::Message { channel, kind, payload }),
            MuxEvent::Closed { channel } => Some(ConnectionEvent::Closed { channel }),
        }
    }

    pub(super) fn open(&mut self, core: &DiscoveryKey, handshake: &[u8]) -> Option<ChannelId> {
        self.mux.open(PROTOCOL, Some(core.as_ref()), handshake)
    }

    pub(super) fn reject(&mut self, core: &DiscoveryKey) {
        self.mux.reject(PROTOCOL, Some(core.as_ref()));
    }

    pub(super) fn send(&mut self, channel: ChannelId, kind: u64, payload: &[u8]) {
        self.mux.send(channel, kind, payload);
    }

    pub(super) fn close(&mut self, channel: ChannelId) {
        self.mux.close(channel);
    }

    pub(super) fn cork(&mut self) {
        self.mux.cork();
    }

    pub(super) fn uncork(&mut self) {
        self.mux.uncork_gathered();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.stream.deadline()
    }

    pub(super) fn handle_deadline(&mut self, now: Instant) -> Result<(), ConnectionError> {
        self.stream.handle_deadline(now).map_err(ConnectionError::Stream)
    }
}

/// The protocol every core's channel speaks.
const PROTOCOL: &str = "hypercore/alpha";
