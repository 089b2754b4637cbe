//! Which connection to a peer stays: decisions only. The bytes that carry a connection are the caller's, as `W`.

use corestore_core::crypto::PublicKey;
use std::collections::BTreeMap;

/// Names a connection of a pool, from its first try to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place(u64);

/// The connections of a pool, by peer. There is never more than one to a peer.
#[derive(Debug)]
pub(super) struct Connections<W> {
    peers: BTreeMap<PublicKey, Entry<W>>,
    last: u64,
}

/// Who called, and with which key of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) own: PublicKey,
    pub(super) initiator: bool,
}

/// What becomes of a connection that came about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<W> {
    /// It stays.
    Kept(Place),
    /// It stays, and the earlier one ends; `None` when that was still being made.
    Replaced(Place, Option<W>),
    /// The earlier one stays, and it ends.
    Duplicate,
}

#[derive(Debug)]
struct Entry<W> {
    place: Place,
    side: Side,
    /// `None` while it is being made.
    wire: Option<W>,
}

impl<W: Clone> Connections<W> {
    pub(super) fn new() -> Self {
        Self { peers: BTreeMap::new(), last: 0 }
    }

    /// A connection to the peer stands or is being made.
    pub(super) fn has(&self, peer: &PublicKey) -> bool {
        self.peers.contains_key(peer)
    }

    /// The connection to the peer that stands.
    pub(super) fn get(&self, peer: &PublicKey) -> Option<W> {
        self.peers.get(peer)?.wire.clone()
    }

    /// Those that stand.
    pub(super) fn standing(&self) -> impl Iterator<Item = &W> {
        self.peers.values().filter_map(|entry| entry.wire.as_ref())
    }

    /// How many are being made.
    pub(super) fn connecting(&self) -> usize {
        self.peers.values().filter(|entry| entry.wire.is_none()).count()
    }

    /// We are about to call; `None` when there is no need.
    pub(super) fn call(&mut self, peer: PublicKey, own: PublicKey) -> Option<Place> {
        if self.has(&peer) {
            return None;
        }
        let side = Side { own, initiator: true };
        Some(self.insert(peer, side, None))
    }

    /// Our call stands. False: it is not wanted any more.
    pub(super) fn called(&mut self, peer: &PublicKey, place: Place, wire: W) -> bool {
        let entry = self.peers.get_mut(peer).filter(|entry| entry.place == place && entry.wire.is_none());
        entry.is_some_and(|entry| {
            entry.wire = Some(wire);
            true
        })
    }

    /// A peer's connection stands. When there is one already, the later of two the same way stays, as the peer must
    /// have lost the earlier; of two that cross, the call of the lesser key stays, on both sides.
    pub(super) fn accept(&mut self, peer: PublicKey, side: Side, wire: W) -> Verdict<W> {
        let Some(existing) = self.peers.get(&peer) else {
            return Verdict::Kept(self.insert(peer, side, Some(wire)));
        };
        if existing.side.initiator != side.initiator && side.own <= peer {
            return Verdict::Duplicate;
        }
        let old = self.peers.remove(&peer).and_then(|entry| entry.wire);
        Verdict::Replaced(self.insert(peer, side, Some(wire)), old)
    }

    /// A connection is over, or could not be made. False: a later one to the same peer took its place, and stays.
    pub(super) fn ended(&mut self, peer: &PublicKey, place: Place) -> bool {
        let last = self.peers.get(peer).is_some_and(|entry| entry.place == place);
        if last {
            self.peers.remove(peer);
        }
        last
    }

    fn insert(&mut self, peer: PublicKey, side: Side, wire: Option<W>) -> Place {
        self.last = self.last.saturating_add(1);
        let place = Place(self.last);
        self.peers.insert(peer, Entry { place, side, wire });
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> PublicKey {
        PublicKey([seed; 32])
    }

    fn incoming(own: u8) -> Side {
        Side { own: key(own), initiator: false }
    }

    #[test]
    fn a_peer_is_called_once_and_found_until_it_goes() {
        let mut pool = Connections::new();
        let place = pool.call(key(2), key(1)).unwrap();
        assert!(pool.has(&key(2)) && pool.call(key(2), key(1)).is_none());
        assert_eq!((pool.get(&key(2)), pool.connecting()), (None, 1));
        assert!(pool.called(&key(2), place, "out"));
        assert_eq!((pool.get(&key(2)), pool.connecting(), pool.standing().count()), (Some("out"), 0, 1));
        assert!(pool.ended(&key(2), place));
        assert!(!pool.has(&key(2)) && pool.call(key(2), key(1)).is_some());
    }

    #[test]
    fn of_two_calls_that_cross_the_lesser_keys_stays_on_both_sides() {
        let (mut lesser, mut greater) = (Connections::new(), Connections::new());
        let out = lesser.call(key(2), key(1)).unwrap();
        let back = greater.call(key(1), key(2)).unwrap();
        assert_eq!(lesser.accept(key(2), incoming(1), "of 2"), Verdict::Duplicate);
        assert!(matches!(greater.accept(key(1), incoming(2), "of 1"), Verdict::Replaced(_, None)));
        assert!(lesser.called(&key(2), out, "of 1"));
        assert!(!greater.called(&key(1), back, "of 2"), "our own call is not wanted any more");
        assert_eq!((lesser.get(&key(2)), greater.get(&key(1))), (Some("of 1"), Some("of 1")));
    }

    #[test]
    fn who_calls_again_lost_the_first_and_the_firsts_end_leaves_the_second_alone() {
        let mut pool = Connections::new();
        let Verdict::Kept(first) = pool.accept(key(2), incoming(1), "first") else { panic!("kept") };
        assert!(matches!(pool.accept(key(2), incoming(1), "second"), Verdict::Replaced(_, Some("first"))));
        assert!(!pool.ended(&key(2), first));
        assert_eq!(pool.get(&key(2)), Some("second"));
    }
}
