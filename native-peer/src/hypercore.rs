//! A core's handle.

use crate::blocks::Blocks;
use crate::download::Download;
use crate::error::{OpenError, ProofError, ReadError, WriteError};
use crate::events::CoreEvent;
use crate::extension::Extension;
use crate::machine::Machine;
use crate::request::{Failure, Request};
use crate::subscription::Subscription;
use bytes::Bytes;
use corestore_core::corestore::{
    CommandError, CoreInfo, Corestore as Sans, DownloadRange, Extent, GetOptions, Outcome, RequestId, SessionId,
};
use corestore_core::crypto::{CoreKey, DiscoveryKey};
use corestore_core::log::Audit;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

/// One core: a log of blocks that only its signers can extend. Cheap to clone; the session on the core ends with the
/// last clone. Lengths are in blocks unless named otherwise, and only tell of what is stored.
///
/// Dropping the future of a read gives the read up; dropping that of a change does not take the change back.
#[derive(Clone, Debug)]
pub struct Hypercore(Arc<Session>);

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) machine: Arc<Machine>,
    pub(crate) id: SessionId,
    key: CoreKey,
    discovery_key: DiscoveryKey,
    last: CoreInfo,
}

/// Blocks were appended and are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The core's length after them, in blocks.
    pub length: u64,
    /// The core's length after them, in bytes.
    pub byte_length: u64,
}

impl Hypercore {
    pub(crate) fn new(machine: &Arc<Machine>, id: SessionId, info: &CoreInfo) -> Self {
        Self(Arc::new(Session {
            machine: Arc::clone(machine),
            id,
            key: info.key,
            discovery_key: info.discovery_key,
            last: info.clone(),
        }))
    }

    /// Appends one block (at most 15 MiB). Done when it is stored.
    ///
    /// # Errors
    /// [`WriteError`]; then nothing was stored.
    pub async fn append(&self, block: impl Into<Bytes>) -> Result<Appended, WriteError> {
        self.append_batch([block]).await
    }

    /// Appends blocks under one signature: all or none. Done when they are stored.
    ///
    /// # Errors
    /// [`WriteError`]; then nothing was stored.
    pub async fn append_batch<B: Into<Bytes>>(
        &self,
        blocks: impl IntoIterator<Item = B>,
    ) -> Result<Appended, WriteError> {
        let blocks: Vec<Bytes> = blocks.into_iter().map(Into::into).collect();
        match self.write(|machine, session| machine.append(session, blocks)).await? {
            Outcome::Appended { length, byte_length } => Ok(Appended { length, byte_length }),
            _ => Err(WriteError::Closed),
        }
    }

