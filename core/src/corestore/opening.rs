//! Opening cores: the store's start, local names, creating, and reading a stored core back.

use super::cores::OpenedCore;
use super::corestore::Corestore;
use super::io::{CommandError, ConnectionId, CoreName, Event, OpenCore, Outcome, RequestId, SessionId, StoredName};
use super::names::{self, PrimaryKey};
use super::naming::{Creation, Name, Naming, own_auth};
use super::pending::Pending;
use super::sessions::Session;
use super::writes::Then;
use crate::crypto::{DiscoveryKey, Hash, KeyPair, discovery_key};
use crate::encoding::{Decode, Encode};
use crate::log::{Auth, Bitfield, Hypercore, PART_BYTES, StoredState};
use crate::storage::records::{Alias, CoreEntry, StoreState};
use crate::storage::{
    CoreSlot, ReadBatch, ReadReply, RecordKey, ScanRecords, StorageError, StorageOp, StorageReply, WriteOp, keys,
};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// Whether the store's own records are known.
#[derive(Debug)]
pub(super) enum Startup {
    Loading,
    Ready { primary: PrimaryKey, next_slot: u32 },
    Failed(CommandError),
}

/// What came before the store's records were known.
#[derive(Debug)]
pub(super) enum Early {
    Open(RequestId, OpenCore),
    List(RequestId),
    Names(RequestId),
    Pair(ConnectionId, DiscoveryKey),
}

/// A core being opened, and everyone who waits for it.
#[derive(Debug, Default)]
pub(super) struct Opening {
    waiting: Vec<Target>,
    stored: Option<(CoreEntry, Auth, StoredState)>,
    bitfield: Bitfield,
    /// It is kept in the form of earlier stores.
    old_pages: bool,
}

/// Who wants a core opened, and how it would be created.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) opener: Opener,
    pub(super) discovery_key: DiscoveryKey,
    pub(super) create: Option<Creation>,
    pub(super) alias: Option<(Hash, Alias)>,
}

#[derive(Debug)]
pub(super) enum Opener {
    Session { request: RequestId, encryption_key: Option<[u8; 32]>, read_only: bool },
    Pair(ConnectionId),
}

impl Corestore {
    /// Opens a session on a core. Answered by [`Outcome::Opened`].
    pub fn open_core(&mut self, options: OpenCore) -> RequestId {
        let request = RequestId(self.next_id());
        match &self.startup {
            Startup::Loading => self.early.push(Early::Open(request, options)),
            Startup::Failed(error) => {
                let error = error.clone();
                self.resolve(request, Err(error));
            }
            Startup::Ready { .. } => self.start_opening(request, options),
        }
        self.settle();
        request
    }

    /// Lists the discovery keys of every stored core. Answered by [`Outcome::Cores`].
    pub fn list(&mut self) -> RequestId {
        let request = RequestId(self.next_id());
        match &self.startup {
            Startup::Loading => self.early.push(Early::List(request)),
            Startup::Failed(error) => {
                let error = error.clone();
                self.resolve(request, Err(error));
            }
            Startup::Ready { .. } => self.scan_cores(request, Vec::new(), None),
        }
        request
    }

    /// Lists the local names of stored cores. Answered by [`Outcome::Names`].
    pub fn list_names(&mut self) -> RequestId {
        let request = RequestId(self.next_id());
        match &self.startup {
            Startup::Loading => self.early.push(Early::Names(request)),
            Startup::Failed(error) => {
                let error = error.clone();
                self.resolve(request, Err(error));
            }
            Startup::Ready { .. } => self.scan_names(request, Vec::new(), None),
        }
        request
    }

    /// The namespace `name` within `parent` (the store's own when `None`).
    pub fn namespace(parent: Option<[u8; 32]>, name: &str) -> [u8; 32] {
        names::namespace(&parent.unwrap_or(names::DEFAULT_NAMESPACE), name)
    }

    /// The primary key, once the store's records are known.
    pub(super) fn primary(&self) -> Option<&PrimaryKey> {
        match &self.startup {
            Startup::Ready { primary, .. } => Some(primary),
            Startup::Loading | Startup::Failed(_) => None,
        }
    }

    pub(super) fn scan_cores(&mut self, request: RequestId, found: Vec<DiscoveryKey>, after: Option<&RecordKey>) {
        self.ask_store(StorageOp::Scan(scan(keys::cores(), after)), Pending::List { request, found });
    }

