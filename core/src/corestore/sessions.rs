//! Sessions: what callers hold of a core, with their own encryption key and snapshot.

use super::corestore::Corestore;
use super::io::{CommandError, CoreInfo, Extent, Outcome, RequestId, SessionId};
use crate::crypto::{BlockCipher, DiscoveryKey, PADDING};
use crate::log::Hypercore;
use alloc::collections::BTreeSet;
use bytes::Bytes;

/// One caller's view of a core.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) core: DiscoveryKey,
    pub(super) encryption_key: Option<[u8; 32]>,
    pub(super) read_only: bool,
    pub(super) snapshot: Option<Snapshot>,
    /// Requests that wait on it.
    pub(super) waiting: BTreeSet<RequestId>,
}

/// A pinned length. Blocks past `valid` were truncated away since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    pub(super) fork: u64,
    pub(super) length: u64,
    pub(super) byte_length: u64,
    pub(super) valid: u64,
}

impl Session {
    /// The cipher of this session; which scheme it is depends on the manifest.
    pub(super) fn cipher(&self, log: &Hypercore) -> Option<BlockCipher> {
        let key = self.encryption_key.as_ref()?;
        let compat = log.verifier().is_some_and(crate::manifest::Verifier::is_compat);
        Some(BlockCipher::new(log.key(), compat, key))
    }

    /// A stored block as the caller wants it.
    pub(super) fn reveal(&self, log: &Hypercore, index: u64, block: Bytes, raw: bool) -> Result<Bytes, CommandError> {
        match self.cipher(log).filter(|_| !raw) {
            None => Ok(block),
            Some(cipher) => {
                let newest = log.head().roots.fork;
                match cipher.fork_of(index, &block) {
                    Some(fork) if fork <= newest => {}
                    _ => return Err(CommandError::WrongEncryptionKey),
                }
                cipher.decrypt(index, &block).ok_or(CommandError::WrongEncryptionKey)
            }
        }
    }

    /// Bytes of padding per block.
    pub(super) fn padding(&self) -> u64 {
        if self.encryption_key.is_some() { u64::try_from(PADDING).unwrap_or(0) } else { 0 }
    }

    /// How far the core reaches for this session.
    fn extent(&self, log: &Hypercore) -> Extent {
        let roots = &log.head().roots;
        let (fork, length, bytes) = match self.snapshot {
            Some(snapshot) => (snapshot.fork, snapshot.length, snapshot.byte_length),
            None => (roots.fork, roots.length, roots.byte_length),
        };
        Extent {
            fork,
            length,
            byte_length: bytes.saturating_sub(length.saturating_mul(self.padding())),
            contiguous_length: log.contiguous_length().min(length),
        }
    }

    fn may_write(&self, log: &Hypercore) -> bool {
        log.is_writable() && !self.read_only && self.snapshot.is_none()
    }

    /// Whether `index` may be read through this session.
    pub(super) fn check_index(&self, index: u64) -> Result<(), CommandError> {
        match self.snapshot {
            Some(snapshot) if index >= snapshot.valid => Err(CommandError::SnapshotNotAvailable),
            _ => Ok(()),
        }
    }
}

impl Corestore {
    /// What a session shows now; `None` once it is closed.
    pub fn info(&self, session: SessionId) -> Option<CoreInfo> {
        let session = self.sessions.get(&session)?;
        let core = self.cores.get(&session.core)?;
        let log = &core.log;
        let Extent { fork, length, byte_length, contiguous_length } = session.extent(log);
        Some(CoreInfo {
            key: *log.key(),
            discovery_key: *log.discovery_key(),
            length,
            byte_length,
            fork,
            contiguous_length,
            stored_blocks: log.bitfield().count(0..length),
            remote_contiguous_length: core.remote_contiguous_length,
            writable: session.may_write(log),
            encrypted: session.encryption_key.is_some(),
            frozen: log.is_frozen(),
            peers: u64::try_from(core.peers.len()).unwrap_or(u64::MAX),
        })
    }

    /// How far a session's core reaches now; `None` once it is closed.
    pub fn extent(&self, session: SessionId) -> Option<Extent> {
        let session = self.sessions.get(&session)?;
        Some(session.extent(&self.cores.get(&session.core)?.log))
    }

    /// True when this session may append.
    pub fn is_writable(&self, session: SessionId) -> bool {
        let held = self.sessions.get(&session).and_then(|session| Some((session, self.cores.get(&session.core)?)));
        held.is_some_and(|(session, core)| session.may_write(&core.log))
    }

    /// True when block `index` is stored.
    pub fn has(&self, session: SessionId, index: u64) -> bool {
        let log = self.sessions.get(&session).and_then(|session| self.cores.get(&session.core));
        log.is_some_and(|core| core.log.has(index))
    }

    /// How many blocks of `range` are stored.
    pub fn count(&self, session: SessionId, range: core::ops::Range<u64>) -> u64 {
        let log = self.sessions.get(&session).and_then(|session| self.cores.get(&session.core));
        log.map_or(0, |core| core.log.bitfield().count(range))
    }

    /// Opens a read-only session pinned to the present length. Answered by [`Outcome::Opened`].
    pub fn snapshot(&mut self, session: SessionId) -> RequestId {
        let request = RequestId(self.next_id());
        let pinned = self.sessions.get(&session).and_then(|from| {
            let roots = &self.cores.get(&from.core)?.log.head().roots;
            let (fork, length, byte_length) = (roots.fork, roots.length, roots.byte_length);
            let snapshot = from.snapshot.unwrap_or(Snapshot { fork, length, byte_length, valid: length });
            let waiting = BTreeSet::new();
            Some(Session { snapshot: Some(snapshot), read_only: true, waiting, ..from.clone() })
        });
        let Some(pinned) = pinned else {
            self.resolve(request, Err(CommandError::SessionClosed));
            return request;
        };
        let (id, core) = (SessionId(self.next_id()), pinned.core);
        self.sessions.insert(id, pinned);
        self.session_opened(core, id);
        if let Some(info) = self.info(id) {
            self.resolve(request, Ok(Outcome::Opened(id, info)));
        }
        self.settle();
        request
    }

    /// Closes a session; what still waits on it fails with [`CommandError::SessionClosed`]. Answered by
    /// [`Outcome::Done`].
    pub fn close_session(&mut self, session: SessionId) -> RequestId {
        let request = RequestId(self.next_id());
        self.end_session(session);
        self.resolve(request, Ok(Outcome::Done));
        self.settle();
        request
    }

    pub(super) fn end_session(&mut self, session: SessionId) {
        let waiting = self.sessions.get(&session).map(|session| session.waiting.clone()).unwrap_or_default();
        for waiter in waiting {
            self.give_up(waiter, CommandError::SessionClosed);
        }
        if let Some(closed) = self.sessions.remove(&session) {
            self.session_closed(closed.core, session);
        }
    }
}