    /// Cuts the log to `length` blocks; it goes on as the next fork.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn truncate(&self, length: u64) -> Result<(), WriteError> {
        self.write(|machine, session| machine.truncate(session, length, None)).await.map(|_| ())
    }

    /// Cuts the log to `length` blocks and goes on as fork `fork`, which must be newer.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn truncate_to_fork(&self, length: u64, fork: u64) -> Result<(), WriteError> {
        self.write(|machine, session| machine.truncate(session, length, Some(fork))).await.map(|_| ())
    }

    /// Drops stored blocks; they may be fetched again.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn clear(&self, range: Range<u64>) -> Result<(), WriteError> {
        self.write(|machine, session| machine.clear(session, range)).await.map(|_| ())
    }

    /// Removes the core from the store: blocks, nodes, keys, all. Every handle of it is closed. A local name stays, and
    /// makes the same core anew, empty: whoever has the old blocks stops following what is appended to it then, since
    /// that is a second history under the same key.
    ///
    /// # Errors
    /// [`WriteError`]; then the core stays whole.
    pub async fn purge(&self) -> Result<(), WriteError> {
        self.write(Sans::purge).await.map(|_| ())
    }

    /// Block `index`, from peers if need be; past the end it waits for the log to grow.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn get(&self, index: u64) -> Result<Bytes, ReadError> {
        let found = self.get_with(index, GetOptions::default()).await?;
        found.ok_or_else(|| ReadError::Damaged { core: self.0.key, what: format!("block {index} came without bytes") })
    }

    /// Block `index`; `None` only when `options` say not to wait and it is not stored.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn get_with(&self, index: u64, options: GetOptions) -> Result<Option<Bytes>, ReadError> {
        let answer = self.0.get(index, options).await;
        self.0.block(answer)
    }

    /// True when block `index` is stored.
    pub fn has(&self, index: u64) -> bool {
        self.0.machine.look(|machine| machine.has(self.0.id, index))
    }

    /// How many blocks of `range` are stored.
    pub fn count(&self, range: Range<u64>) -> u64 {
        self.0.machine.look(|machine| machine.count(self.0.id, range))
    }

    /// Asks peers for a longer log and waits for the answer. True when it grew. A writer answers at once, and so does
    /// a reader that has no peer and dials none.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn update(&self) -> Result<bool, ReadError> {
        match self.read(|machine, session| machine.update(session, true)).await? {
            Outcome::Updated(grew) => Ok(grew),
            _ => Err(ReadError::Closed),
        }
    }

    /// Downloads blocks; without an end it follows the log as it grows.
    pub fn download(&self, range: impl RangeBounds<u64>) -> Download {
        let (start, end) = bounds(&range);
        self.download_with(DownloadRange::Range { start, end, linear: false })
    }

    /// Downloads what `range` says.
    pub fn download_with(&self, range: DownloadRange) -> Download {
        Download::new(self.0.key, self.0.request(|machine, session| machine.download(session, range)))
    }

    /// The block that holds byte `byte` and the byte's offset in it; `None` past the end.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn seek(&self, byte: u64) -> Result<Option<(u64, u64)>, ReadError> {
        match self.read(|machine, session| machine.seek(session, byte)).await? {
            Outcome::Sought(found) => Ok(found),
            _ => Err(ReadError::Closed),
        }
    }

    /// Reads and hashes everything stored of this core and tells what is wrong; nothing is changed. Takes as long as
    /// reading that much takes.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read; damage is no error.
    pub async fn audit(&self) -> Result<Audit, ReadError> {
        match self.read(Sans::audit).await? {
            Outcome::Audited(audit) => Ok(audit),
            _ => Err(ReadError::Closed),
        }
    }

    /// A read-only handle pinned to the present length.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn snapshot(&self) -> Result<Self, OpenError> {
        match self.0.request(Sans::snapshot).await? {
            Outcome::Opened(session, info) => Ok(Self::new(&self.0.machine, session, &info)),
            _ => Err(OpenError::Closed),
        }
    }

    /// What happens to this core, from now on. See [`Subscription`] for what a slow subscriber misses.
    pub fn subscribe(&self) -> Subscription<CoreEvent> {
        self.0.machine.subscribe(self.0.discovery_key)
    }

    /// The blocks of `range` in order, read ahead. Without an end it ends at the present length.
    pub fn blocks(&self, range: impl RangeBounds<u64>) -> Blocks {
        let (start, end) = bounds(&range);
        Blocks::new(self.clone(), start, Some(end.unwrap_or_else(|| self.length())))
    }

    /// The blocks from `start` on in order, read ahead; it waits for new ones and never ends.
    pub fn live_blocks(&self, start: u64) -> Blocks {
        Blocks::new(self.clone(), start, None)
    }

    /// The extension with this name: messages between peers of this core, beside its blocks.
    pub fn extension(&self, name: impl Into<String>) -> Extension {
        Extension::new(self.clone(), name.into())
    }

    /// The key. Whoever has it may read.
    pub fn key(&self) -> CoreKey {
        self.0.key
    }

    /// What the core is announced by; tells nothing of the key.
    pub fn discovery_key(&self) -> DiscoveryKey {
        self.0.discovery_key
    }

    /// Everything about the core now; as it was when opened, once the store is closed.
    pub fn info(&self) -> CoreInfo {
        self.0.machine.look(|machine| machine.info(self.0.id)).unwrap_or_else(|| self.0.last.clone())
    }

    /// Blocks.
    pub fn length(&self) -> u64 {
        self.extent().length
    }

    /// Bytes of all blocks, without encryption padding.
    pub fn byte_length(&self) -> u64 {
        self.extent().byte_length
    }

    /// The fork; grows with every truncation.
    pub fn fork(&self) -> u64 {
        self.extent().fork
    }

    /// Blocks stored from 0 on without a gap.
    pub fn contiguous_length(&self) -> u64 {
        self.extent().contiguous_length
    }

    /// True when this handle may append.
    pub fn writable(&self) -> bool {
        self.0.machine.look(|machine| machine.is_writable(self.0.id))
    }

    /// Ends the session of this handle and all its clones; what waits on it fails.
    pub async fn close(self) {
        // An error would only say that it is closed already.
        let _ = self.0.request(Sans::close_session).await;
    }

    pub(crate) fn session(&self) -> &Session {
        &self.0
    }

    pub(crate) async fn prove(
        &self,
        command: impl FnOnce(&mut Sans, SessionId) -> RequestId,
    ) -> Result<Outcome, ProofError> {
        self.0.request(command).await.map_err(|failure| ProofError::of(self.0.key, failure))
    }

    /// As when it was opened, once the store is closed.
    fn extent(&self) -> Extent {
        self.0.machine.look(|machine| machine.extent(self.0.id)).unwrap_or_else(|| {
            let CoreInfo { fork, length, byte_length, contiguous_length, .. } = self.0.last;
            Extent { fork, length, byte_length, contiguous_length }
        })
    }

    async fn write(&self, command: impl FnOnce(&mut Sans, SessionId) -> RequestId) -> Result<Outcome, WriteError> {
        self.0.request(command).await.map_err(|failure| WriteError::of(self.0.key, failure))
    }

    async fn read(&self, command: impl FnOnce(&mut Sans, SessionId) -> RequestId) -> Result<Outcome, ReadError> {
        self.0.request(command).await.map_err(|failure| ReadError::of(self.0.key, failure))
    }
}

impl Session {
    pub(crate) fn get(&self, index: u64, options: GetOptions) -> Request {
        self.request(|machine, session| machine.get(session, index, options))
    }

    pub(crate) fn block(&self, answer: Result<Outcome, Failure>) -> Result<Option<Bytes>, ReadError> {
        match answer {
            Ok(Outcome::Block(block)) => Ok(block),
            Ok(_) => Err(ReadError::Other { core: self.key, error: CommandError::SessionClosed }),
            Err(failure) => Err(ReadError::of(self.key, failure)),
        }
    }

    fn request(&self, command: impl FnOnce(&mut Sans, SessionId) -> RequestId) -> Request {
        self.machine.request(|machine| command(machine, self.id))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.machine.drop_session(self.id);
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, Option<u64>) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => Some(last.saturating_add(1)),
        Bound::Excluded(end) => Some(*end),
        Bound::Unbounded => None,
    };
    (start, end)
}