    pub(super) fn scan_names(&mut self, request: RequestId, found: Vec<StoredName>, after: Option<&RecordKey>) {
        self.ask_store(StorageOp::Scan(scan(keys::aliases(), after)), Pending::Names { request, found });
    }

    pub(super) fn start_up(&mut self) {
        let records = Vec::from([keys::store_state(), keys::primary_key()]);
        self.ask_store(StorageOp::Read(ReadBatch { records, ..ReadBatch::default() }), Pending::StartUp);
    }

    pub(super) fn started(&mut self, result: Result<StorageReply, StorageError>) {
        self.startup = match result {
            Ok(StorageReply::Read(reply)) => self.read_store_records(&reply),
            Ok(_) => Startup::Failed(CommandError::Damaged(String::from("the store's first records"))),
            Err(error) => Startup::Failed(CommandError::Storage(error)),
        };
        for early in core::mem::take(&mut self.early) {
            match (early, &self.startup) {
                (Early::Open(request, _) | Early::List(request) | Early::Names(request), Startup::Failed(error)) => {
                    let error = error.clone();
                    self.resolve(request, Err(error));
                }
                (Early::Open(request, options), _) => self.start_opening(request, options),
                (Early::List(request), _) => self.scan_cores(request, Vec::new(), None),
                (Early::Names(request), _) => self.scan_names(request, Vec::new(), None),
                (Early::Pair(connection, core), _) => self.open_for_peer(connection, core),
            }
        }
    }

    fn read_store_records(&mut self, reply: &ReadReply) -> Startup {
        let mut records = reply.records.iter().map(Option::as_ref);
        let (state, primary) = (records.next().flatten(), records.next().flatten());
        if let (Some(state), Some(primary)) = (state, primary) {
            let decoded = StoreState::from_bytes(state).ok().zip(primary.as_ref().try_into().ok());
            return match decoded {
                Some((state, primary)) => Startup::Ready { primary: PrimaryKey(primary), next_slot: state.next_slot },
                None => Startup::Failed(CommandError::Damaged(String::from(
                    "the store's first records: made by a newer version, or damaged",
                ))),
            };
        }
        let drawn = self.entropy.array();
        let primary = self.config.primary_key.unwrap_or(drawn);
        let state = StoreState { next_slot: 0 };
        self.write_records(Vec::from([
            WriteOp::PutRecord(keys::store_state(), Bytes::from(state.to_bytes())),
            WriteOp::PutRecord(keys::primary_key(), Bytes::copy_from_slice(&primary)),
        ]));
        Startup::Ready { primary: PrimaryKey(primary), next_slot: 0 }
    }

    fn start_opening(&mut self, request: RequestId, options: OpenCore) {
        let OpenCore { name, encryption_key, read_only, create, compat, .. } = options;
        let opener = Opener::Session { request, encryption_key, read_only };
        let auth = match name {
            CoreName::DiscoveryKey(discovery_key) => {
                return self.open_target(Target { opener, discovery_key, create: None, alias: None });
            }
            CoreName::Name { namespace, name } => {
                let namespace = namespace.unwrap_or(names::DEFAULT_NAMESPACE);
                return self.open_name(request, Naming { opener, name: Name { namespace, name, compat }, create });
            }
            CoreName::Key(key) => Auth { key, manifest: None, key_pair: None },
            CoreName::KeyPair(seed) => own_auth(KeyPair::from_seed(&seed), compat),
            CoreName::Manifest(manifest, seed) => {
                Auth { key: manifest.key(), manifest: Some(manifest), key_pair: seed.map(Into::into) }
            }
        };
        let (discovery_key, create) = (discovery_key(&auth.key), create.then_some(Creation::Known(auth)));
        self.open_target(Target { opener, discovery_key, create, alias: None });
    }

    /// A peer asks for a core nobody has open here: it is opened if it is stored, never created.
    pub(super) fn open_for_peer(&mut self, connection: ConnectionId, discovery_key: DiscoveryKey) {
        if matches!(self.startup, Startup::Loading) {
            self.early.push(Early::Pair(connection, discovery_key));
            return;
        }
        self.open_target(Target { opener: Opener::Pair(connection), discovery_key, create: None, alias: None });
    }

    pub(super) fn open_target(&mut self, target: Target) {
        let Some(target) = self.wait_for_purge(target) else { return };
        let discovery_key = target.discovery_key;
        if self.cores.contains_key(&discovery_key) {
            self.hand_out(target);
            return;
        }
        let first = !self.opening.contains_key(&discovery_key);
        self.opening.entry(discovery_key).or_default().waiting.push(target);
        if first {
            let records = Vec::from([keys::core(&discovery_key)]);
            let read = StorageOp::Read(ReadBatch { records, ..ReadBatch::default() });
            self.ask_store(read, Pending::Entry { discovery_key });
        }
    }

