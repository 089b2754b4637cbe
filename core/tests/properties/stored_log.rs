//! One core over a memory store, with every step carried out at once; and the tree by its definition.

use bytes::Bytes;
use corestore_core::crypto::KeyPair;
use corestore_core::encoding::Decode;
use corestore_core::log::{Auth, Bitfield, Commit, Hypercore, StoredState};
use corestore_core::manifest::Manifest;
use corestore_core::merkle::{
    Anchor, InvalidProof, LoadedNodes, Node, Proof, ProofPlan, ProofRequest, Reorg, RequestBlock, Roots, TreeIndex,
    Verified, missing_nodes, verify,
};
use corestore_core::storage::{
    CoreSlot, MemoryStore, ReadBatch, ScanRecords, StorageOp, StorageReply, Store, keys, rows,
};

const SLOT: CoreSlot = CoreSlot(5);

pub(crate) struct StoredLog {
    pub(crate) core: Hypercore,
    pub(crate) store: MemoryStore,
}

impl StoredLog {
    pub(crate) fn writer() -> Self {
        let pair = KeyPair::from_seed(&[9; 32]);
        let manifest = Manifest::single(1, pair.public_key());
        Self::create(Auth { key: manifest.key(), manifest: Some(manifest), key_pair: Some(pair.into()) })
    }

    pub(crate) fn reader() -> Self {
        let manifest = Manifest::single(1, KeyPair::from_seed(&[9; 32]).public_key());
        Self::create(Auth { key: manifest.key(), manifest: Some(manifest), key_pair: None })
    }

    fn create(auth: Auth) -> Self {
        let (core, commit) = Hypercore::create(auth).unwrap();
        let mut log = Self { core, store: MemoryStore::default() };
        log.commit(commit);
        log
    }

    pub(crate) fn commit(&mut self, commit: Commit) {
        let id = commit.id;
        let mut batch = rows::Gathering::default();
        batch.add_commit(SLOT, commit);
        self.store.execute(StorageOp::Write(batch.into_batch())).unwrap();
        self.core.apply(id).unwrap();
    }

    pub(crate) fn append(&mut self, blocks: &[Bytes]) {
        let commit = self.core.append(blocks.to_vec(), None).unwrap();
        self.commit(commit);
    }

    pub(crate) fn truncate(&mut self, length: u64) {
        let plan = self.core.plan_truncate(length, None).unwrap();
        let loaded = self.nodes(plan.needs());
        let commit = self.core.truncate(&plan, &loaded).unwrap();
        self.commit(commit);
    }

    pub(crate) fn clear(&mut self, range: std::ops::Range<u64>) {
        let commit = self.core.clear(range).unwrap();
        self.commit(commit);
    }

    /// Forgets what is in memory and opens the core from its records.
    pub(crate) fn reopen(&mut self) {
        let records = Vec::from([keys::auth(SLOT), keys::state(SLOT)]);
        let StorageReply::Read(reply) = self.read(ReadBatch { records, ..ReadBatch::default() }) else { panic!() };
        let auth = Auth::from_bytes(reply.records[0].as_ref().unwrap()).unwrap();
        let state = StoredState::from_bytes(reply.records[1].as_ref().unwrap()).unwrap();
        let range = keys::bitfield(SLOT);
        let scan = ScanRecords { start: range.start, end: range.end, limit: 10_000 };
        let Ok(StorageReply::Scanned { rows, .. }) = self.store.execute(StorageOp::Scan(scan)) else { panic!() };
        let mut bitfield = Bitfield::default();
        for (key, bytes) in rows {
            bitfield.set_part(keys::part_of(&key).unwrap().0, bytes.as_ref().try_into().unwrap());
        }
        self.core = Hypercore::open(auth, state, bitfield).unwrap();
    }

    fn read(&mut self, batch: ReadBatch) -> StorageReply {
        self.store.execute(StorageOp::Read(batch)).unwrap()
    }

    pub(crate) fn nodes(&mut self, places: &[TreeIndex]) -> LoadedNodes {
        let StorageReply::Read(reply) = self.read(rows::read_core(SLOT, places, &[])) else { panic!() };
        rows::loaded_nodes(&reply)
    }

    pub(crate) fn block(&mut self, index: u64) -> Option<Bytes> {
        let StorageReply::Read(reply) = self.read(rows::read_core(SLOT, &[], &[index])) else { panic!() };
        reply.blocks.into_iter().next().flatten()
    }

