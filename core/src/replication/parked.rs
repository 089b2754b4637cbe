//! Answers that come before the one their proof builds on.
//!
//! A request counts what was asked of the same peer before it as if it were here already, so that answers in the
//! order of requests repeat no uncle. A peer may answer in another order, or leave an answer out: then the proof ends
//! at a node that we do not know yet. Such an answer waits for a while; when nothing brings the node any more, the
//! block is asked for again with everything its proof needs, and nobody is to blame.

use super::effect::{Load, PeerId};
use super::replicator::{Loading, Replicator};
use super::requests::Storing;
use super::view::CoreView;
use crate::manifest::Manifest;
use crate::merkle::Unanchored;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A proof that lacks the node it hangs on.
#[derive(Debug)]
pub(super) struct Hanging {
    pub(super) peer: PeerId,
    pub(super) unanchored: Box<Unanchored>,
    pub(super) manifest: Option<Manifest>,
    pub(super) storing: Storing,
}

/// One that waits for an earlier answer.
#[derive(Debug)]
pub(super) struct Parked {
    hanging: Hanging,
    until: Instant,
}

impl Replicator {
    /// Accepts a proof if the node it hangs on is remembered; else sets it aside or looks for the node in the store.
    pub(super) fn anchor(&mut self, view: &CoreView<'_>, hanging: Hanging) {
        if let Some(node) = self.recent.get(hanging.unanchored.needs()).copied() {
            return self.confirm(view, hanging, &node);
        }
        let until = self.now.after(self.config.park_patience);
        if hanging.storing.ahead && self.may_park(&hanging) {
            return self.parked.push(Parked { hanging, until });
        }
        self.look_up(hanging);
    }

    fn look_up(&mut self, hanging: Hanging) {
        let nodes = Vec::from([hanging.unanchored.needs()]);
        self.load(Load { nodes, blocks: Vec::new() }, Loading::Anchor(hanging));
    }

    /// True while an earlier answer, or what is on its way to the store, brings the node it hangs on.
    fn is_brought(&self, hanging: &Hanging) -> bool {
        // Blocks there have it on their path.
        let beside = hanging.unanchored.needs().sibling().blocks();
        let (peer, storing) = (hanging.peer, &hanging.storing);
        self.requests.brings(peer, false, beside.clone())
            || self.parked.iter().any(|other| {
                let block = other.hanging.storing.block.filter(|block| Some(*block) != storing.block);
                other.hanging.peer == peer && block.is_some_and(|block| beside.contains(&block))
            })
    }

    fn may_park(&self, hanging: &Hanging) -> bool {
        let of_peer = || self.parked.iter().filter(|parked| parked.hanging.peer == hanging.peer);
        let bytes = of_peer().map(|parked| parked.hanging.bytes()).fold(hanging.bytes(), usize::saturating_add);
        of_peer().count() < self.config.max_parked && bytes <= self.config.parked_bytes
    }

    /// Answers of a peer that wait.
    pub(super) fn parked_of(&self, peer: PeerId) -> usize {
        self.parked.iter().filter(|parked| parked.hanging.peer == peer).count()
    }

    /// When the first of them has waited long enough.
    pub(super) fn parked_until(&self) -> Option<Instant> {
        self.parked.iter().map(|parked| parked.until).min()
    }

    /// Takes up what waits no more: the node is here, or nothing brings it.
    pub(super) fn settle_parked(&mut self, view: &CoreView<'_>) {
        let known = |machine: &Self, parked: &Parked| {
            let needs = parked.hanging.unanchored.needs();
            machine.recent.get(needs).copied()
        };
        let over =
            |machine: &Self, parked: &Parked| parked.until <= machine.now || !machine.is_brought(&parked.hanging);
        loop {
            let found = (0..).zip(&self.parked).find_map(|(place, parked)| Some((place, known(self, parked)?)));
            if let Some((place, node)) = found {
                let hanging = self.parked.remove(place).hanging;
                self.confirm(view, hanging, &node);
                continue;
            }
            let Some(place) = self.parked.iter().position(|parked| over(self, parked)) else { return };
            let hanging = self.parked.remove(place).hanging;
            self.look_up(hanging);
        }
    }

    /// Drops what waits, of one peer or of all; its blocks are asked for again.
    pub(super) fn drop_parked(&mut self, of: Option<PeerId>) {
        let (dropped, kept) = core::mem::take(&mut self.parked)
            .into_iter()
            .partition(|parked| of.is_none_or(|peer| parked.hanging.peer == peer));
        self.parked = kept;
        let dropped: Vec<Parked> = dropped;
        for Parked { hanging: Hanging { storing, .. }, .. } in dropped {
            self.give_back(storing.block, storing.upgrade, storing.purpose);
        }
    }

    /// A proof ended at a node that no answer had brought: its block is asked for with all it needs.
    pub(super) fn unproven(&mut self, view: &CoreView<'_>, peer: PeerId, storing: Storing) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.unproven = entry.unproven.saturating_add(1);
        }
        self.requests.unproven.extend(storing.block);
        self.give_back(storing.block, storing.upgrade, storing.purpose);
        self.update(view);
    }
}

impl Hanging {
    fn bytes(&self) -> usize {
        self.unanchored.block_bytes()
    }
}