    pub(super) fn entry_read(&mut self, discovery_key: DiscoveryKey, reply: &ReadReply) {
        match reply.records.first().and_then(Option::as_ref).map(|bytes| CoreEntry::from_bytes(bytes)) {
            Some(Ok(entry)) => {
                let records = Vec::from([keys::auth(entry.slot), keys::state(entry.slot)]);
                let read = StorageOp::Read(ReadBatch { records, ..ReadBatch::default() });
                self.ask_store(read, Pending::Core { discovery_key, entry });
            }
            Some(Err(error)) => self.open_failed(discovery_key, &CommandError::Damaged(format!("{error}"))),
            None => self.create(discovery_key),
        }
    }

    pub(super) fn core_read(&mut self, discovery_key: DiscoveryKey, entry: CoreEntry, reply: &ReadReply) {
        let mut records = reply.records.iter().map(Option::as_ref);
        let auth = records.next().flatten().map(|bytes| Auth::from_bytes(bytes));
        let state = records.next().flatten().map(|bytes| StoredState::from_bytes(bytes));
        let (Some(Ok(auth)), Some(Ok(state))) = (auth, state) else {
            let what = format!("the records of core {}", entry.key);
            self.open_failed(discovery_key, &CommandError::Damaged(what));
            return;
        };
        let Some(opening) = self.opening.get_mut(&discovery_key) else { return };
        // Without a gap there are no bits past the contiguous length.
        let whole = state.contiguous_length >= state.head.roots.length;
        opening.stored = Some((entry, auth, state));
        if whole {
            self.finish_opening(discovery_key);
        } else {
            self.scan_parts(discovery_key, keys::bitfield(entry.slot).start, entry.slot);
        }
    }

    fn scan_parts(&mut self, discovery_key: DiscoveryKey, start: RecordKey, slot: CoreSlot) {
        let scan = ScanRecords { start, end: keys::bitfield(slot).end, limit: SCAN_LIMIT };
        self.ask_store(StorageOp::Scan(scan), Pending::Parts { discovery_key });
    }

    pub(super) fn parts_read(&mut self, discovery_key: DiscoveryKey, rows: Vec<(RecordKey, Bytes)>, more: bool) {
        let Some(opening) = self.opening.get_mut(&discovery_key) else { return };
        for (key, bits) in &rows {
            let Some((first, old)) = keys::part_of(key).filter(|_| bits.len().is_multiple_of(PART_BYTES)) else {
                let what = format!("the bitfield of core {}", discovery_key);
                return self.open_failed(discovery_key, &CommandError::Damaged(what));
            };
            opening.old_pages |= old;
            let parts = bits.as_chunks::<PART_BYTES>().0;
            (first..).zip(parts).for_each(|(part, bits)| opening.bitfield.set_part(part, bits));
        }
        let last = rows.into_iter().next_back().filter(|_| more);
        if let (Some((mut next, _)), Some((entry, ..))) = (last, &opening.stored) {
            let slot = entry.slot;
            next.0.push(0);
            return self.scan_parts(discovery_key, next, slot);
        }
        self.finish_opening(discovery_key);
    }

    /// Everything of a stored core was read.
    fn finish_opening(&mut self, discovery_key: DiscoveryKey) {
        let Some(opening) = self.opening.get_mut(&discovery_key) else { return };
        let (bitfield, old_pages) = (core::mem::take(&mut opening.bitfield), opening.old_pages);
        let Some((entry, auth, state)) = opening.stored.take() else { return };
        let key = auth.key;
        match Hypercore::open(auth, state, bitfield) {
            Ok(mut log) if *log.discovery_key() == discovery_key => {
                if old_pages {
                    log.carry_over_pages();
                }
                self.opened(entry.slot, log);
            }
            _ => {
                let what = format!("the records of core {key} belong to another core");
                self.open_failed(discovery_key, &CommandError::Damaged(what));
            }
        }
    }

