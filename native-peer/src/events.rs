//! What subscribers hear.

use crate::subscription::Lagging;
use bytes::Bytes;
use corestore_core::corestore::{CloseReason, ConnectionId, Event};
use corestore_core::crypto::{DiscoveryKey, PublicKey};
use std::ops::Range;

/// Something that happened to a core. Lengths are in blocks unless named otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CoreEvent {
    /// The log grew.
    Appended {
        /// Blocks.
        length: u64,
        /// Bytes, with encryption padding.
        byte_length: u64,
    },
    /// The log was cut, and goes on as another fork.
    Truncated {
        /// Blocks that stay.
        length: u64,
        /// The new fork.
        fork: u64,
    },
    /// A block arrived, was verified, and is stored.
    Downloaded {
        /// Block index.
        index: u64,
        /// Bytes as stored.
        byte_length: usize,
        /// From which connection.
        connection: ConnectionId,
    },
    /// A block was sent to a peer.
    Uploaded {
        /// Block index.
        index: u64,
        /// Bytes as stored.
        byte_length: usize,
        /// To which connection.
        connection: ConnectionId,
    },
    /// Stored blocks were dropped.
    Cleared {
        /// Block indexes.
        range: Range<u64>,
    },
    /// The core left the store, and every handle of it was closed.
    Purged,
    /// A peer began to replicate this core.
    PeerAdded {
        /// On which connection.
        connection: ConnectionId,
        /// Who.
        public_key: PublicKey,
    },
    /// A peer stopped.
    PeerRemoved {
        /// On which connection.
        connection: ConnectionId,
    },
    /// A peer sent something untrue; nothing of it was stored.
    VerificationFailed {
        /// From which connection.
        connection: ConnectionId,
        /// Names the fault.
        reason: String,
    },
    /// Two signed histories exist: the core is frozen.
    Conflicted {
        /// The length both signed.
        length: u64,
        /// The fork both signed.
        fork: u64,
    },
    /// The longest contiguous length of a peer changed.
    RemoteContiguousLength {
        /// Blocks.
        length: u64,
    },
    /// A peer's extension message.
    Extension {
        /// The extension's name.
        name: String,
        /// What it said.
        payload: Bytes,
        /// From which connection.
        connection: ConnectionId,
    },
    /// This subscriber was too slow for so many events, all of them progress.
    Lagged {
        /// Events missed.
        missed: u64,
    },
}

/// Something that happened to a store as a whole.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreEvent {
    /// A connection finished its handshake.
    Connected {
        /// Which.
        connection: ConnectionId,
        /// The peer's key on this stream.
        public_key: PublicKey,
    },
    /// A connection is over.
    Disconnected {
        /// Which.
        connection: ConnectionId,
        /// Names the fault, if there was one.
        reason: CloseReason,
    },
    /// A peer asked for a core that is not stored here.
    UnknownDiscoveryKey {
        /// On which connection.
        connection: ConnectionId,
        /// Which core.
        discovery_key: DiscoveryKey,
    },
    /// This subscriber was too slow for so many events, all of them about unknown cores.
    Lagged {
        /// Events missed.
        missed: u64,
    },
}

impl Lagging for CoreEvent {
    fn is_progress(&self) -> bool {
        !matches!(self, Self::Truncated { .. } | Self::Conflicted { .. } | Self::Cleared { .. } | Self::Purged)
    }

    fn lagged(missed: u64) -> Self {
        Self::Lagged { missed }
    }
}

impl Lagging for StoreEvent {
    fn is_progress(&self) -> bool {
        matches!(self, Self::UnknownDiscoveryKey { .. })
    }

    fn lagged(missed: u64) -> Self {
        Self::Lagged { missed }
    }
}

/// Who is to hear of an event.
pub(crate) enum Told {
    Core(DiscoveryKey, CoreEvent),
    Store(StoreEvent),
    Nothing,
}

/// A machine's event as subscribers get it.
pub(crate) fn translate(event: Event) -> Told {
    let (core, event) = match event {
        Event::Appended { core, length, byte_length } => (core, CoreEvent::Appended { length, byte_length }),
        Event::Truncated { core, length, fork } => (core, CoreEvent::Truncated { length, fork }),
        Event::Downloaded { core, index, byte_length, connection } => {
            (core, CoreEvent::Downloaded { index, byte_length, connection })
        }
        Event::Uploaded { core, index, byte_length, connection } => {
            (core, CoreEvent::Uploaded { index, byte_length, connection })
        }
        Event::Cleared { core, range } => (core, CoreEvent::Cleared { range }),
        Event::Purged { core } => (core, CoreEvent::Purged),
        Event::PeerAdded { core, connection, public_key } => (core, CoreEvent::PeerAdded { connection, public_key }),
        Event::PeerRemoved { core, connection } => (core, CoreEvent::PeerRemoved { connection }),
        Event::VerificationFailed { core, connection, reason } => {
            (core, CoreEvent::VerificationFailed { connection, reason })
        }
        Event::Conflicted { core, length, fork } => (core, CoreEvent::Conflicted { length, fork }),
        Event::RemoteContiguousLength { core, length } => (core, CoreEvent::RemoteContiguousLength { length }),
        Event::Extension { core, connection, name, payload } => {
            (core, CoreEvent::Extension { name, payload, connection })
        }
        Event::Connected { connection, public_key } => {
            return Told::Store(StoreEvent::Connected { connection, public_key });
        }
        Event::Disconnected { connection, reason } => {
            return Told::Store(StoreEvent::Disconnected { connection, reason });
        }
        Event::UnknownDiscoveryKey { connection, discovery_key } => {
            return Told::Store(StoreEvent::UnknownDiscoveryKey { connection, discovery_key });
        }
        Event::Resolved { .. } => return Told::Nothing,
    };
    Told::Core(core, event)
}
