//! The one table of what storage replies are for.

use super::corestore::Corestore;
use super::io::{CommandError, Outcome, RequestId, StoredName};
use super::naming::Naming;
use super::proofs::{Checking, Proving};
use super::writes::Fetch;
use crate::crypto::{DiscoveryKey, Hash};
use crate::encoding::Decode;
use crate::log::{AuditStep, TruncatePlan};
use crate::replication::{Load, LoadId, Loaded};
use crate::storage::{OpId, ReadReply, StorageError, StorageReply, keys, records, rows};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

/// What to do with a reply.
#[derive(Debug)]
pub(super) enum Pending {
    /// The store's own records, at start.
    StartUp,
    /// A local name's record.
    Alias { request: RequestId, hash: Hash, naming: Naming },
    /// A core's entry.
    Entry { discovery_key: DiscoveryKey },
    /// A core's auth and state.
    Core { discovery_key: DiscoveryKey, entry: records::CoreEntry },
    /// Some parts of a core's bitfield.
    Parts { discovery_key: DiscoveryKey },
    /// The write in flight.
    Write,
    /// A block for a caller.
    Get(Fetch),
    /// Rows for the replicator.
    Load { core: DiscoveryKey, id: LoadId, load: Load },
    /// Nodes for a truncation.
    Truncate { request: RequestId, core: DiscoveryKey, plan: TruncatePlan },
    /// Nodes for a seek.
    Seek { request: RequestId },
    /// Rows for a caller's proof.
    Prove { request: RequestId, proving: Box<Proving> },
    /// The node a caller's proof hangs on.
    Check { request: RequestId, checking: Box<Checking> },
    /// Some rows of an audit.
    Audit { request: RequestId, step: AuditStep },
    /// A list of cores.
    List { request: RequestId, found: Vec<DiscoveryKey> },
    /// A list of local names.
    Names { request: RequestId, found: Vec<StoredName> },
}

impl Corestore {
    /// Takes the store's answer to `op`; answers to unknown operations are ignored.
    pub(super) fn stored(&mut self, op: OpId, result: Result<StorageReply, StorageError>) {
        let asked = self.pending.binary_search_by_key(&op, |(asked, _)| *asked);
        let Some((_, pending)) = asked.ok().and_then(|at| self.pending.remove(at)) else { return };
        match (pending, result) {
            (Pending::StartUp, result) => self.started(result),
            (Pending::Write, result) => self.written(result.map(|_| ())),
            (Pending::Alias { request, hash, naming }, Ok(StorageReply::Read(reply))) => {
                self.alias_read(request, hash, naming, &reply);
            }
            (Pending::Entry { discovery_key }, Ok(StorageReply::Read(reply))) => {
                self.entry_read(discovery_key, &reply);
            }
            (Pending::Core { discovery_key, entry }, Ok(StorageReply::Read(reply))) => {
                self.core_read(discovery_key, entry, &reply);
            }
            (Pending::Parts { discovery_key }, Ok(StorageReply::Scanned { rows, more })) => {
                self.parts_read(discovery_key, rows, more);
            }
            (Pending::Get(fetch), Ok(StorageReply::Read(reply))) => {
                self.block_read(fetch, reply.blocks.into_iter().next().flatten());
            }
            (Pending::Load { core, id, load }, Ok(StorageReply::Read(reply))) => {
                self.give_loaded(core, id, &load, reply);
            }
            (Pending::Truncate { request, core, plan }, Ok(StorageReply::Read(reply))) => {
                self.truncate_loaded(request, core, &plan, &rows::loaded_nodes(&reply));
            }
            (Pending::Seek { request }, Ok(StorageReply::Read(reply))) => {
                self.seek_loaded(request, &rows::loaded_nodes(&reply));
            }
            (Pending::Prove { request, proving }, Ok(StorageReply::Read(reply))) => {
                self.proof_loaded(request, proving, reply);
            }
            (Pending::Check { request, checking }, Ok(StorageReply::Read(reply))) => {
                self.check_loaded(request, *checking, &rows::loaded_nodes(&reply));
            }
            (Pending::Audit { request, step }, Ok(StorageReply::Read(reply))) => {
                self.audit_read(request, &step, reply);
            }
            (Pending::List { request, found }, Ok(StorageReply::Scanned { rows, more })) => {
                self.listed(request, found, &rows, more);
            }
            (Pending::Names { request, found }, Ok(StorageReply::Scanned { rows, more })) => {
                self.names_listed(request, found, &rows, more);
            }
            (pending, Err(error)) => self.read_failed(pending, error),
            (pending, Ok(_)) => {
                self.read_failed(pending, StorageError::Broken("the store answered another question".to_string()));
            }
        }
    }

    fn give_loaded(&mut self, core: DiscoveryKey, id: LoadId, load: &Load, reply: ReadReply) {
        let loaded = Loaded {
            nodes: rows::loaded_nodes(&reply),
            blocks: rows::loaded_blocks(&load.blocks, reply),
            failed: false,
        };
        self.on_loaded(core, id, loaded);
    }

    fn listed(
        &mut self,
        request: RequestId,
        mut found: Vec<DiscoveryKey>,
        rows: &[(crate::storage::RecordKey, bytes::Bytes)],
        more: bool,
    ) {
        found.extend(rows.iter().filter_map(|(key, _)| keys::discovery_key_of(key)));
        match rows.last().filter(|_| more) {
            Some((last, _)) => self.scan_cores(request, found, Some(last)),
            None => self.resolve(request, Ok(Outcome::Cores(found))),
        }
    }

    fn names_listed(
        &mut self,
        request: RequestId,
        mut found: Vec<StoredName>,
        rows: &[(crate::storage::RecordKey, bytes::Bytes)],
        more: bool,
    ) {
        for (_, value) in rows {
            match records::Alias::from_bytes(value) {
                Ok(records::Alias { discovery_key, namespace, name }) => {
                    found.push(StoredName { namespace, name, discovery_key });
                }
                Err(error) => return self.resolve(request, Err(CommandError::Damaged(error.to_string()))),
            }
        }
        match rows.last().filter(|_| more) {
            Some((last, _)) => self.scan_names(request, found, Some(last)),
            None => self.resolve(request, Ok(Outcome::Names(found))),
        }
    }

    fn read_failed(&mut self, pending: Pending, error: StorageError) {
        match pending {
            Pending::StartUp => self.started(Err(error)),
            Pending::Get(fetch) => self.block_unreadable(fetch, error),
            Pending::Write => self.written(Err(error)),
            Pending::Alias { request, .. }
            | Pending::Prove { request, .. }
            | Pending::Check { request, .. }
            | Pending::List { request, .. }
            | Pending::Names { request, .. } => self.resolve(request, Err(CommandError::Storage(error))),
            Pending::Seek { request } => self.give_up(request, CommandError::Storage(error)),
            Pending::Truncate { request, core, .. } => {
                self.truncate_over(core);
                self.resolve(request, Err(CommandError::Storage(error)));
            }
            Pending::Entry { discovery_key }
            | Pending::Core { discovery_key, .. }
            | Pending::Parts { discovery_key } => self.open_failed(discovery_key, &CommandError::Storage(error)),
            Pending::Load { core, id, .. } => {
                self.on_loaded(core, id, Loaded { failed: true, ..Loaded::default() });
            }
            Pending::Audit { request, .. } => self.give_up(request, CommandError::Storage(error)),
        }
    }
}
