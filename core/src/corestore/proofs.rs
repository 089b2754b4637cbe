//! Proofs as callers make, check and store them; between peers, the replicator does the same.

use super::changes::command_error;
use super::corestore::Corestore;
use super::io::{CommandError, Outcome, RequestId, SessionId};
use super::pending::Pending;
use super::writes::Then;
use crate::crypto::{DiscoveryKey, Hash};
use crate::log::{Head, Hypercore};
use crate::manifest::Manifest;
use crate::merkle::{
    Anchor, BuildError, LoadedNodes, Proof, ProofPlan, ProofRequest, TreeIndex, Unanchored, Verified, missing_nodes,
    verify,
};
use crate::storage::{ReadReply, StorageOp, rows};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// A proof being made.
#[derive(Debug)]
pub(super) struct Proving {
    core: DiscoveryKey,
    plan: ProofPlan,
    nodes: LoadedNodes,
    block: Option<Bytes>,
    head: Arc<Head>,
}

/// A proof that hangs on one stored node.
#[derive(Debug)]
pub(super) struct Checking {
    core: DiscoveryKey,
    unanchored: Unanchored,
    store: bool,
}

impl Corestore {
    /// Proves what `wanted` asks for from the core's present tree. Answered by [`Outcome::Proof`].
    pub fn prove(&mut self, session: SessionId, wanted: &ProofRequest) -> RequestId {
        let request = RequestId(self.next_id());
        match self.plan_proof(session, wanted) {
            Err(error) => self.resolve(request, Err(error)),
            Ok(proving) => self.advance_proof(request, Box::new(proving)),
        }
        self.settle();
        request
    }

    fn plan_proof(&self, session: SessionId, wanted: &ProofRequest) -> Result<Proving, CommandError> {
        let core = self.session_core(session)?;
        let log = &self.cores.get(&core).ok_or(CommandError::SessionClosed)?.log;
        let prologue = log.verifier().and_then(|verifier| verifier.prologue()).map(|prologue| prologue.length);
        let plan = ProofPlan::new(&log.head().roots, wanted, prologue)
            .map_err(|invalid| CommandError::BadArgument(invalid.to_string()))?;
        Ok(Proving { core, plan, nodes: LoadedNodes::default(), block: None, head: Arc::clone(log.head()) })
    }

    fn advance_proof(&mut self, request: RequestId, mut proving: Box<Proving>) {
        let Some(core) = self.cores.get(&proving.core) else {
            return self.resolve(request, Err(CommandError::SessionClosed));
        };
        let nodes = proving.plan.needs(&proving.head.roots, &proving.nodes);
        let blocks: Vec<u64> = proving.plan.block().filter(|_| proving.block.is_none()).into_iter().collect();
        if blocks.iter().any(|index| !core.log.has(*index)) {
            return self.resolve(request, Err(CommandError::NotStored));
        }
        if !nodes.is_empty() || !blocks.is_empty() {
            let read = rows::read_core(core.slot, &nodes, &blocks);
            self.ask_store(StorageOp::Read(read), Pending::Prove { request, proving });
            return;
        }
        let Proving { plan, nodes, block, head, .. } = *proving;
        let result = plan.build(&head.roots, &nodes, block, &head.signature).map_err(|error| match error {
            BuildError::Invalid(invalid) => CommandError::BadArgument(invalid.to_string()),
            BuildError::MissingNode(_) | BuildError::MissingBlock => CommandError::NotStored,
        });
        self.resolve(request, result.map(|proof| Outcome::Proof(Box::new(proof))));
    }

    pub(super) fn proof_loaded(&mut self, request: RequestId, mut proving: Box<Proving>, reply: ReadReply) {
        let moved =
            self.cores.get(&proving.core).is_none_or(|core| core.log.head().roots.fork != proving.head.roots.fork);
        if moved {
            return self.resolve(request, Err(CommandError::SnapshotNotAvailable));
        }
        proving.nodes.merge(&rows::loaded_nodes(&reply));
        if proving.block.is_none() {
            proving.block = reply.blocks.into_iter().next().flatten();
            if proving.block.is_none() && proving.plan.block().is_some() {
                return self.resolve(request, Err(CommandError::NotStored));
            }
        }
        self.advance_proof(request, proving);
    }

