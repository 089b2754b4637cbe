//! One core's state in memory: what is published, what is staged behind it, and the commits in between.
//!
//! Every change is made on the staged side and handed out as a [`Commit`]; [`Hypercore::apply`] publishes it once it
//! is stored. Nothing staged is ever told to peers or callers.

use super::bitfield::Bitfield;
use super::change::{Applied, Auth, Change, Commit, CommitId, StoredState};
use super::head::Head;
use crate::crypto::{CoreKey, DiscoveryKey, LazyKeyPair, discovery_key};
use crate::manifest::{Manifest, Verifier, WrongManifest};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// One core's log.
#[derive(Debug)]
pub struct Hypercore {
    key: CoreKey,
    discovery_key: DiscoveryKey,
    pub(super) verifier: Option<Verifier>,
    pub(super) key_pair: Option<LazyKeyPair>,
    published: Tip,
    pub(super) staged: Tip,
    in_flight: VecDeque<InFlight>,
    next_commit: u64,
    /// The store keeps the bitfield in the form of earlier ones.
    old_pages: bool,
}

/// One side of the log: published or staged.
#[derive(Clone, Debug, Default)]
pub(super) struct Tip {
    pub(super) head: Arc<Head>,
    pub(super) bitfield: Bitfield,
    pub(super) contiguous_length: u64,
    pub(super) frozen: bool,
}

impl Tip {
    pub(super) fn stored_state(&self) -> StoredState {
        StoredState { head: Arc::clone(&self.head), contiguous_length: self.contiguous_length, frozen: self.frozen }
    }

    /// Sets or drops the bits of a change, in the order the store does.
    fn replay(&mut self, applied: &Applied, head: Arc<Head>) {
        if let Some(length) = applied.truncated_to {
            self.bitfield.truncate(length);
        }
        for (start, blocks) in &applied.added {
            let end = start.saturating_add(u64::try_from(blocks.len()).unwrap_or(u64::MAX));
            self.bitfield.set_range(*start..end, true);
        }
        if let Some(range) = &applied.cleared {
            self.bitfield.set_range(range.clone(), false);
        }
        self.frozen |= applied.frozen;
        self.head = head;
    }
}

#[derive(Debug)]
struct InFlight {
    id: CommitId,
    applied: Applied,
    head: Arc<Head>,
    contiguous_length: u64,
}

impl Hypercore {
    /// A core that is not stored yet, and the commit that creates it.
    ///
    /// # Errors
    /// [`WrongManifest`] when the manifest in `auth` does not hash to the key.
    pub fn create(auth: Auth) -> Result<(Self, Commit), WrongManifest> {
        let mut core = Self::open(auth.clone(), StoredState::default(), Bitfield::default())?;
        let changes = Vec::from([Change::PutAuth(auth)]);
        let commit = core.stage(changes, Applied::default(), true);
        Ok((core, commit))
    }

    /// A core as it was stored; `bitfield` holds the bits past the contiguous length.
    ///
    /// # Errors
    /// [`WrongManifest`] when the manifest in `auth` does not hash to the key.
    pub fn open(auth: Auth, state: StoredState, mut bitfield: Bitfield) -> Result<Self, WrongManifest> {
        let verifier = auth.manifest.map(|manifest| Verifier::new(manifest, &auth.key)).transpose()?;
        bitfield.set_range(0..state.contiguous_length, true);
        bitfield.truncate(state.head.roots.length);
        let contiguous_length = bitfield.first_unset(0);
        let tip = Tip { head: state.head, bitfield, contiguous_length, frozen: state.frozen };
        Ok(Self {
            discovery_key: discovery_key(&auth.key),
            key: auth.key,
            verifier,
            key_pair: auth.key_pair,
            staged: tip.clone(),
            published: tip,
            in_flight: VecDeque::new(),
            next_commit: 0,
            old_pages: false,
        })
    }

    /// The next commit brings the stored bitfield from the form of earlier stores into today's.
    pub fn carry_over_pages(&mut self) {
        self.old_pages = true;
    }

    /// Lets this core sign with `key_pair` from now on, and the commit that remembers it.
    pub fn set_key_pair(&mut self, key_pair: LazyKeyPair) -> Commit {
        self.key_pair = Some(key_pair);
        let changes = Vec::from([Change::PutAuth(self.auth())]);
        self.stage(changes, Applied::default(), true)
    }

    /// Publishes a commit that was stored. Commits come back in the order they were made; any other order, or a
    /// commit made before [`Hypercore::abandon`], changes nothing and gives `None`.
    pub fn apply(&mut self, id: CommitId) -> Option<Applied> {
        if self.in_flight.front()?.id != id {
            return None;
        }
        let stored = self.in_flight.pop_front()?;
        if self.in_flight.is_empty() {
            // Most cores of a store are at rest most of the time.
            self.in_flight = VecDeque::new();
        }
        self.old_pages = false;
        self.published.replay(&stored.applied, stored.head);
        self.published.contiguous_length = stored.contiguous_length;
        Some(stored.applied)
    }

