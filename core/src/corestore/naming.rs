//! Opening by a local name: its record says which core it names, and its key pair is made only for what needs it.

use super::corestore::Corestore;
use super::io::{CommandError, RequestId};
use super::names::{self, PrimaryKey};
use super::opening::{Opener, Target};
use super::pending::Pending;
use crate::crypto::{CoreKey, DiscoveryKey, Hash, KeyPair, blake2b, discovery_key};
use crate::encoding::Decode;
use crate::log::Auth;
use crate::manifest::Manifest;
use crate::storage::records::Alias;
use crate::storage::{ReadBatch, ReadReply, StorageOp, keys};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A core asked for by name, until the name's record is read.
#[derive(Debug)]
pub(super) struct Naming {
    pub(super) opener: Opener,
    pub(super) name: Name,
    pub(super) create: bool,
}

/// A local name.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) namespace: [u8; 32],
    pub(super) name: String,
    /// Its core is one of Hypercore 10's form.
    pub(super) compat: bool,
}

/// How a core that is not stored would be created.
#[derive(Debug)]
pub(super) enum Creation {
    Known(Auth),
    /// From the name's key pair, which takes as long to make as a signature.
    Named(Name),
}

impl Name {
    fn auth(&self, primary: &PrimaryKey) -> Auth {
        own_auth(names::key_pair(primary, &self.namespace, &self.name), self.compat)
    }
}

impl Creation {
    /// Who may sign the core with this discovery key; `None` when this is how to create another one.
    pub(super) fn auth(&self, primary: &PrimaryKey, of: &DiscoveryKey) -> Option<Auth> {
        let auth = match self {
            Self::Known(auth) => auth.clone(),
            Self::Named(name) => name.auth(primary),
        };
        (discovery_key(&auth.key) == *of).then_some(auth)
    }
}

impl Corestore {
    /// Reads a name's record.
    pub(super) fn open_name(&mut self, request: RequestId, naming: Naming) {
        let hash = blake2b(&[&naming.name.namespace, naming.name.name.as_bytes()]);
        let records = Vec::from([keys::alias(&hash)]);
        let read = StorageOp::Read(ReadBatch { records, ..ReadBatch::default() });
        self.ask_store(read, Pending::Alias { request, hash, naming });
    }

    pub(super) fn alias_read(&mut self, request: RequestId, hash: Hash, naming: Naming, reply: &ReadReply) {
        let Naming { opener, name, create } = naming;
        match reply.records.first().and_then(Option::as_ref).map(|bytes| Alias::from_bytes(bytes)) {
            // A name keeps the core it first named.
            Some(Ok(Alias { discovery_key, .. })) => {
                let create = create.then_some(Creation::Named(name));
                self.open_target(Target { opener, discovery_key, create, alias: None });
            }
            Some(Err(error)) => self.resolve(request, Err(CommandError::Damaged(format!("{error}")))),
            None => {
                let Some(auth) = self.primary().map(|primary| name.auth(primary)) else { return };
                let Name { namespace, name, .. } = name;
                let discovery_key = discovery_key(&auth.key);
                let alias = Some((hash, Alias { discovery_key, namespace, name }));
                let create = create.then_some(Creation::Known(auth));
                self.open_target(Target { opener, discovery_key, create, alias });
            }
        }
    }
}

/// Who may sign the core of a key pair alone.
pub(super) fn own_auth(key_pair: KeyPair, compat: bool) -> Auth {
    let public_key = key_pair.public_key();
    let manifest = if compat { Manifest::compat(public_key) } else { Manifest::single(MANIFEST_VERSION, public_key) };
    let key = if compat { CoreKey(public_key.0) } else { manifest.key() };
    Auth { key, manifest: Some(manifest), key_pair: Some(key_pair.into()) }
}