    /// Nothing is stored under this discovery key: create the core if someone who waits can.
    fn create(&mut self, discovery_key: DiscoveryKey) {
        let waiting = self.opening.get(&discovery_key).map(|opening| opening.waiting.as_slice()).unwrap_or_default();
        let Startup::Ready { next_slot, primary } = &mut self.startup else { return };
        let mut ways = waiting.iter().filter_map(|target| target.create.as_ref());
        let Some(auth) = ways.find_map(|way| way.auth(primary, &discovery_key)) else {
            self.open_failed(discovery_key, &CommandError::NotFound);
            return;
        };
        let slot = CoreSlot(*next_slot);
        let entry = CoreEntry { slot, key: auth.key };
        match Hypercore::create(auth) {
            Err(error) => self.open_failed(discovery_key, &CommandError::BadArgument(format!("{error}"))),
            Ok((log, commit)) => {
                *next_slot = next_slot.saturating_add(1);
                let state = StoreState { next_slot: *next_slot };
                let state = WriteOp::PutRecord(keys::store_state(), Bytes::from(state.to_bytes()));
                self.write_records(Vec::from([state]));
                let mut records = Vec::from([(keys::core(&discovery_key), entry.to_bytes())]);
                let waiting = self.opening.get_mut(&discovery_key).into_iter().flat_map(|opening| &mut opening.waiting);
                // Names that lead to it are written with it, once.
                let names = waiting.filter_map(|target| target.alias.take());
                records.extend(names.map(|(hash, alias)| (keys::alias(&hash), alias.to_bytes())));
                self.write_created(slot, records, commit, Box::new(log));
            }
        }
    }

    /// A core is open: everyone who waited gets it, and every connection hears of it.
    pub(super) fn opened(&mut self, slot: CoreSlot, log: Hypercore) {
        let discovery_key = *log.discovery_key();
        let seed = self.entropy.u64();
        let idle_at = self.now.after(self.config.idle_core);
        self.dirty_cores.insert(discovery_key);
        self.cores.insert(discovery_key, Box::new(OpenedCore::new(slot, log, idle_at, &self.config, seed)));
        let waiting = self.opening.remove(&discovery_key).unwrap_or_default().waiting;
        for target in waiting {
            self.hand_out(target);
        }
    }

    fn hand_out(&mut self, target: Target) {
        let discovery_key = target.discovery_key;
        match target.opener {
            Opener::Pair(connection) => self.attach(connection, discovery_key),
            Opener::Session { request, encryption_key, read_only } => {
                if let Some((hash, alias)) = target.alias {
                    let record = WriteOp::PutRecord(keys::alias(&hash), Bytes::from(alias.to_bytes()));
                    self.write_records(Vec::from([record]));
                }
                self.adopt_key_pair(discovery_key, target.create);
                let session = SessionId(self.next_id());
                let waiting = BTreeSet::new();
                let entry = Session { core: discovery_key, encryption_key, read_only, snapshot: None, waiting };
                self.sessions.insert(session, entry);
                self.session_opened(discovery_key, session);
                match self.info(session) {
                    Some(info) => self.resolve(request, Ok(Outcome::Opened(session, info))),
                    None => self.resolve(request, Err(CommandError::NotFound)),
                }
            }
        }
    }

    /// A session that brings the signing key of a core stored without it makes it writable.
    fn adopt_key_pair(&mut self, discovery_key: DiscoveryKey, create: Option<Creation>) {
        let Startup::Ready { primary, .. } = &self.startup else { return };
        let Some(core) = self.cores.get_mut(&discovery_key).filter(|core| !core.log.has_key_pair()) else { return };
        let auth = create.and_then(|way| way.auth(primary, &discovery_key));
        let Some(key_pair) = auth.and_then(|auth| auth.key_pair) else { return };
        let commit = core.log.set_key_pair(key_pair);
        self.write_commit(discovery_key, commit, Then::Nothing);
    }

    pub(super) fn open_failed(&mut self, discovery_key: DiscoveryKey, error: &CommandError) {
        let waiting = self.opening.remove(&discovery_key).unwrap_or_default().waiting;
        for target in waiting {
            match target.opener {
                Opener::Session { request, .. } => self.resolve(request, Err(error.clone())),
                Opener::Pair(connection) => {
                    self.reject(connection, discovery_key);
                    self.event(Event::UnknownDiscoveryKey { connection, discovery_key });
                }
            }
        }
    }
}

/// A scan of `range` that goes on after the key read last.
fn scan(range: core::ops::Range<RecordKey>, after: Option<&RecordKey>) -> ScanRecords {
    let start = after.map_or(range.start, |last| {
        let mut next = last.clone();
        next.0.push(0);
        next
    });
    ScanRecords { start, end: range.end, limit: SCAN_LIMIT }
}

/// Records a scan asks for at once.
const SCAN_LIMIT: u32 = 256;
