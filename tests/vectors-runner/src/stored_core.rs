//! One core over a memory store, driven by hand: writer of the vectors' cores, and reader of their proofs.

use bytes::Bytes;
use corestore_core::crypto::{BlockCipher, CoreKey};
use corestore_core::log::{Auth, Commit, Hypercore};
use corestore_core::manifest::{Manifest, Verifier};
use corestore_core::merkle::{
    Anchor, LoadedNodes, Proof, ProofPlan, ProofRequest, Reorg, RequestBlock, Roots, TreeIndex, Verified, verify,
};
use corestore_core::replication::Data;
use corestore_core::storage::{CoreSlot, MemoryStore, StorageOp, StorageReply, Store, rows};

const SLOT: CoreSlot = CoreSlot(0);

/// A core and its rows.
pub(crate) struct StoredCore {
    pub(crate) core: Hypercore,
    store: MemoryStore,
    reorg: Option<Reorg>,
}

impl StoredCore {
    /// The core of this manifest, written with the key pair of `seed`.
    pub(crate) fn writer(manifest: Manifest, key: CoreKey, seed: [u8; 32]) -> Self {
        Self::create(Auth { key, manifest: Some(manifest), key_pair: Some(seed.into()) })
    }

    /// A core of which nothing but the key is known.
    pub(crate) fn reader(key: CoreKey) -> Self {
        Self::create(Auth { key, manifest: None, key_pair: None })
    }

    fn create(auth: Auth) -> Self {
        let (core, commit) = Hypercore::create(auth).expect("a manifest of this key");
        let mut stored = Self { core, store: MemoryStore::default(), reorg: None };
        stored.commit(commit);
        stored
    }

    pub(crate) fn append(&mut self, blocks: Vec<Bytes>, cipher: Option<&BlockCipher>) {
        let commit = self.core.append(blocks, cipher).expect("a writable core");
        self.commit(commit);
    }

    pub(crate) fn truncate(&mut self, length: u64) {
        let plan = self.core.plan_truncate(length, None).expect("a writable core");
        let loaded = self.nodes(plan.needs());
        let commit = self.core.truncate(&plan, &loaded).expect("stored roots");
        self.commit(commit);
    }

    /// Brings a writer to these blocks on this fork: truncations first, one for every fork in between.
    pub(crate) fn become_log(&mut self, fork: u64, blocks: &[Bytes]) {
        let shared = (0..).zip(blocks).take_while(|(index, block)| self.block(*index).as_ref() == Some(*block)).count();
        while self.fork() < fork {
            let last = self.fork() + 1 == fork;
            let cut = if last { u64::try_from(shared).expect("small") } else { self.length().saturating_sub(1) };
            self.truncate(cut.min(self.length()));
        }
        let from = usize::try_from(self.length()).expect("small");
        self.append(blocks[from..].to_vec(), None);
    }

    /// The proof of a request, from stored rows.
    pub(crate) fn prove(&mut self, request: &ProofRequest) -> Result<Proof, String> {
        let roots = self.core.head().roots.clone();
        let mut plan = ProofPlan::new(&roots, request, None).map_err(|error| error.to_string())?;
        let mut loaded = LoadedNodes::default();
        for _ in 0..100 {
            let needs = plan.needs(&roots, &loaded);
            if needs.is_empty() {
                break;
            }
            loaded.merge(&self.nodes(&needs));
        }
        let block = plan.block().and_then(|index| self.block(index));
        plan.build(&roots, &loaded, block, &self.core.head().signature).map_err(|error| format!("{error:?}"))
    }

    /// Verifies and stores a proof of our own fork, and the manifest when it comes along.
    pub(crate) fn apply_proof(&mut self, data: &Data) -> Result<(), String> {
        let learnt = self.learn(data)?;
        let proof = &data.proof;
        if proof.block.is_none() && proof.hash.is_none() && proof.seek.is_none() && proof.upgrade.is_none() {
            // Only a manifest, or nothing at all: what a seek alone is answered with.
            return self.accept(Verified::nothing(self.fork()), learnt);
        }
        let anchor = verify(&self.core.staged_head().roots, &data.proof, &self.check(learnt.as_ref()));
        let verified = match anchor {
            Err(error) => return Err(error.to_string()),
            Ok(Anchor::Verified(verified)) => verified,
            Ok(Anchor::Stored(unanchored)) => {
                let place = unanchored.needs();
                let loaded = self.nodes(&[place]);
                unanchored.confirm(loaded.get(place)).map_err(|error| error.to_string())?
            }
        };
        self.accept(verified, learnt)
    }

