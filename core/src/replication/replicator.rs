//! One core's peers: takes what they say and what was stored, and says what to send, load and accept
//! (`hypercore/lib/replicator.js`).
//!
//! After any call, take effects with [`Replicator::poll_effect`] until there is none.

use super::config::ReplicatorConfig;
use super::demand::{Cancelled, Demands, Range, Seek, Span};
use super::effect::{Committed, DemandId, DemandResult, Effect, Load, LoadId, Loaded, PeerId};
use super::forks::ForkSearch;
use super::parked::{Hanging, Parked};
use super::peer::Peer;
use super::receive::Arrived;
use super::requests::{Given, Purpose, Requests, Storing};
use super::serve::Serving;
use super::view::CoreView;
use super::wire::{Message, Request};
use crate::merkle::{Proof, RecentNodes, Roots, TreeIndex};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// What rows were loaded for.
#[derive(Debug)]
pub(super) enum Loading {
    /// Whether we can prove the upgrade from this peer's length.
    CanUpgrade { peer: PeerId, length: u64, fork: u64 },
    /// Proofs for a peer.
    Serve { peer: PeerId, group: Vec<Serving> },
    /// The node a proof hangs on.
    Anchor(Hanging),
    /// Our nodes, to find where this peer's fork begins.
    Fork { peer: PeerId },
    /// Our roots at the length another history was signed for.
    Conflict { peer: PeerId, theirs: Roots, proof: Box<Proof> },
}

/// Replication of one core.
#[derive(Debug)]
pub struct Replicator {
    pub(super) config: ReplicatorConfig,
    pub(super) now: Instant,
    pub(super) peers: BTreeMap<PeerId, Peer>,
    /// Those whose requests may be taken up.
    pub(super) to_serve: BTreeSet<PeerId>,
    pub(super) demands: Demands,
    pub(super) requests: Requests,
    /// Peers on a newer fork, and how far we know where it begins.
    pub(super) forks: BTreeMap<PeerId, ForkSearch>,
    pub(super) loading: BTreeMap<LoadId, Loading>,
    /// Answers that are to be verified together.
    pub(super) arrived: Vec<Arrived>,
    /// Answers that wait for an earlier one.
    pub(super) parked: Vec<Parked>,
    /// True nodes of this fork: read, or proven and on their way to the store.
    pub(super) recent: RecentNodes,
    /// Someone here uses the core, or did a moment ago: data is asked for.
    pub(super) downloading: bool,
    /// Nobody uses it since; downloading ends then.
    pub(super) linger_until: Option<Instant>,
    /// Answers to invalid requests, held back: when, to whom, for which ticket.
    pub(super) late_answers: BTreeMap<(Instant, PeerId, u64), Request>,
    /// Whose next block we take unasked.
    pub(super) pusher: Option<PeerId>,
    /// When a block may be asked of a second peer.
    pub(super) hotswap_at: Option<Instant>,
    /// The store failed: nothing is asked until then.
    pub(super) store_retry_at: Option<Instant>,
    effects: VecDeque<Effect>,
    random: u64,
    last_id: u64,
    pub(super) remote_contiguous: u64,
    /// A first peer may still turn up.
    pub(super) finding_peers: bool,
}

impl Replicator {
    /// Replication with no peers yet. Until [`Replicator::set_active`] it only serves.
    pub fn new(config: ReplicatorConfig) -> Self {
        Self {
            random: config.seed | 1,
            config,
            now: Instant::ZERO,
            peers: BTreeMap::new(),
            to_serve: BTreeSet::new(),
            demands: Demands::default(),
            requests: Requests::default(),
            forks: BTreeMap::new(),
            loading: BTreeMap::new(),
            arrived: Vec::new(),
            parked: Vec::new(),
            recent: RecentNodes::default(),
            downloading: false,
            linger_until: None,
            late_answers: BTreeMap::new(),
            pusher: None,
            hotswap_at: None,
            store_retry_at: None,
            effects: VecDeque::new(),
            last_id: 0,
            remote_contiguous: 0,
            finding_peers: false,
        }
    }