    pub(crate) fn length(&self) -> u64 {
        self.core.head().roots.length
    }

    pub(crate) fn prove(&mut self, request: &ProofRequest) -> Result<Proof, String> {
        let roots = self.core.head().roots.clone();
        let mut plan = ProofPlan::new(&roots, request, None).map_err(|error| error.to_string())?;
        let mut loaded = LoadedNodes::default();
        for _ in 0..200 {
            let needs = plan.needs(&roots, &loaded);
            if needs.is_empty() {
                break;
            }
            loaded.merge(&self.nodes(&needs));
        }
        let block = plan.block().and_then(|index| self.block(index));
        let signature = self.core.head().signature.clone();
        plan.build(&roots, &loaded, block, &signature).map_err(|error| format!("{error:?}"))
    }

    /// What a proof proves to this core; nothing is stored yet.
    pub(crate) fn check(&mut self, proof: &Proof) -> Result<Verified, InvalidProof> {
        let verifier = self.core.verifier().unwrap();
        let check = |roots: &Roots, signature: &[u8]| verifier.verify(roots, signature);
        match verify(&self.core.head().roots, proof, &check)? {
            Anchor::Verified(verified) => Ok(verified),
            Anchor::Stored(unanchored) => {
                let place = unanchored.needs();
                let loaded = self.nodes(&[place]);
                unanchored.confirm(loaded.get(place))
            }
        }
    }

    pub(crate) fn accept(&mut self, verified: Verified) {
        let commit = self.core.accept(verified, None).unwrap();
        self.commit(commit);
    }

    /// How many uncles this core lacks for a node.
    pub(crate) fn missing(&self, node: TreeIndex) -> u64 {
        missing_nodes(node, self.length(), &mut |range| self.core.bitfield().any(range))
    }

    /// Fetches one block of the common tree.
    pub(crate) fn fetch(&mut self, from: &mut Self, index: u64) -> Result<(), String> {
        let nodes = self.missing(TreeIndex::leaf(index));
        let block = Some(RequestBlock { index, nodes });
        let proof = from.prove(&ProofRequest { block, ..ProofRequest::default() })?;
        let verified = self.check(&proof).map_err(|error| error.to_string())?;
        self.accept(verified);
        Ok(())
    }

    /// Moves to the newer fork of `from`; gives how many blocks both share.
    pub(crate) fn follow_fork(&mut self, from: &mut Self) -> u64 {
        let upgrade = corestore_core::merkle::RequestUpgrade { start: 0, length: from.length() };
        let proof = from.prove(&ProofRequest { upgrade: Some(upgrade), ..ProofRequest::default() }).unwrap();
        let verifier = self.core.verifier().unwrap();
        let check = |roots: &Roots, signature: &[u8]| verifier.verify(roots, signature);
        let mut reorg = Reorg::new(&self.core.head().roots, &proof, &check).unwrap();
        let mut loaded = LoadedNodes::default();
        for _ in 0..1000 {
            let needs = reorg.advance(&loaded);
            if !needs.is_empty() {
                loaded.merge(&self.nodes(&needs));
            } else if let Some(hash) = reorg.want() {
                let proof = from.prove(&ProofRequest { hash: Some(hash), ..ProofRequest::default() }).unwrap();
                reorg.update(&proof).unwrap();
            } else {
                break;
            }
        }
        let ancestors = reorg.ancestors().expect("the search ends");
        let commit = self.core.reorg(ancestors, &reorg.into_verified()).unwrap();
        self.commit(commit);
        ancestors
    }
}

/// A node by its definition.
pub(crate) fn naive_node(index: TreeIndex, blocks: &[Bytes]) -> Node {
    match index.children() {
        None => Node::leaf(index.0 / 2, &blocks[(index.0 / 2) as usize]),
        Some((left, right)) => Node::parent(&naive_node(left, blocks), &naive_node(right, blocks)),
    }
}

/// A tree by its definition.
pub(crate) fn naive_roots(fork: u64, blocks: &[Bytes]) -> Roots {
    let length = blocks.len() as u64;
    let nodes = Roots::indices(length).into_iter().map(|root| naive_node(root, blocks)).collect();
    Roots::from_nodes(fork, length, nodes).unwrap()
}
