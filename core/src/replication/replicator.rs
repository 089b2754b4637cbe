//! One core's peers: takes what they say and what was stored, and says what to send, load and accept
//! (`hypercore/lib/replicator.js`).
//!
//! After any call, take effects with [`Replicator::poll_effect`] until there is none.

use super::demand::{Demands, Range, Seek, Span};
use super::effect::{Committed, DemandId, DemandResult, Effect, Load, LoadId, Loaded, PeerId};
use super::forks::ForkSearch;
use super::peer::Peer;
use super::serve::Serving;
use super::view::CoreView;
use super::wire::{Message, Sync, Want};
use crate::manifest::Manifest;
use crate::merkle::{Roots, Unanchored};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// Limits of one core's replication.
#[derive(Clone, Copy, Debug)]
pub struct ReplicatorConfig {
    /// Seed of where random downloads begin.
    pub seed: u64,
    /// Requests a peer may have unanswered.
    pub window: usize,
    /// Requests of one peer that may be served at once; one that sends more is cut off.
    pub max_serving: usize,
    /// Invalid requests after which a peer is cut off.
    pub max_invalid_requests: u32,
    /// Blocks a peer may fail to give before nothing is asked of it any more.
    pub max_not_available: u32,
}

impl Default for ReplicatorConfig {
    fn default() -> Self {
        Self { seed: 1, window: 64, max_serving: 4096, max_invalid_requests: 64, max_not_available: 32 }
    }
}

/// One request of ours.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) peer: PeerId,
    pub(super) block: Option<u64>,
    pub(super) upgrade: bool,
    pub(super) seek: Option<DemandId>,
    pub(super) fork: u64,
}

/// What rows were loaded for.
#[derive(Debug)]
pub(super) enum Loading {
    /// Whether we can prove the upgrade from this peer's length.
    CanUpgrade { peer: PeerId, length: u64, fork: u64 },
    /// A proof for a peer.
    Serve { peer: PeerId, serving: Serving },
    /// The node a proof hangs on.
    Anchor { peer: PeerId, unanchored: Unanchored, manifest: Option<Manifest>, block: Option<u64>, upgrade: bool },
    /// Our nodes, to find where a fork begins.
    Fork,
    /// Our roots at the length another history was signed for.
    Conflict { peer: PeerId, theirs: Roots, proof: alloc::boxed::Box<crate::merkle::Proof> },
}

/// Replication of one core.
#[derive(Debug)]
pub struct Replicator {
    pub(super) config: ReplicatorConfig,
    pub(super) peers: BTreeMap<PeerId, Peer>,
    pub(super) demands: Demands,
    pub(super) in_flight: BTreeMap<u64, InFlight>,
    /// Blocks asked for or on their way to the store.
    pub(super) busy: BTreeSet<u64>,
    /// Blocks given by a peer, on their way to the store.
    pub(super) accepting: BTreeMap<PeerId, Vec<u64>>,
    /// An upgrade is asked for, or on its way to the store.
    pub(super) upgrading: Option<PeerId>,
    pub(super) manifest_asked: bool,
    pub(super) fork: Option<ForkSearch>,
    pub(super) loading: BTreeMap<LoadId, Loading>,
    effects: VecDeque<Effect>,
    random: u64,
    last_id: u64,
    remote_contiguous: u64,
}

impl Replicator {
    /// Replication with no peers yet.
    pub fn new(config: ReplicatorConfig) -> Self {
        Self {
            random: config.seed | 1,
            config,
            peers: BTreeMap::new(),
            demands: Demands::default(),
            in_flight: BTreeMap::new(),
            busy: BTreeSet::new(),
            accepting: BTreeMap::new(),
            upgrading: None,
            manifest_asked: false,
            fork: None,
            loading: BTreeMap::new(),
            effects: VecDeque::new(),
            last_id: 0,
            remote_contiguous: 0,
        }
    }

