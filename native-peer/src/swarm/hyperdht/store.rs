//! What a lasting node keeps for others: announcements and values (`hyperdht/lib/persistent.js`).

use super::config::Config;
use super::generations::Generations;
use super::records::Records;
use bytes::Bytes;
use corestore_core::crypto::{Hash, PublicKey, blake2b};
use corestore_core::dht::{
    Announce, LookupReply, MAX_RECORDS, MAX_RELAY_ADDRESSES, MutablePut, MutableValue, PeerError, PeerRecord,
    peer_target,
};
use corestore_core::encoding::{Decode, Encode, Reader};
use corestore_core::entropy::Entropy;
use corestore_core::time::Instant;

/// Records and values of others; bounded in number, bytes and time.
#[derive(Debug)]
pub(super) struct Store {
    records: Records,
    bumps: Generations<Hash, u64>,
    refreshes: Generations<Hash, Refresh>,
    mutables: Generations<Hash, MutableValue>,
    immutables: Generations<Hash, Bytes>,
    max_value: usize,
    max_bump_drift: u64,
}

/// What a refresh token renews.
#[derive(Clone, Debug)]
struct Refresh {
    target: Hash,
    record: PeerRecord,
}

/// Where a request came in: the target it names, our id, and the token it proved to have from us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) target: &'a Hash,
    pub(super) node: &'a Hash,
    pub(super) token: &'a Hash,
}

/// What an announcement did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Announced {
    /// The record is kept.
    Kept,
    /// The peer announced itself under the hash of its own key: handshakes for it go through us.
    Route(Hash, PeerRecord),
}

impl Store {
    pub(super) fn new(now: Instant, config: &Config) -> Self {
        let (count, age) = (config.max_records, config.record_age);
        let (values, bytes) = (config.max_values, config.max_value_bytes);
        Self {
            records: Records::new(now, count, config.max_records_per_target, age),
            bumps: Generations::new(now, count, usize::MAX, age),
            refreshes: Generations::new(now, count, usize::MAX, age),
            mutables: Generations::new(now, values, bytes, config.value_age),
            immutables: Generations::new(now, values, bytes, config.value_age),
            max_value: config.max_value,
            max_bump_drift: config.max_bump_drift,
        }
    }

    /// Who is announced under a target. `route` is the record of a peer whose own target this is.
    pub(super) fn lookup(
        &mut self,
        now: Instant,
        target: &Hash,
        route: Option<&PeerRecord>,
        entropy: &mut Entropy,
    ) -> Option<Bytes> {
        let mut peers = self.records.pick(now, target, MAX_RECORDS, entropy);
        if peers.len() < MAX_RECORDS {
            peers.extend(route.cloned());
        }
        let bump = self.bumps.get(target).copied().unwrap_or_default();
        (!peers.is_empty()).then(|| Bytes::from(LookupReply { peers, bump }.to_bytes()))
    }

    /// Keeps an announcement; `None` when its signature does not hold here. `unix` is the time in ms.
    pub(super) fn announce(&mut self, now: Instant, unix: u64, place: Place<'_>, value: &[u8]) -> Option<Announced> {
        let announce = Announce::from_bytes(value).ok()?;
        if announce.peer.is_none() {
            return self.refresh(now, &announce.refresh?);
        }
        // Checked over all relay addresses it names, then cut.
        if !announce.verify_announce(place.target, place.node, place.token) {
            return None;
        }
        let mut record = announce.peer?;
        record.relay_addresses.truncate(MAX_RELAY_ADDRESSES);
        if let Some(token) = announce.refresh {
            let refresh = Refresh { target: *place.target, record: record.clone() };
            self.refreshes.insert(now, token, refresh, 1);
        }
        let newer = announce.bump > self.bumps.get(place.target).copied().unwrap_or_default();
        let announced = self.keep(now, place.target, record);
        if newer && announced == Announced::Kept && announce.bump <= unix.saturating_add(self.max_bump_drift) {
            self.bumps.insert(now, *place.target, announce.bump, 1);
        }
        Some(announced)
    }

    fn keep(&mut self, now: Instant, target: &Hash, record: PeerRecord) -> Announced {
        if peer_target(&record.public_key) == *target {
            self.records.remove(target, &record.public_key);
            Announced::Route(*target, record)
        } else {
            self.records.add(now, target, record);
            Announced::Kept
        }
    }

    /// Each token renews once, and is the hash of the next one.
    fn refresh(&mut self, now: Instant, token: &Hash) -> Option<Announced> {
        let refresh = self.refreshes.remove(&blake2b(&[token.as_ref()]))?;
        self.refreshes.insert(now, *token, refresh.clone(), 1);
        Some(self.keep(now, &refresh.target, refresh.record))
    }

