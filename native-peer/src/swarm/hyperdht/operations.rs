//! Looking up, announcing, putting and getting: a query, and what is said to the nearest nodes at its end
//! (`hyperdht/index.js`).

use super::identity::{Identity, Signable};
use super::machine::{HyperDht, QueryFor, RequestFor};
use super::output::{Event, OperationId, Outcome};
use crate::swarm::dht_rpc::{QueryId, QuerySettings, Reply, RequestSettings};
use bytes::Bytes;
use corestore_core::crypto::{Hash, KeyPair, PublicKey, blake2b};
use corestore_core::dht::{
    Command, Contact, LookupReply, MAX_RECORDS, MutablePut, MutableValue, PeerError, PeerRecord, peer_target,
};
use corestore_core::encoding::{Decode, Encode, Writer};
use corestore_core::time::Instant;
use std::net::SocketAddrV4;

/// An operation under way.
pub(super) struct Operation {
    target: Hash,
    query: QueryId,
    work: Work,
    answered: usize,
    /// Requests that are awaited: first those that take back old records, then those that commit.
    awaited: usize,
    /// Once the query is over: where to commit.
    closest: Option<Vec<Reply>>,
    committing: bool,
    stored: usize,
    refused: Option<PeerError>,
}

enum Work {
    Lookup,
    FindPeer,
    Announce { identity: Identity, relay_addresses: Vec<SocketAddrV4>, bump: u64, clear: bool },
    Unannounce { identity: Identity },
    ImmutableGet,
    ImmutablePut { value: Bytes },
    MutableGet { public_key: PublicKey, seq: u64, latest: bool, found: Option<MutableValue> },
    MutablePut { put: MutablePut },
}

impl HyperDht {
    /// Who is announced under a target? [`Event::Peers`] follow, then [`Outcome::LookedUp`].
    pub fn lookup(&mut self, now: Instant, target: Hash) -> OperationId {
        self.operate(now, target, Work::Lookup)
    }

    /// Which relay addresses has the peer with this key? Events as for [`HyperDht::lookup`].
    pub fn find_peer(&mut self, now: Instant, public_key: &PublicKey) -> OperationId {
        self.operate(now, peer_target(public_key), Work::FindPeer)
    }

    /// Announces a key under a target. `clear` takes back older records of the key that are found on the way.
    /// [`Event::Peers`] follow, then [`Outcome::Stored`]. `bump`: Unix time in ms at which others should look again,
    /// or 0.
    pub fn announce(
        &mut self,
        now: Instant,
        target: Hash,
        identity: impl Into<Identity>,
        relay_addresses: Vec<SocketAddrV4>,
        clear: bool,
        bump: u64,
    ) -> OperationId {
        let work = Work::Announce { identity: identity.into(), relay_addresses, bump, clear };
        self.operate(now, target, work)
    }

    /// Takes a key's announcement back. Events as for [`HyperDht::announce`].
    pub fn unannounce(&mut self, now: Instant, target: Hash, identity: impl Into<Identity>) -> OperationId {
        self.operate(now, target, Work::Unannounce { identity: identity.into() })
    }

    /// Gets the value of a hash: [`Outcome::Value`] or [`Outcome::NotFound`].
    pub fn immutable_get(&mut self, now: Instant, hash: Hash) -> OperationId {
        self.operate(now, hash, Work::ImmutableGet)
    }

    /// Puts a value under its hash; [`Outcome::Stored`] tells it.
    pub fn immutable_put(&mut self, now: Instant, value: Bytes) -> OperationId {
        self.operate(now, blake2b(&[&value]), Work::ImmutablePut { value })
    }

    /// Gets the value a key signed, with a sequence number of at least `seq`: the latest that anybody has, or with
    /// `latest` false the first that comes.
    pub fn mutable_get(&mut self, now: Instant, public_key: PublicKey, seq: u64, latest: bool) -> OperationId {
        let work = Work::MutableGet { public_key, seq, latest, found: None };
        self.operate(now, peer_target(&public_key), work)
    }

    /// Signs a value and puts it; later values need greater sequence numbers.
    pub fn mutable_put(&mut self, now: Instant, key_pair: &KeyPair, seq: u64, value: Bytes) -> OperationId {
        let public_key = key_pair.public_key();
        let put = MutablePut { public_key, value: MutableValue::sign(key_pair, seq, value) };
        self.operate(now, peer_target(&public_key), Work::MutablePut { put })
    }

