//! What the replicator of one core asks of the floor above.

use super::wire::Message;
use crate::manifest::Manifest;
use crate::merkle::{LoadedNodes, Proof, TreeIndex, Verified};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range;

/// One channel: this core on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// Names a load, so that its rows find their way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadId(pub u64);

/// One thing local callers want; chosen by the floor above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DemandId(pub u64);

/// Rows to read; all at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Tree nodes.
    pub nodes: Vec<TreeIndex>,
    /// Blocks.
    pub blocks: Vec<u64>,
}

/// Rows that were read; what is absent is not stored.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Tree nodes.
    pub nodes: LoadedNodes,
    /// Blocks.
    pub blocks: BTreeMap<u64, Bytes>,
    /// The store could not be read at all.
    pub failed: bool,
}

/// A change that was stored and is now published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Set when the log was cut: blocks both histories share.
    pub truncated_to: Option<u64>,
    /// Blocks before the change.
    pub old_length: u64,
    /// Set when the length grew: the length before (after the cut, if any).
    pub grew_from: Option<u64>,
    /// Blocks that are stored now and were not before.
    pub added: Vec<Range<u64>>,
    /// The block by which the log grew, as it is stored, when it grew by one.
    pub newest: Option<Bytes>,
    /// Blocks that were dropped by a clear.
    pub cleared: Option<Range<u64>>,
    /// The manifest became known.
    pub manifest: bool,
    /// Two histories were found: the core was frozen.
    pub frozen: bool,
    /// Set when the change came from that peer's data.
    pub from: Option<PeerId>,
}

/// What a demand came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemandResult {
    /// Everything asked for is stored (blocks, range), or the nodes of a seek are: look again.
    Ready,
    /// An upgrade was looked for: whether the length grew.
    Upgraded(bool),
    /// Nobody can answer it any more (past the end, for instance).
    Impossible,
}

/// An effect, to be carried out in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send on this peer's channel. Several in one drain may travel as one batch.
    Send {
        /// To whom.
        peer: PeerId,
        /// What.
        message: Message,
    },
    /// Read these rows and answer with `Replicator::on_loaded`.
    Load {
        /// Comes back.
        id: LoadId,
        /// What.
        load: Load,
    },
    /// Store what was verified; answered by `on_committed` (with `from`) or `on_rejected`.
    Accept {
        /// From whom.
        peer: PeerId,
        /// Nodes, blocks, a longer tree.
        verified: Verified,
        /// The manifest, when it was not known.
        manifest: Option<Manifest>,
    },
    /// Cut our tree to `ancestors` blocks and go on with the peer's newer, verified fork.
    Reorg {
        /// From whom.
        peer: PeerId,
        /// Blocks both histories share.
        ancestors: u64,
        /// The newer fork's tree, with its signature.
        verified: Verified,
    },
    /// Two valid signatures over different histories: freeze the core.
    Conflict {
        /// Who showed it.
        peer: PeerId,
        /// Fork of both.
        fork: u64,
        /// Length of both.
        length: u64,
        /// The other history's proof.
        proof: Proof,
    },
    /// Close this peer's channel; it may be opened again later.
    CloseChannel {
        /// Whose.
        peer: PeerId,
    },
    /// Open a channel again to every connection that has none (we want data after an idle close).
    Reopen,
    /// The peer broke the protocol: close its connection.
    Fail {
        /// Whose.
        peer: PeerId,
        /// Names the fault.
        reason: String,
    },
    /// A demand is over.
    Done {
        /// Which.
        demand: DemandId,
        /// How.
        result: DemandResult,
    },
    /// Tell callers: the peer's data was not true and was dropped.
    VerificationFailed {
        /// Whose.
        peer: PeerId,
        /// Names the fault.
        reason: String,
    },
    /// Tell callers: a block was sent.
    Uploaded {
        /// To whom.
        peer: PeerId,
        /// Block index.
        index: u64,
        /// Bytes.
        byte_length: usize,
    },
    /// Tell callers: the longest contiguous length any peer has said.
    RemoteContiguousLength(u64),
    /// Tell callers: an extension message.
    Extension {
        /// From whom.
        peer: PeerId,
        /// Its name.
        name: String,
        /// Its payload.
        payload: Bytes,
    },
}