    /// The next effect to carry out.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.effects.pop_front();
        if effect.is_none() && self.peers.is_empty() {
            // A core without peers keeps no room for effects: most of a store's cores have none.
            self.effects = VecDeque::new();
        }
        effect
    }

    /// True when nothing is under way and nobody waits: the core may be closed.
    pub fn is_idle(&self) -> bool {
        self.peers.is_empty()
            && self.loading.is_empty()
            && self.parked.is_empty()
            && self.arrived.is_empty()
            && self.effects.is_empty()
            && self.demands.is_empty()
            && self.requests.is_empty()
    }

    /// Whether data is asked for; see [`Replicator::set_active`].
    pub fn is_downloading(&self) -> bool {
        self.downloading
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
    pub fn open_peer(&mut self, now: Instant, view: &CoreView<'_>, peer: PeerId, seeks: bool) {
        self.now = now;
        self.peers.insert(peer, Peer::new(seeks));
        self.send_sync(view, peer);
        let contiguous = view.contiguous_length;
        if contiguous > 0 {
            self.send(peer, Message::Range { drop: false, start: 0, length: contiguous });
            if let Some(entry) = self.peers.get_mut(&peer).filter(|_| contiguous == view.head.roots.length) {
                entry.told = contiguous;
            }
        }
    }

    /// A channel is gone; what was asked on it is asked elsewhere. A remote that closed because neither side wanted
    /// data is called again when we want some.
    pub fn close_peer(&mut self, now: Instant, view: &CoreView<'_>, peer: PeerId, by_remote: bool) {
        self.now = now;
        self.verify_arrived(view);
        let Some(gone) = self.peers.remove(&peer) else { return };
        self.pusher = self.pusher.filter(|pusher| *pusher != peer);
        let was_idle = gone.sync.is_some_and(|sync| !sync.downloading && sync.uploading);
        self.drop_requests(peer, gone.cancelled);
        self.drop_parked(Some(peer));
        if self.peers.is_empty() {
            self.recent.clear();
        }
        self.forks.remove(&peer);
        self.start_forks(view);
        self.settle_upgrades(view);
        self.update(view);
        if by_remote && was_idle && self.downloading && !view.frozen {
            self.effect(Effect::Reopen);
        }
    }

    /// A message of a peer.
    pub fn on_message(&mut self, now: Instant, view: &CoreView<'_>, peer: PeerId, message: Message) {
        self.now = now;
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        match message {
            Message::Sync(sync) => self.on_sync(view, peer, sync),
            Message::Request(request) => return self.on_request(peer, request),
            Message::Cancel { request } => return self.on_cancel(peer, request),
            Message::Data(data) => {
                if self.on_data(view, peer, data) {
                    return;
                }
            }
            Message::NoData { request, reason } => self.on_no_data(view, peer, request, reason),
            Message::Want(want) => return self.on_want(view, peer, want),
            Message::Unwant(want) => return entry.wants.remove(want),
            Message::Bitfield { start, bits } => entry.note_bits(start, &bits, bound(view), &self.config),
            Message::Range { drop, start, length } => self.on_range(view, peer, (start, length), drop),
            Message::Extension { name, payload } => return self.on_extension(peer, name, payload),
        }
        self.settle_parked(view);
        self.update_peer(view, peer);
    }

    /// Does together what came together. Called before effects are taken.
    pub fn work(&mut self, now: Instant, view: &CoreView<'_>) {
        if !self.arrived.is_empty() || !self.to_serve.is_empty() {
            self.now = now;
            self.verify_arrived(view);
            self.serve(view);
        }
    }

    fn on_range(&mut self, view: &CoreView<'_>, peer: PeerId, (start, length): (u64, u64), drop: bool) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.note_range(start..start.saturating_add(length), drop, bound(view), &self.config);
        let same_fork = entry.fork().is_none_or(|fork| fork == view.head.roots.fork);
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

    /// Rows that were asked for by [`Effect::Load`].
    pub fn on_loaded(&mut self, now: Instant, view: &CoreView<'_>, id: LoadId, loaded: Loaded) {
        self.now = now;
        match self.loading.remove(&id) {
            None => {}
            Some(Loading::CanUpgrade { peer, length, fork }) => {
                let known = Roots::indices(length).iter().all(|index| loaded.nodes.get(*index).is_some());
                self.upgrade_checked(view, peer, (length, fork), known);
                self.update_peer(view, peer);
            }
            Some(Loading::Serve { peer, group }) => self.serve_loaded(view, peer, group, &loaded),
            Some(Loading::Anchor(hanging)) => {
                let peer = hanging.peer;
                self.anchor_loaded(view, hanging, &loaded);
                self.update_peer(view, peer);
            }
            Some(Loading::Fork { peer }) => self.fork_loaded(view, peer, &loaded),
            Some(Loading::Conflict { peer, theirs, proof }) => {
                self.conflict_loaded(view, peer, &theirs, *proof, &loaded);
            }
        }
    }

    /// A change was stored and published.
    pub fn on_committed(&mut self, now: Instant, view: &CoreView<'_>, committed: &Committed) {
        self.now = now;
        self.store_retry_at = None;
        if let Some(length) = committed.truncated_to {
            self.truncated(length);
        }
        let stored = committed.from.and_then(|peer| self.requests.stored(peer));
        self.choose_pusher(view, committed);
        for range in &committed.added {
            for index in range.clone() {
                for demand in self.demands.block_stored(index) {
                    self.effect(Effect::Done { demand, result: DemandResult::Ready });
                }
            }
        }
        self.settle_parked(view);
        self.spans_done(view);
        self.announce(view, committed);
        if committed.grew_from.is_some() {
            self.peers.values_mut().for_each(Peer::log_grew);
            for demand in core::mem::take(&mut self.demands.upgrades) {
                self.effect(Effect::Done { demand, result: DemandResult::Upgraded(true) });
            }
        }
        if let Some(Purpose::Seek(demand)) = stored.map(|stored| stored.purpose)
            && self.demands.seeks.remove(&demand).is_some()
        {
            self.effect(Effect::Done { demand, result: DemandResult::Ready });
        }
        match committed.from {
            Some(peer) if committed.grew_from.is_none() && committed.truncated_to.is_none() && !committed.manifest => {
                self.update_peer(view, peer);
            }
            _ => {
                self.start_forks(view);
                self.settle_upgrades(view);
                self.update(view);
            }
        }
    }

    fn truncated(&mut self, length: u64) {
        self.recent.clear();
        self.demands.truncated(length);
        self.remote_contiguous = self.remote_contiguous.min(length);
        self.forks.clear();
        self.drop_parked(None);
        self.requests.unproven.clear();
        let stale: Vec<u64> = self.requests.iter().map(|(id, _)| id).collect();
        for id in stale {
            if let Some(request) = self.cancel_request(id) {
                self.give_back(request.block(), request.is_upgrade(), request.purpose);
            }
        }
        for peer in self.peers.values_mut() {
            peer.forgive();
            peer.can_upgrade = false;
            peer.proven_length = 0;
            peer.told = peer.told.min(length);
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

    /// What a peer gave last could not be stored, because the log moved meanwhile: it is asked for again.
    pub fn on_rejected(&mut self, now: Instant, view: &CoreView<'_>, peer: PeerId) {
        self.now = now;
        self.withdraw();
        let later = self.effects.iter().filter(|effect| takes_from(effect) == Some(peer)).count();
        let given = self.requests.not_stored(peer, later);
        self.rejected(given);
        self.settle_upgrades(view);
        self.update(view);
    }

    /// The oldest of what a peer gave could not be stored, because the store failed: nothing is asked for a while.
    pub fn on_store_failed(&mut self, now: Instant, peer: PeerId) {
        self.now = now;
        self.store_retry_at = Some(now.after(self.config.store_retry));
        self.withdraw();
        let given = self.requests.stored(peer);
        self.rejected(given);
    }

    fn rejected(&mut self, given: Option<Given>) {
        // They may never be stored.
        self.recent.clear();
        given.into_iter().for_each(|given| self.give_all_back(given));
    }

    /// Hands over to the store what a peer gave, together with what it gave just before where that is possible.
    pub(super) fn accept_effect(&mut self, peer: PeerId, storing: Storing, effect: Effect) {
        let effect = match (self.effects.back_mut(), effect) {
            (
                Some(Effect::Accept { peer: of, verified: last, manifest: None }),
                Effect::Accept { peer, verified, manifest: None },
            ) if *of == peer => last.join(verified).map(|verified| Effect::Accept { peer, verified, manifest: None }),
            (_, effect) => Some(effect),
        };
        self.requests.store(peer, storing, effect.is_none());
        self.effects.extend(effect);
    }

    /// Takes back what is not handed over yet: its proof may end at a node that will not be stored.
    fn withdraw(&mut self) {
        let (accepts, others): (VecDeque<Effect>, _) =
            core::mem::take(&mut self.effects).into_iter().partition(|effect| takes_from(effect).is_some());
        self.effects = others;
        for peer in accepts.iter().filter_map(takes_from) {
            if let Some(given) = self.requests.not_stored(peer, 0) {
                self.give_all_back(given);
            }
        }
    }

    /// When [`Replicator::on_deadline`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let [hotswap, fork] = [self.hotswap_at(), self.fork_deadline()];
        let [answer, parked] = [self.answer_at(), self.parked_until()];
        [self.linger_until, self.store_retry_at, hotswap, fork, answer, parked].into_iter().flatten().min()
    }

    /// Time passed.
    pub fn on_deadline(&mut self, now: Instant, view: &CoreView<'_>) {
        self.now = now;
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(self.linger_until) {
            self.linger_over(view);
        }
        if passed(self.store_retry_at) {
            self.store_retry_at = None;
        }
        self.forks_late(view);
        self.settle_parked(view);
        self.send_late_answers();
        self.update(view);
        if passed(self.hotswap_at) {
            self.hotswap_at = Some(now.after(self.config.hotswap_after));
        }
    }

    /// Someone wants a block.
    pub fn want_block(&mut self, now: Instant, view: &CoreView<'_>, demand: DemandId, index: u64) {
        self.now = now;
        self.demands.add_blocks(demand, Vec::from([index]));
        self.update(view);
    }

    /// Someone wants a range.
    pub fn want_range(&mut self, now: Instant, view: &CoreView<'_>, demand: DemandId, range: Range) {
        self.now = now;
        match range {
            Range::Blocks(blocks) => {
                let missing = blocks.into_iter().filter(|index| !view.bitfield.get(*index)).collect();
                if !self.demands.add_blocks(demand, missing) {
                    self.effect(Effect::Done { demand, result: DemandResult::Ready });
                }
            }
            Range::Span { start, end, linear } => {
                self.demands.spans.insert(demand, Span { start, end, linear, progress: start });
                self.spans_done(view);
            }
        }
        self.update(view);
    }

    /// Someone looks for a byte, `padding` bytes left out per block; `below` is the lowest node known to hold it.
    pub fn want_seek(
        &mut self,
        now: Instant,
        view: &CoreView<'_>,
        demand: DemandId,
        (bytes, padding): (u64, u64),
        below: TreeIndex,
    ) {
        self.now = now;
        self.demands.seeks.insert(demand, Seek { bytes, padding, below, busy: false });
        self.update(view);
    }

    /// Someone looks for a longer log; `finding_peers` as in [`Replicator::set_finding_peers`].
    pub fn want_upgrade(&mut self, now: Instant, view: &CoreView<'_>, demand: DemandId, finding_peers: bool) {
        self.now = now;
        self.finding_peers = finding_peers;
        self.demands.upgrades.insert(demand);
        self.settle_upgrades(view);
        self.update(view);
    }

    /// Whether a first peer may still turn up: without any, who looks for a longer log waits only as long. True when
    /// that is new.
    pub fn set_finding_peers(&mut self, now: Instant, view: &CoreView<'_>, finding_peers: bool) -> bool {
        let changed = self.finding_peers != finding_peers;
        if changed {
            self.now = now;
            self.finding_peers = finding_peers;
            self.settle_upgrades(view);
        }
        changed
    }

    /// True while someone looks for a longer log.
    pub fn looks_for_upgrade(&self) -> bool {
        !self.demands.upgrades.is_empty()
    }

    /// Nobody wants this any more; peers that were asked for it are told.
    pub fn cancel(&mut self, now: Instant, view: &CoreView<'_>, demand: DemandId) {
        self.now = now;
        let unwanted = match self.demands.cancel(demand) {
            Cancelled::Blocks(blocks) => blocks,
            Cancelled::Span => self.requests.blocks().collect(),
            Cancelled::Seek => {
                let seeks = self.requests.iter().filter(|(_, request)| request.purpose == Purpose::Seek(demand));
                let ids: Vec<u64> = seeks.map(|(id, _)| id).collect();
                for id in ids {
                    self.cancel_request(id);
                }
                return self.update(view);
            }
        };
        if unwanted.is_empty() {
            return;
        }
        for index in unwanted {
            if !self.demands.wants_block(index) && !self.demands.spans_over(index) {
                self.cancel_block(index);
            }
        }
        self.update(view);
    }

    /// Sends an extension message to every peer; its name only when it is not the one sent last.
    pub fn broadcast_extension(&mut self, name: &str, payload: &Bytes) {
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            let Some(entry) = self.peers.get_mut(&peer) else { continue };
            let same = entry.extension_sent == name;
            entry.extension_sent = String::from(name);
            let name = if same { String::new() } else { String::from(name) };
            self.send(peer, Message::Extension { name, payload: payload.clone() });
        }
    }
}

/// The peer whose data an effect hands over to the store.
fn takes_from(effect: &Effect) -> Option<PeerId> {
    match effect {
        Effect::Accept { peer, .. } | Effect::Reorg { peer, .. } => Some(*peer),
        _ => None,
    }
}

/// Single blocks past this are not remembered of a peer, whatever it claims; a run from 0 on is.
fn bound(view: &CoreView<'_>) -> u64 {
    view.head.roots.length.saturating_add(UNTOLD_BLOCKS)
}

/// Blocks past our length that are remembered of peers (a range may come before the upgrade it belongs to).
const UNTOLD_BLOCKS: u64 = 1 << 20;