/// The version of the manifests Corestore 7 makes.
const MANIFEST_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corestore::{Config, CoreInfo, CoreName, Event, Input, OpenCore, Outcome, Output, SessionId};
    use crate::storage::{MemoryStore, Store, WriteBatch, WriteOp};
    use crate::time::Instant;
    use bytes::Bytes;

    /// A machine, its store, and what was written.
    struct Driven {
        machine: Corestore,
        store: MemoryStore,
        writes: Vec<WriteBatch>,
    }

    impl Driven {
        fn over(store: MemoryStore) -> Self {
            Self { machine: Corestore::new(Config::default(), [7; 32], Instant::ZERO), store, writes: Vec::new() }
        }

        fn answer(&mut self, request: RequestId) -> Result<Outcome, CommandError> {
            let mut answer = None;
            loop {
                match self.machine.poll_output() {
                    Output::Storage { op, request } => {
                        if let StorageOp::Write(batch) = &request {
                            self.writes.push(batch.clone());
                        }
                        let result = self.store.execute(request);
                        self.machine.handle_input(Instant::ZERO, Input::Stored { op, result });
                    }
                    Output::Event(Event::Resolved { request: of, result }) if of == request => answer = Some(result),
                    Output::Idle { .. } => return answer.unwrap(),
                    _ => {}
                }
            }
        }

        fn open(&mut self, options: OpenCore) -> Result<(SessionId, CoreInfo), CommandError> {
            let request = self.machine.open_core(options);
            self.answer(request).map(|outcome| match outcome {
                Outcome::Opened(session, info) => (session, info),
                other => panic!("{other:?}"),
            })
        }

        fn append(&mut self, session: SessionId) -> Result<Outcome, CommandError> {
            let request = self.machine.append(session, Vec::from([Bytes::from_static(b"block")]));
            self.answer(request)
        }
    }

    fn puts(batch: &WriteBatch, record: &crate::storage::RecordKey) -> bool {
        batch.ops.iter().any(|op| matches!(op, WriteOp::PutRecord(key, _) if key == record))
    }

    #[test]
    fn a_new_core_and_its_name_are_one_write() {
        let mut driven = Driven::over(MemoryStore::default());
        let (_, info) = driven.open(OpenCore::name("diary")).unwrap();
        let core = keys::core(&info.discovery_key);
        let creating: Vec<&WriteBatch> = driven.writes.iter().filter(|batch| puts(batch, &core)).collect();
        let alias = keys::alias(&blake2b(&[&names::DEFAULT_NAMESPACE, b"diary"]));
        assert_eq!(creating.len(), 1);
        assert!(puts(creating[0], &alias));
        assert_eq!(driven.writes.iter().filter(|batch| puts(batch, &alias)).count(), 1);
    }

    #[test]
    fn a_name_opened_again_signs_as_before() {
        let mut driven = Driven::over(MemoryStore::default());
        let (session, first) = driven.open(OpenCore::name("diary")).unwrap();
        driven.append(session).unwrap();
        let mut again = Driven::over(driven.store);
        let (session, info) = again.open(OpenCore::name("diary")).unwrap();
        assert_eq!((info.key, info.length, info.writable), (first.key, 1, true));
        assert_eq!(again.append(session), Ok(Outcome::Appended { length: 2, byte_length: 10 }));
    }

    #[test]
    fn a_name_keeps_the_core_it_first_named_and_never_lends_it_its_key() {
        let mut driven = Driven::over(MemoryStore::default());
        let (_, other) = driven.open(OpenCore::of(CoreName::Key(CoreKey([5; 32])))).unwrap();
        let alias = Alias {
            discovery_key: other.discovery_key,
            namespace: names::DEFAULT_NAMESPACE,
            name: String::from("diary"),
        };
        let key = keys::alias(&blake2b(&[&names::DEFAULT_NAMESPACE, b"diary"]));
        let record = crate::encoding::Encode::to_bytes(&alias);
        let ops = Vec::from([WriteOp::PutRecord(key, record.into())]);
        let batch = WriteBatch { ops, durability: crate::storage::Durability::Durable };
        driven.store.execute(StorageOp::Write(batch)).unwrap();
        let (session, info) = driven.open(OpenCore::name("diary")).unwrap();
        assert_eq!((info.key, info.writable), (other.key, false));
        assert_eq!(driven.append(session), Err(CommandError::NotWritable));
    }
}