    /// Checks a proof against the core's tree and, with `store`, stores what it proves; nothing false ever is.
    /// Answered by [`Outcome::Proven`], once it is stored.
    pub fn check_proof(&mut self, session: SessionId, proof: &Proof, store: bool) -> RequestId {
        let request = RequestId(self.next_id());
        match self.start_check(session, proof) {
            Err(error) => self.resolve(request, Err(error)),
            Ok((core, Anchor::Verified(verified))) => self.checked(request, core, verified, store),
            Ok((core, Anchor::Stored(unanchored))) => {
                if let Some(slot) = self.cores.get(&core).map(|core| core.slot) {
                    let read = rows::read_core(slot, &[unanchored.needs()], &[]);
                    let checking = Box::new(Checking { core, unanchored, store });
                    self.ask_store(StorageOp::Read(read), Pending::Check { request, checking });
                }
            }
        }
        self.settle();
        request
    }

    fn start_check(&self, session: SessionId, proof: &Proof) -> Result<(DiscoveryKey, Anchor), CommandError> {
        let id = self.session_core(session)?;
        let log = &self.cores.get(&id).ok_or(CommandError::SessionClosed)?.log;
        let check = |roots: &crate::merkle::Roots, signature: &[u8]| {
            log.verifier().is_some_and(|verifier| verifier.verify(roots, signature))
        };
        let anchor = verify(&log.staged_head().roots, proof, &check);
        anchor.map(|anchor| (id, anchor)).map_err(|invalid| CommandError::InvalidProof(invalid.to_string()))
    }

    pub(super) fn check_loaded(&mut self, request: RequestId, checking: Checking, rows: &LoadedNodes) {
        let index = checking.unanchored.needs();
        match checking.unanchored.confirm(rows.get(index)) {
            Ok(verified) => self.checked(request, checking.core, verified, checking.store),
            Err(invalid) => self.resolve(request, Err(CommandError::InvalidProof(invalid.to_string()))),
        }
    }

    fn checked(&mut self, request: RequestId, id: DiscoveryKey, verified: Verified, store: bool) {
        let Some(core) = self.cores.get_mut(&id) else {
            return self.resolve(request, Err(CommandError::SessionClosed));
        };
        let length = verified.upgrade().map_or(core.log.staged_head().roots.length, |upgrade| upgrade.roots.length);
        if !store {
            return self.resolve(request, Ok(Outcome::Proven { length }));
        }
        match core.log.accept(verified, None) {
            Ok(commit) => self.write_commit(id, commit, Then::Proven { request, length }),
            Err(error) => self.resolve(request, Err(command_error(error))),
        }
    }

    /// How many uncles a proof of block `index` must bring along here; 0 past the end.
    pub fn missing_nodes(&self, session: SessionId, index: u64) -> u64 {
        let missing = |log: &Hypercore| {
            let mut stored = |range: core::ops::Range<u64>| log.bitfield().any(range);
            missing_nodes(TreeIndex::leaf(index), log.head().roots.length, &mut stored)
        };
        self.log_of(session).map_or(0, missing)
    }

    /// The hash over the roots of the core's present tree, which is what is signed; `None` once the session is closed.
    pub fn tree_hash(&self, session: SessionId) -> Option<Hash> {
        self.log_of(session).map(|log| log.head().roots.tree_hash())
    }

    /// Who may sign the core; `None` while it is not known.
    pub fn manifest(&self, session: SessionId) -> Option<Manifest> {
        self.log_of(session)?.manifest().cloned()
    }

    fn log_of(&self, session: SessionId) -> Option<&Hypercore> {
        let core = self.sessions.get(&session)?.core;
        self.cores.get(&core).map(|core| &core.log)
    }
}