    /// Drops every commit in flight after a write failed: the staged side falls back to what is stored.
    pub fn abandon(&mut self) {
        if self.in_flight.iter().any(|commit| commit.applied.manifest) {
            // It was learnt with what is dropped; keeping it would mean never to store it.
            self.verifier = None;
        }
        self.in_flight.clear();
        self.staged = self.published.clone();
    }

    /// Hands out a commit; `staged` already shows its result.
    pub(super) fn stage(&mut self, mut changes: Vec<Change>, applied: Applied, durable: bool) -> Commit {
        if self.old_pages {
            changes.push(Change::DeleteOldPages);
            self.part_changes(self.staged.bitfield.parts(0..u64::MAX), &mut changes);
        }
        changes.push(Change::PutState(self.staged.stored_state()));
        let id = CommitId(self.next_commit);
        self.next_commit = self.next_commit.saturating_add(1);
        self.in_flight.push_back(InFlight {
            id,
            applied,
            head: Arc::clone(&self.staged.head),
            contiguous_length: self.staged.contiguous_length,
        });
        Commit { id, changes, durable }
    }

    /// The staged parts of the bitfield in `parts` that hold bits past the contiguous length.
    pub(super) fn part_changes(&self, parts: impl Iterator<Item = u64>, changes: &mut Vec<Change>) {
        for part in parts {
            let end = part.saturating_add(1).saturating_mul(super::bitfield::PART_BITS);
            if end <= self.staged.contiguous_length {
                continue;
            }
            if let Some(bits) = self.staged.bitfield.part(part) {
                changes.push(Change::PutPart { part, bits });
            }
        }
    }

    /// Key.
    pub fn key(&self) -> &CoreKey {
        &self.key
    }

    /// Discovery key.
    pub fn discovery_key(&self) -> &DiscoveryKey {
        &self.discovery_key
    }

    /// The published head.
    pub fn head(&self) -> &Arc<Head> {
        &self.published.head
    }

    /// The head with every commit in flight.
    pub fn staged_head(&self) -> &Head {
        &self.staged.head
    }

    /// Published blocks.
    pub fn bitfield(&self) -> &Bitfield {
        &self.published.bitfield
    }

    /// Published blocks from 0 on without a gap.
    pub fn contiguous_length(&self) -> u64 {
        self.published.contiguous_length
    }

    /// True when block `index` is stored.
    pub fn has(&self, index: u64) -> bool {
        self.published.bitfield.get(index)
    }

    /// True when block `index` is stored or on its way to the store.
    pub fn has_staged(&self, index: u64) -> bool {
        self.staged.bitfield.get(index)
    }

    /// Checks signatures; known with the manifest.
    pub fn verifier(&self) -> Option<&Verifier> {
        self.verifier.as_ref()
    }

    /// The manifest, once known.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.verifier.as_ref().map(Verifier::manifest)
    }

    /// True when we hold a signing key and may use it.
    pub fn is_writable(&self) -> bool {
        self.key_pair.is_some() && !self.published.frozen
    }

    /// True when we hold a signing key, frozen or not.
    pub fn has_key_pair(&self) -> bool {
        self.key_pair.is_some()
    }

    /// True after a conflict.
    pub fn is_frozen(&self) -> bool {
        self.staged.frozen
    }

    /// True when no commit is in flight: staged and published are the same.
    pub fn is_settled(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Who may sign, as stored.
    pub fn auth(&self) -> Auth {
        Auth { key: self.key, manifest: self.manifest().cloned(), key_pair: self.key_pair.clone() }
    }
}

/// Why a log cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogError {
    /// We hold no signing key, or it is none of the manifest's.
    NotWritable,
    /// A block exceeds 15 MiB.
    BlockTooLarge {
        /// Position in the batch.
        position: usize,
        /// Bytes.
        size: usize,
    },
    /// A length or range past the end, or a fork that is not newer.
    OutOfBounds,
    /// A conflict was found: the core takes no change any more.
    Frozen,
    /// The log moved since this change was planned; plan again.
    Moved,
    /// The store lacks a node it must hold.
    MissingNodes,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWritable => f.write_str("this core is read only here: we hold no key that may sign it"),
            Self::BlockTooLarge { position, size } => {
                write!(f, "block {position} of the batch has {size} bytes; a block may have 15 MiB, split it")
            }
            Self::OutOfBounds => f.write_str("the length, range or fork asked for lies outside the log"),
            Self::Frozen => f.write_str("two histories are signed for this core: it is frozen"),
            Self::Moved => f.write_str("the log changed meanwhile"),
            Self::MissingNodes => f.write_str("the store lacks tree nodes of this core: check it with `verify`"),
        }
    }
}

impl core::error::Error for LogError {}