    /// Forgets an operation; no event follows.
    pub fn cancel_operation(&mut self, operation: OperationId) {
        if let Some(operation) = self.operations.remove(&operation) {
            self.queries.remove(&operation.query);
            self.rpc.cancel_query(operation.query);
        }
    }

    fn operate(&mut self, now: Instant, target: Hash, work: Work) -> OperationId {
        let id = OperationId(self.number());
        let (command, value) = match &work {
            Work::Lookup | Work::Announce { .. } | Work::Unannounce { .. } => (Command::Lookup, None),
            Work::FindPeer => (Command::FindPeer, None),
            Work::ImmutableGet | Work::ImmutablePut { .. } => (Command::ImmutableGet, None),
            Work::MutableGet { seq, .. } => (Command::MutableGet, Some(uint(*seq))),
            Work::MutablePut { .. } => (Command::MutableGet, Some(uint(0))),
        };
        if let Work::Unannounce { identity } | Work::Announce { identity, clear: true, .. } = &work {
            self.forget_own(&target, &identity.public_key());
        }
        let settings = QuerySettings { command: command.number(), value, ..QuerySettings::default() };
        let query = self.rpc.query(now, target, settings);
        self.queries.insert(query, QueryFor::Operation(id));
        let operation = Operation {
            target,
            query,
            work,
            answered: 0,
            awaited: 0,
            closest: None,
            committing: false,
            stored: 0,
            refused: None,
        };
        self.operations.insert(id, operation);
        self.pump(now);
        id
    }