    /// Whose record is to be forgotten; `None` when the signature does not hold here.
    pub(super) fn unannounce(&mut self, place: Place<'_>, value: &[u8]) -> Option<PublicKey> {
        let announce = Announce::from_bytes(value).ok()?;
        if !announce.verify_unannounce(place.target, place.node, place.token) {
            return None;
        }
        let key = announce.peer?.public_key;
        self.records.remove(place.target, &key);
        Some(key)
    }

    /// Forgets a record.
    pub(super) fn forget(&mut self, target: &Hash, key: &PublicKey) {
        self.records.remove(target, key);
    }

    /// The signed value under a target, unless it is older than `value`'s sequence number asks for. The outer `None`
    /// means that the request makes no sense.
    pub(super) fn mutable_get(&self, target: &Hash, value: &[u8]) -> Option<Option<Bytes>> {
        let seq = Reader::new(value).uint("sequence number").ok()?;
        Some(self.mutables.get(target).filter(|kept| kept.seq >= seq).map(|kept| Bytes::from(kept.to_bytes())))
    }

    /// Keeps a signed value; `None` when it makes no sense or its signature does not hold.
    pub(super) fn mutable_put(&mut self, now: Instant, target: &Hash, value: &[u8]) -> Option<Result<(), PeerError>> {
        let put = MutablePut::from_bytes(value).ok()?;
        if peer_target(&put.public_key) != *target || put.value.value.len() > self.max_value {
            return None;
        }
        if !put.value.verify(&put.public_key) {
            return None;
        }
        if let Some(kept) = self.mutables.get(target) {
            if kept.seq == put.value.seq && kept.value != put.value.value {
                return Some(Err(PeerError::SeqReused));
            }
            if put.value.seq < kept.seq {
                return Some(Err(PeerError::SeqTooLow));
            }
        }
        let weight = put.value.value.len();
        self.mutables.insert(now, *target, put.value, weight);
        Some(Ok(()))
    }

    pub(super) fn immutable_get(&self, target: &Hash) -> Option<Bytes> {
        self.immutables.get(target).cloned()
    }

    /// Keeps a value; false when the target is not its hash, or it is too large.
    pub(super) fn immutable_put(&mut self, now: Instant, target: &Hash, value: &Bytes) -> bool {
        let fits = value.len() <= self.max_value && blake2b(&[value]) == *target;
        if fits {
            self.immutables.insert(now, *target, value.clone(), value.len());
        }
        fits
    }

    /// Records and values kept.
    pub(super) fn len(&self) -> usize {
        let maps = [self.bumps.len(), self.refreshes.len(), self.mutables.len(), self.immutables.len()];
        maps.into_iter().fold(self.records.len(), usize::saturating_add)
    }