    /// The next effect to carry out.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(super) fn send(&mut self, peer: PeerId, message: Message) {
        self.effects.push_back(Effect::Send { peer, message });
    }

    pub(super) fn load(&mut self, load: Load, then: Loading) {
        let id = LoadId(self.next_id());
        self.loading.insert(id, then);
        self.effect(Effect::Load { id, load });
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id = self.last_id.saturating_add(1);
        self.last_id
    }

    /// A number below `bound`; xorshift is random enough to spread downloads.
    pub(super) fn random_below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.checked_rem(bound).unwrap_or(0)
    }

    /// A channel opened on both sides and the capability held.
    pub fn open_peer(&mut self, _now: Instant, view: &CoreView<'_>, peer: PeerId, _seeks: bool) {
        self.peers.insert(peer, Peer::new());
        self.send_sync(view, peer);
        if view.contiguous_length > 0 {
            self.send(peer, Message::Range { drop: false, start: 0, length: view.contiguous_length });
            let everything = view.contiguous_length == view.head.roots.length;
            if let Some(peer) = self.peers.get_mut(&peer) {
                peer.told_everything = everything;
            }
        }
    }

    /// A channel is gone; what was asked on it is asked elsewhere.
    pub fn close_peer(&mut self, _now: Instant, view: &CoreView<'_>, peer: PeerId) {
        let Some(gone) = self.peers.remove(&peer) else { return };
        for id in gone.in_flight {
            self.drop_request(id);
        }
        if self.fork.as_ref().is_some_and(|fork| fork.peer == peer) {
            self.fork = None;
        }
        self.update(view);
    }

    /// Forgets a request that will not be answered.
    pub(super) fn drop_request(&mut self, id: u64) -> Option<InFlight> {
        let request = self.in_flight.remove(&id)?;
        if let Some(peer) = self.peers.get_mut(&request.peer) {
            peer.in_flight.remove(&id);
        }
        if let Some(index) = request.block {
            self.busy.remove(&index);
            self.demands.requeue(index);
        }
        if request.upgrade {
            self.upgrading = None;
        }
        if let Some(seek) = request.seek.and_then(|demand| self.demands.seeks.get_mut(&demand)) {
            seek.request = None;
        }
        Some(request)
    }

    /// A message of a peer.
    pub fn on_message(&mut self, _now: Instant, view: &CoreView<'_>, peer: PeerId, message: Message) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        match message {
            Message::Sync(sync) => self.on_sync(view, peer, sync),
            Message::Request(request) => self.on_request(view, peer, request),
            Message::Cancel { request } => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.serving.remove(&request);
                }
            }
            Message::Data(data) => self.on_data(view, peer, data),
            Message::NoData { request, .. } => self.on_no_data(peer, request),
            Message::Want(want) => self.on_want(view, peer, want),
            Message::Unwant(want) => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.remove_want(want);
                }
            }
            Message::Bitfield { start, bits } => {
                let bound = self.bound(view, peer);
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.note_bits(start, &bits, bound);
                }
            }
            Message::Range { drop, start, length } => self.on_range(view, peer, (start, length), drop),
            Message::Extension { name, payload } => self.on_extension(peer, name, payload),
        }
        self.update(view);
    }

    /// No block past this is remembered of a peer: its own length, with room for appends it has yet to tell of.
    fn bound(&self, view: &CoreView<'_>, peer: PeerId) -> u64 {
        let theirs = self.peers.get(&peer).map_or(0, Peer::length);
        theirs.max(view.head.roots.length).saturating_add(UNTOLD_BLOCKS)
    }

    fn on_range(&mut self, view: &CoreView<'_>, peer: PeerId, (start, length): (u64, u64), drop: bool) {
        let bound = self.bound(view, peer);
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.note_range(start, length, drop, bound);
        let same_fork = entry.sync.is_some_and(|sync| sync.fork == view.head.roots.fork);
        let contiguous = entry.contiguous().min(entry.length().max(view.head.roots.length));
        if same_fork && contiguous > self.remote_contiguous {
            self.remote_contiguous = contiguous;
            self.effect(Effect::RemoteContiguousLength(contiguous));
        }
    }

    fn on_extension(&mut self, peer: PeerId, name: String, payload: Bytes) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if !name.is_empty() {
            entry.extension = name;
        }
        let name = entry.extension.clone();
        self.effect(Effect::Extension { peer, name, payload });
    }

    fn on_sync(&mut self, view: &CoreView<'_>, peer: PeerId, sync: Sync) {
        let roots = &view.head.roots;
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let length_changed = entry.length() != sync.length || entry.sync.is_none();
        if entry.sync.is_some_and(|old| old.fork != sync.fork) {
            entry.forget_blocks(0);
        }
        entry.sync = Some(sync);
        entry.refused_upgrade = false;
        let same_fork = sync.fork == roots.fork;
        if !same_fork {
            entry.can_upgrade = false;
        } else if length_changed {
            self.check_upgrade(view, peer, sync);
        }
        if same_fork && roots.length > sync.length && !self.is_checking_upgrade(peer) {
            self.send_sync(view, peer);
        }
        if sync.fork > roots.fork && sync.length > 0 {
            self.start_fork(view, peer);
        }
        self.settle_upgrades(view);
    }

    /// Finds out whether we can prove the upgrade from the peer's length to ours.
    fn check_upgrade(&mut self, view: &CoreView<'_>, peer: PeerId, sync: Sync) {
        let roots = &view.head.roots;
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.can_upgrade = sync.length == 0;
        if sync.length == 0 || sync.length >= roots.length {
            return;
        }
        let nodes = Roots::indices(sync.length);
        let then = Loading::CanUpgrade { peer, length: sync.length, fork: sync.fork };
        self.load(Load { nodes, blocks: Vec::new() }, then);
    }

    fn is_checking_upgrade(&self, of: PeerId) -> bool {
        self.loading.values().any(|loading| matches!(loading, Loading::CanUpgrade { peer, .. } if *peer == of))
    }

    /// Rows that were asked for by [`Effect::Load`].
    pub fn on_loaded(&mut self, _now: Instant, view: &CoreView<'_>, id: LoadId, loaded: Loaded) {
        match self.loading.remove(&id) {
            None => {}
            Some(Loading::CanUpgrade { peer, length, fork }) => {
                let known = Roots::indices(length).iter().all(|index| loaded.nodes.get(*index).is_some());
                self.upgrade_checked(view, peer, (length, fork), known);
            }
            Some(Loading::Serve { peer, serving }) => self.serve_loaded(view, peer, serving, &loaded),
            Some(Loading::Anchor { peer, unanchored, manifest, block, upgrade }) => {
                self.anchor_loaded(view, peer, unanchored, manifest, (block, upgrade), &loaded);
            }
            Some(Loading::Fork) => self.fork_loaded(view, &loaded),
            Some(Loading::Conflict { peer, theirs, proof }) => {
                self.conflict_loaded(view, peer, &theirs, *proof, &loaded)
            }
        }
        self.update(view);
    }

    fn upgrade_checked(&mut self, view: &CoreView<'_>, peer: PeerId, (length, fork): (u64, u64), known: bool) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let current = entry.sync.is_some_and(|sync| sync.length == length && sync.fork == fork);
        if current && fork == view.head.roots.fork {
            entry.can_upgrade = known;
            if known {
                entry.proven_length = length;
            }
            if view.head.roots.length > length {
                self.send_sync(view, peer);
            }
        }
    }

    pub(super) fn send_sync(&mut self, view: &CoreView<'_>, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let roots = &view.head.roots;
        let theirs = entry.sync.unwrap_or_default();
        if theirs.fork != roots.fork {
            entry.can_upgrade = false;
        }
        let compat = view.verifier.is_some_and(crate::manifest::Verifier::is_compat);
        let sync = Sync {
            fork: roots.fork,
            length: roots.length,
            remote_length: if theirs.fork == roots.fork { theirs.length } else { 0 },
            can_upgrade: entry.can_upgrade,
            uploading: true,
            downloading: !view.frozen,
            has_manifest: view.manifest.is_some() && !compat,
            allow_push: false,
        };
        self.send(peer, Message::Sync(sync));
    }

    fn on_want(&mut self, view: &CoreView<'_>, peer: PeerId, want: Want) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if !entry.add_want(want) {
            return;
        }
        let length = view.head.roots.length;
        let end = want.start.saturating_add(want.length).min(length);
        if want.start >= end {
            return;
        }
        if view.contiguous_length >= end {
            self.send(peer, Message::Range { drop: false, start: 0, length: view.contiguous_length });
            return;
        }
        for page in want.start / PAGE_BITS..=end.saturating_sub(1) / PAGE_BITS {
            if let Some(bits) = view.bitfield.page(page) {
                let start = page.saturating_mul(PAGE_BITS);
                let bits = Bytes::copy_from_slice(bits);
                self.send(peer, Message::Bitfield { start, bits });
            }
        }
    }

    fn on_no_data(&mut self, peer: PeerId, id: u64) {
        if self.in_flight.get(&id).is_none_or(|request| request.peer != peer) {
            return;
        }
        let Some(request) = self.drop_request(id) else { return };
        let limit = self.config.max_not_available;
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.not_available = entry.not_available.saturating_add(1);
        entry.paused |= entry.not_available >= limit;
        match request.block {
            Some(index) => entry.refuse(index),
            None => entry.refused_upgrade = true,
        }
        if self.fork.as_ref().is_some_and(|fork| fork.request == Some(id)) {
            self.fork = None;
        }
    }

    /// A change was stored and published.
    pub fn on_committed(&mut self, _now: Instant, view: &CoreView<'_>, committed: &Committed) {
        if let Some(length) = committed.truncated_to {
            self.truncated(length);
        }
        if let Some(peer) = committed.from {
            self.accepting.remove(&peer);
        }
        for range in &committed.added {
            for index in range.clone() {
                self.busy.remove(&index);
                for demand in self.demands.block_stored(index) {
                    self.effect(Effect::Done { demand, result: DemandResult::Ready });
                }
            }
        }
        if committed.grew_from.is_some() || committed.manifest {
            self.upgrading = None;
        }
        self.spans_done(view);
        self.announce(view, committed);
        if committed.grew_from.is_some() {
            for demand in core::mem::take(&mut self.demands.upgrades) {
                self.effect(Effect::Done { demand, result: DemandResult::Upgraded(true) });
            }
        }
        if committed.from.is_some() && committed.added.is_empty() {
            self.seeks_may_be_ready();
        }
        self.update(view);
    }

    fn seeks_may_be_ready(&mut self) {
        let answered: Vec<DemandId> =
            self.demands.seeks.iter().filter(|(_, seek)| seek.answered).map(|(demand, _)| *demand).collect();
        for demand in answered {
            self.demands.seeks.remove(&demand);
            self.effect(Effect::Done { demand, result: DemandResult::Ready });
        }
    }

    fn truncated(&mut self, length: u64) {
        self.demands.truncated(length);
        self.fork = None;
        self.upgrading = None;
        self.remote_contiguous = self.remote_contiguous.min(length);
        let stale: Vec<u64> = self.in_flight.keys().copied().collect();
        for id in stale {
            self.drop_request(id);
        }
        for peer in self.peers.values_mut() {
            peer.can_upgrade = false;
            peer.proven_length = 0;
            peer.told_everything = false;
        }
    }

    fn spans_done(&mut self, view: &CoreView<'_>) {
        let bitfield = view.bitfield;
        let spans = self.demands.spans.iter_mut();
        let done: Vec<DemandId> =
            spans.filter_map(|(demand, span)| span.advance(bitfield).then_some(*demand)).collect();
        for demand in done {
            self.demands.spans.remove(&demand);
            self.effect(Effect::Done { demand, result: DemandResult::Ready });
        }
    }

    /// Tells peers what changed: a longer log, new blocks near its end or where they look, dropped blocks.
    fn announce(&mut self, view: &CoreView<'_>, committed: &Committed) {
        let length = view.head.roots.length;
        let everything = view.contiguous_length == length && length > 0;
        let moved = committed.grew_from.is_some() || committed.truncated_to.is_some();
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.announce_blocks(view, peer, committed, everything);
            if let Some(range) = committed.cleared.clone() {
                let length = range.end.saturating_sub(range.start);
                self.send(peer, Message::Range { drop: true, start: range.start, length });
            }
            if moved || committed.manifest {
                self.tell_length(view, peer);
            }
        }
    }

    /// Sends a sync, after finding out whether we can prove the upgrade when that is not known.
    fn tell_length(&mut self, view: &CoreView<'_>, peer: PeerId) {
        let roots = &view.head.roots;
        let Some(entry) = self.peers.get(&peer) else { return };
        let behind = entry.sync.filter(|sync| sync.fork == roots.fork && sync.length < roots.length);
        match behind {
            Some(sync) if !entry.can_upgrade && sync.length > 0 => self.check_upgrade(view, peer, sync),
            _ => self.send_sync(view, peer),
        }
    }

    fn announce_blocks(&mut self, view: &CoreView<'_>, peer: PeerId, committed: &Committed, everything: bool) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let length = view.head.roots.length;
        if committed.added.is_empty() && committed.truncated_to.is_none() {
            entry.told_everything &= everything;
            return;
        }
        if everything {
            // From a gapless log to a longer one only the new blocks are news.
            let (start, told) = match committed.grew_from {
                Some(from) if entry.told_everything => (from, length.saturating_sub(from)),
                _ => (0, length),
            };
            entry.told_everything = true;
            self.send(peer, Message::Range { drop: false, start, length: told });
            return;
        }
        entry.told_everything = false;
        let near_end = length.saturating_sub(NEAR_END);
        let news: Vec<core::ops::Range<u64>> =
            committed.added.iter().filter(|range| range.end > near_end || entry.wants_any(range)).cloned().collect();
        for range in news {
            let length = range.end.saturating_sub(range.start);
            self.send(peer, Message::Range { drop: false, start: range.start, length });
        }
    }

    /// What a peer gave could not be stored.
    pub fn on_rejected(&mut self, _now: Instant, view: &CoreView<'_>, peer: PeerId) {
        for index in self.accepting.remove(&peer).unwrap_or_default() {
            self.busy.remove(&index);
            self.demands.requeue(index);
        }
        self.upgrading = None;
        self.demands.seeks.values_mut().for_each(|seek| seek.answered = false);
        if let Some(entry) = self.peers.get_mut(&peer) {
            // The store may be full: asking on would only repeat that.
            entry.refused_upgrade = true;
        }
        self.settle_upgrades(view);
    }

    /// When [`Replicator::on_deadline`] has something to do: never so far.
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Time passed.
    pub fn on_deadline(&mut self, _now: Instant, view: &CoreView<'_>) {
        self.update(view);
    }

    /// Someone wants a block.
    pub fn want_block(&mut self, _now: Instant, view: &CoreView<'_>, demand: DemandId, index: u64) {
        self.demands.add_blocks(demand, Vec::from([index]));
        self.update(view);
    }

    /// Someone wants a range.
    pub fn want_range(&mut self, _now: Instant, view: &CoreView<'_>, demand: DemandId, range: Range) {
        match range {
            Range::Blocks(blocks) => {
                let missing = blocks.into_iter().filter(|index| !view.bitfield.get(*index)).collect();
                if !self.demands.add_blocks(demand, missing) {
                    self.effect(Effect::Done { demand, result: DemandResult::Ready });
                }
            }
            Range::Span { start, end, linear } => {
                self.demands.spans.insert(demand, Span { end, linear, progress: start });
                self.spans_done(view);
            }
        }
        self.update(view);
    }

    /// Someone looks for a byte.
    pub fn want_seek(&mut self, _now: Instant, view: &CoreView<'_>, demand: DemandId, bytes: u64, padding: u64) {
        self.demands.seeks.insert(demand, Seek { bytes, padding, request: None, answered: false });
        self.update(view);
    }

    /// Someone looks for a longer log.
    pub fn want_upgrade(&mut self, _now: Instant, view: &CoreView<'_>, demand: DemandId) {
        self.demands.upgrades.insert(demand);
        self.settle_upgrades(view);
        self.update(view);
    }

    /// Answers who looks for a longer log, once every peer spoke and none has one.
    pub(super) fn settle_upgrades(&mut self, view: &CoreView<'_>) {
        let roots = &view.head.roots;
        let all_spoke = !self.peers.is_empty() && self.peers.values().all(|peer| peer.sync.is_some());
        let newer = self.peers.values().any(|peer| {
            !peer.refused_upgrade
                && !peer.paused
                && peer.sync.is_some_and(|sync| (sync.fork, sync.length) > (roots.fork, roots.length))
        });
        if all_spoke && !newer && self.upgrading.is_none() {
            for demand in core::mem::take(&mut self.demands.upgrades) {
                self.effect(Effect::Done { demand, result: DemandResult::Upgraded(false) });
            }
        }
    }

    /// Nobody wants this any more.
    pub fn cancel(&mut self, _now: Instant, _view: &CoreView<'_>, demand: DemandId) {
        self.demands.cancel(demand);
    }

    /// Sends an extension message to every peer.
    pub fn broadcast_extension(&mut self, name: &str, payload: &Bytes) {
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.send(peer, Message::Extension { name: String::from(name), payload: payload.clone() });
        }
    }
}

/// Blocks past a peer's told length that its ranges may name (its sync may come after its range).
const UNTOLD_BLOCKS: u64 = 1 << 20;
/// Blocks this close to the end are announced to everyone, as the reference does.
const NEAR_END: u64 = 256;
const PAGE_BITS: u64 = crate::log::PAGE_BITS;