    fn accept(&mut self, verified: Verified, learnt: Option<Verifier>) -> Result<(), String> {
        let manifest = learnt.map(|verifier| verifier.manifest().clone());
        let commit = self.core.accept(verified, manifest).map_err(|error| error.to_string())?;
        self.commit(commit);
        Ok(())
    }

    /// Takes whatever a writer answers: proofs of our fork, a newer fork's tree, the nodes that tell where it parts.
    pub(crate) fn take(&mut self, data: &Data) -> Result<(), String> {
        let proof = &data.proof;
        if proof.fork <= self.fork() {
            return self.apply_proof(data);
        }
        match &mut self.reorg {
            Some(reorg) if proof.upgrade.is_none() => reorg.update(proof).map_err(|error| error.to_string())?,
            _ => {
                let roots = &self.core.staged_head().roots;
                let reorg = Reorg::new(roots, proof, &self.check(None)).map_err(|error| error.to_string())?;
                self.reorg = Some(reorg);
            }
        }
        self.go_on_reorg()
    }

    /// What a reader in the middle of a reorganisation asks next.
    pub(crate) fn wants(&self) -> Option<RequestBlock> {
        self.reorg.as_ref()?.want()
    }

    fn go_on_reorg(&mut self) -> Result<(), String> {
        let Some(mut reorg) = self.reorg.take() else { return Ok(()) };
        let mut loaded = LoadedNodes::default();
        for _ in 0..1000 {
            let needs = reorg.advance(&loaded);
            if needs.is_empty() {
                break;
            }
            loaded.merge(&self.nodes(&needs));
        }
        match reorg.ancestors() {
            None => self.reorg = Some(reorg),
            Some(ancestors) => {
                let commit = self.core.reorg(ancestors, &reorg.into_verified()).map_err(|error| error.to_string())?;
                self.commit(commit);
            }
        }
        Ok(())
    }

    fn learn(&self, data: &Data) -> Result<Option<Verifier>, String> {
        let unknown = data.manifest.clone().filter(|_| self.core.verifier().is_none());
        unknown.map(|manifest| Verifier::new(manifest, self.core.key()).map_err(|error| error.to_string())).transpose()
    }

    fn check<'a>(&'a self, learnt: Option<&'a Verifier>) -> impl Fn(&Roots, &[u8]) -> bool + 'a {
        let verifier = self.core.verifier().or(learnt);
        move |roots, signature| verifier.is_some_and(|verifier| verifier.verify(roots, signature))
    }

    fn commit(&mut self, commit: Commit) {
        let id = commit.id;
        let mut batch = rows::Gathering::default();
        batch.add_commit(SLOT, commit);
        self.store.execute(StorageOp::Write(batch.into_batch())).expect("memory");
        self.core.apply(id).expect("in order");
    }

    fn nodes(&mut self, places: &[TreeIndex]) -> LoadedNodes {
        match self.store.execute(StorageOp::Read(rows::read_core(SLOT, places, &[]))) {
            Ok(StorageReply::Read(reply)) => rows::loaded_nodes(&reply),
            _ => LoadedNodes::default(),
        }
    }

    /// A stored block.
    pub(crate) fn block(&mut self, index: u64) -> Option<Bytes> {
        match self.store.execute(StorageOp::Read(rows::read_core(SLOT, &[], &[index]))) {
            Ok(StorageReply::Read(reply)) => reply.blocks.into_iter().flatten().next(),
            _ => None,
        }
    }

    pub(crate) fn length(&self) -> u64 {
        self.core.head().roots.length
    }

    pub(crate) fn fork(&self) -> u64 {
        self.core.head().roots.fork
    }

    pub(crate) fn byte_length(&self) -> u64 {
        self.core.head().roots.byte_length
    }
}