    /// A node answered the query.
    pub(super) fn operation_reply(&mut self, now: Instant, id: OperationId, reply: &Reply) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        operation.answered = operation.answered.saturating_add(1);
        let Some(value) = &reply.value else { return };
        match &mut operation.work {
            Work::Lookup => self.tell_peers(id, reply, LookupReply::from_bytes(value).ok()),
            Work::FindPeer => {
                let found = PeerRecord::from_bytes(value).ok();
                self.tell_peers(id, reply, found.map(|peer| LookupReply { peers: vec![peer], bump: 0 }));
            }
            Work::Announce { identity, clear, .. } => {
                let identity = clear.then(|| identity.clone());
                self.clear_reply(now, id, reply, value, identity.as_ref());
            }
            Work::Unannounce { identity } => {
                let identity = identity.clone();
                self.clear_reply(now, id, reply, value, Some(&identity));
            }
            Work::ImmutableGet => {
                if blake2b(&[value]) == operation.target {
                    let outcome = Outcome::Value { value: value.clone(), seq: 0 };
                    self.finish(id, outcome);
                }
            }
            Work::MutableGet { public_key, seq, latest, found } => {
                let Ok(value) = MutableValue::from_bytes(value) else { return };
                let newer = value.seq >= *seq && found.as_ref().is_none_or(|found| value.seq > found.seq);
                if !newer || !value.verify(public_key) {
                    return;
                }
                if *latest {
                    *found = Some(value);
                } else {
                    self.finish(id, Outcome::Value { value: value.value, seq: value.seq });
                }
            }
            Work::ImmutablePut { .. } | Work::MutablePut { .. } => {}
        }
    }

    fn tell_peers(&mut self, operation: OperationId, reply: &Reply, found: Option<LookupReply>) {
        if let Some(LookupReply { peers, bump }) = found {
            let from = Contact { id: reply.id, address: reply.from };
            self.event(Event::Peers { operation, from, to: reply.to, token: reply.token, peers, bump });
        }
    }

    /// Takes our old record back where it is found; a full answer may hide it.
    fn clear_reply(&mut self, now: Instant, id: OperationId, reply: &Reply, value: &[u8], identity: Option<&Identity>) {
        let Ok(found) = LookupReply::from_bytes(value) else { return };
        if let (Some(identity), Some(node), Some(token)) = (identity, reply.id, reply.token) {
            let public_key = identity.public_key();
            let ours = found.peers.iter().any(|peer| peer.public_key == public_key);
            let target = self.operations.get(&id).map(|operation| operation.target);
            if let Some(target) = target.filter(|_| ours || found.peers.len() >= MAX_RECORDS) {
                self.operations.get_mut(&id).into_iter().for_each(|op| op.awaited = op.awaited.saturating_add(1));
                let peer = PeerRecord { public_key, relay_addresses: Vec::new() };
                let signable = Signable { unannounce: true, target, node, token, peer, bump: 0 };
                self.request_signed(now, identity, signable, reply.from, RequestFor::Operation(id));
            }
        }
        self.tell_peers(id, reply, Some(found));
    }

    /// The query is over: commit, or tell.
    pub(super) fn operation_queried(&mut self, now: Instant, id: OperationId, closest: Vec<Reply>) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        let nodes = operation.answered;
        match &mut operation.work {
            Work::Lookup | Work::FindPeer => self.finish(id, Outcome::LookedUp { nodes }),
            Work::ImmutableGet => self.finish(id, Outcome::NotFound),
            Work::MutableGet { found, .. } => {
                let found = found.take();
                self.finish(id, found.map_or(Outcome::NotFound, |v| Outcome::Value { value: v.value, seq: v.seq }));
            }
            _ => {
                operation.closest = Some(closest);
                self.go_on_operation(now, id);
            }
        }
    }

    /// A request of the operation was answered, or not.
    pub(super) fn operation_answered(&mut self, now: Instant, id: OperationId, reply: Option<&Reply>) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        operation.awaited = operation.awaited.saturating_sub(1);
        let counts = operation.committing || matches!(operation.work, Work::Unannounce { .. });
        match reply {
            Some(reply) if reply.error == 0 => {
                operation.stored = operation.stored.saturating_add(usize::from(counts));
            }
            Some(reply) if counts => operation.refused = Some(PeerError::from_number(reply.error)),
            _ => {}
        }
        self.go_on_operation(now, id);
    }

    fn go_on_operation(&mut self, now: Instant, id: OperationId) {
        let Some(operation) = self.operations.get_mut(&id).filter(|operation| operation.awaited == 0) else { return };
        if !operation.committing {
            let Some(closest) = operation.closest.take() else { return };
            operation.committing = true;
            return self.commit(now, id, &closest);
        }
        let (target, nodes) = (operation.target, operation.stored);
        let ends = matches!(operation.work, Work::Unannounce { .. });
        let outcome = match operation.refused {
            _ if nodes > 0 || ends => Outcome::Stored { target, nodes },
            Some(error @ (PeerError::SeqReused | PeerError::SeqTooLow)) => Outcome::Outdated { error },
            _ => Outcome::NoNodes,
        };
        self.finish(id, outcome);
    }

    fn commit(&mut self, now: Instant, id: OperationId, closest: &[Reply]) {
        for reply in closest {
            let Some(operation) = self.operations.get(&id) else { return };
            let (Some(node), Some(token)) = (reply.id, reply.token) else { continue };
            let (target, to, owner) = (operation.target, reply.from, RequestFor::Operation(id));
            let work = operation.work.commit();
            if matches!(work, Commit::Nothing) {
                continue;
            }
            self.operations.get_mut(&id).into_iter().for_each(|op| op.awaited = op.awaited.saturating_add(1));
            match work {
                Commit::Put(command, value) => {
                    self.request_for(now, to, put(command, target, token, value), owner);
                }
                Commit::Announce(identity, peer, bump) => {
                    let signable = Signable { unannounce: false, target, node, token, peer, bump };
                    self.request_signed(now, &identity, signable, to, owner);
                }
                Commit::Nothing => {}
            }
        }
        self.go_on_operation(now, id);
    }

    fn finish(&mut self, id: OperationId, outcome: Outcome) {
        self.cancel_operation(id);
        self.event(Event::Done { operation: id, outcome });
    }
}

/// What is said to each of the nearest nodes.
enum Commit {
    Put(Command, Bytes),
    Announce(Box<Identity>, PeerRecord, u64),
    Nothing,
}

impl Work {
    fn commit(&self) -> Commit {
        match self {
            Self::Announce { identity, relay_addresses, bump, .. } => {
                let relay_addresses = relay_addresses.clone();
                let peer = PeerRecord { public_key: identity.public_key(), relay_addresses };
                Commit::Announce(Box::new(identity.clone()), peer, *bump)
            }
            Self::ImmutablePut { value } => Commit::Put(Command::ImmutablePut, value.clone()),
            Self::MutablePut { put } => Commit::Put(Command::MutablePut, Bytes::from(put.to_bytes())),
            _ => Commit::Nothing,
        }
    }
}

/// A request that stores something.
pub(super) fn put(command: Command, target: Hash, token: Hash, value: Bytes) -> RequestSettings {
    RequestSettings {
        command: command.number(),
        target: Some(target),
        token: Some(token),
        value: Some(value),
        ..RequestSettings::default()
    }
}

fn uint(number: u64) -> Bytes {
    let mut writer = Writer::new();
    writer.uint(number);
    Bytes::from(writer.into_vec())
}