    /// Forgets what is too old.
    pub(super) fn handle_time(&mut self, now: Instant) {
        self.records.turn_if_due(now);
        self.bumps.turn_if_due(now);
        self.refreshes.turn_if_due(now);
        self.mutables.turn_if_due(now);
        self.immutables.turn_if_due(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corestore_core::crypto::KeyPair;
    use corestore_core::encoding::Writer;
    use std::net::{Ipv4Addr, SocketAddrV4};

    const NODE: Hash = Hash([2; 32]);
    const TOKEN: Hash = Hash([3; 32]);
    const NOW: Instant = Instant::ZERO;

    fn place(target: &Hash) -> Place<'_> {
        Place { target, node: &NODE, token: &TOKEN }
    }

    fn record(pair: &KeyPair, relays: u16) -> PeerRecord {
        let relay_addresses = (0..relays).map(|port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).collect();
        PeerRecord { public_key: pair.public_key(), relay_addresses }
    }

    fn announce(pair: &KeyPair, target: &Hash, relays: u16, bump: u64) -> Vec<u8> {
        Announce::sign_announce(pair, target, &NODE, &TOKEN, record(pair, relays), bump).to_bytes()
    }

    fn looked_up(store: &mut Store, target: &Hash) -> LookupReply {
        let found = store.lookup(NOW, target, None, &mut Entropy::from_seed([0; 32]));
        found.map(|bytes| LookupReply::from_bytes(&bytes).unwrap()).unwrap_or_default()
    }

    #[test]
    fn announcements_are_kept_cut_dated_and_forgotten_on_request() {
        let mut store = Store::new(NOW, &Config::default());
        let (pair, target) = (KeyPair::from_seed(&[1; 32]), Hash([9; 32]));
        assert_eq!(store.announce(NOW, 1000, place(&target), &announce(&pair, &target, 5, 900)), Some(Announced::Kept));
        let found = looked_up(&mut store, &target);
        assert_eq!((found.peers, found.bump), (vec![record(&pair, 3)], 900));
        // A date from the far future counts for nothing.
        store.announce(NOW, 1000, place(&target), &announce(&pair, &target, 5, 900_000)).unwrap();
        assert_eq!(looked_up(&mut store, &target).bump, 900);
        let end = Announce::sign_unannounce(&pair, &target, &NODE, &TOKEN).to_bytes();
        assert_eq!(store.unannounce(place(&target), &end), Some(pair.public_key()));
        assert!(looked_up(&mut store, &target).peers.is_empty());
    }

    #[test]
    fn replayed_and_forged_announcements_are_refused() {
        let mut store = Store::new(NOW, &Config::default());
        let (pair, target, other) = (KeyPair::from_seed(&[1; 32]), Hash([9; 32]), Hash([8; 32]));
        let good = announce(&pair, &target, 0, 0);
        assert_eq!(store.announce(NOW, 0, Place { target: &other, ..place(&target) }, &good), None);
        assert_eq!(store.announce(NOW, 0, Place { node: &other, ..place(&target) }, &good), None);
        assert_eq!(store.announce(NOW, 0, Place { token: &other, ..place(&target) }, &good), None);
        let mut forged = good.clone();
        forged[3] ^= 1;
        assert_eq!(store.announce(NOW, 0, place(&target), &forged), None);
        assert_eq!(store.unannounce(place(&target), &good), None);
        assert_eq!(store.announce(NOW, 0, place(&target), &good[..40]), None);
    }

    #[test]
    fn a_peers_own_target_makes_a_route() {
        let mut store = Store::new(NOW, &Config::default());
        let pair = KeyPair::from_seed(&[1; 32]);
        let target = peer_target(&pair.public_key());
        let kept = store.announce(NOW, 0, place(&target), &announce(&pair, &target, 1, 0));
        assert_eq!(kept, Some(Announced::Route(target, record(&pair, 1))));
        assert!(looked_up(&mut store, &target).peers.is_empty());
    }

    #[test]
    fn a_refresh_token_renews_once_and_the_next_one_is_its_preimage() {
        let mut store = Store::new(NOW, &Config::default());
        let (pair, target) = (KeyPair::from_seed(&[1; 32]), Hash([9; 32]));
        let second = Hash([5; 32]);
        let first = blake2b(&[second.as_ref()]);
        // Signed with the refresh token inside.
        let mut value = Announce { peer: Some(record(&pair, 0)), refresh: Some(first), ..Announce::default() };
        let parts = [target.as_ref(), NODE.as_ref(), TOKEN.as_ref(), &record(&pair, 0).to_bytes(), first.as_ref()];
        let namespace = corestore_core::crypto::namespace::ANNOUNCE;
        value.signature = Some(pair.sign(&[namespace.as_ref(), blake2b(&parts).as_ref()].concat()));
        assert_eq!(store.announce(NOW, 0, place(&target), &value.to_bytes()), Some(Announced::Kept));
        let refresh = Announce { refresh: Some(second), ..Announce::default() }.to_bytes();
        assert_eq!(store.announce(NOW, 0, place(&target), &refresh), Some(Announced::Kept));
        assert_eq!(store.announce(NOW, 0, place(&target), &refresh), None);
    }

    #[test]
    fn signed_values_only_grow_and_plain_ones_are_what_their_hash_says() {
        let mut store = Store::new(NOW, &Config::default());
        let pair = KeyPair::from_seed(&[1; 32]);
        let target = peer_target(&pair.public_key());
        let put = |seq, value: &'static [u8]| {
            let value = MutableValue::sign(&pair, seq, Bytes::from_static(value));
            MutablePut { public_key: pair.public_key(), value }.to_bytes()
        };
        assert_eq!(store.mutable_put(NOW, &target, &put(5, b"a")), Some(Ok(())));
        assert_eq!(store.mutable_put(NOW, &target, &put(5, b"a")), Some(Ok(())));
        assert_eq!(store.mutable_put(NOW, &target, &put(5, b"b")), Some(Err(PeerError::SeqReused)));
        assert_eq!(store.mutable_put(NOW, &target, &put(4, b"c")), Some(Err(PeerError::SeqTooLow)));
        assert_eq!(store.mutable_put(NOW, &Hash([1; 32]), &put(6, b"d")), None);
        let get = |store: &Store, seq| {
            let mut writer = Writer::new();
            writer.uint(seq);
            store.mutable_get(&target, writer.as_slice()).unwrap()
        };
        assert!(get(&store, 5).is_some() && get(&store, 6).is_none());
        let value = Bytes::from_static(b"value");
        assert!(store.immutable_put(NOW, &blake2b(&[&value]), &value));
        assert!(!store.immutable_put(NOW, &target, &value));
        assert!(!store.immutable_put(NOW, &blake2b(&[&[0; 4000]]), &Bytes::from_static(&[0; 4000])));
        assert_eq!(store.immutable_get(&blake2b(&[&value])), Some(value));
    }
}
