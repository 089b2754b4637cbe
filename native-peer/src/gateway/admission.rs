//! Who is let in, and how much one address may do. It reads no clock.

use super::bucket::Bucket;
use super::limits::Limits;
use corestore_core::crypto::PublicKey;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Counts what is granted.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    connections: usize,
    groups: BTreeMap<IpAddr, Group>,
    next_sweep: usize,
}

/// All that one address has.
#[derive(Debug)]
struct Group {
    connections: usize,
    streams: usize,
    keys: BTreeMap<PublicKey, usize>,
    arrivals: Bucket,
    bytes: Bucket,
    lookups: Bucket,
    connects: Bucket,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The gateway is full.
    #[error("the gateway is full; use another one, or come back later")]
    Full,
    /// This address has too many connections.
    #[error("this address has too many connections")]
    Address,
    /// This address connects too often.
    #[error("this address connects too often; wait a little")]
    Often,
    /// This key has too many connections from this address.
    #[error("this key has too many connections from this address")]
    Key,
}

/// What an address wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Lookup,
    Connect,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, connections: 0, groups: BTreeMap::new(), next_sweep: SWEEP }
    }

    /// Lets a connection in; [`Self::leave`] when it is over.
    pub(super) fn enter(&mut self, now: Instant, address: IpAddr) -> Result<(), Refusal> {
        if self.connections >= self.limits.connections {
            return Err(Refusal::Full);
        }
        let most = self.limits.connections_per_address;
        let group = self.group(now, address);
        if group.connections >= most {
            return Err(Refusal::Address);
        }
        if !group.arrivals.take(now) {
            return Err(Refusal::Often);
        }
        group.connections = group.connections.saturating_add(1);
        self.connections = self.connections.saturating_add(1);
        Ok(())
    }

    /// The connection named its key.
    pub(super) fn name(&mut self, now: Instant, address: IpAddr, key: PublicKey) -> Result<(), Refusal> {
        let most = self.limits.connections_per_key;
        let count = self.group(now, address).keys.entry(key).or_default();
        if *count >= most {
            return Err(Refusal::Key);
        }
        *count = count.saturating_add(1);
        Ok(())
    }

    /// A connection is over; the key it had named.
    pub(super) fn leave(&mut self, address: IpAddr, key: Option<PublicKey>) {
        self.connections = self.connections.saturating_sub(1);
        let Some(group) = self.groups.get_mut(&grouped(address)) else { return };
        group.connections = group.connections.saturating_sub(1);
        if let Some((key, count)) = key.and_then(|key| group.keys.get_mut(&key).map(|count| (key, count))) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                group.keys.remove(&key);
            }
        }
    }

    /// A stream to a peer begins, if this address may have one more; [`Self::end_stream`] when it is over.
    pub(super) fn begin_stream(&mut self, now: Instant, address: IpAddr) -> bool {
        let most = self.limits.streams_per_address;
        let group = self.group(now, address);
        let room = group.streams < most;
        group.streams = group.streams.saturating_add(usize::from(room));
        room
    }

    /// A stream is over.
    pub(super) fn end_stream(&mut self, address: IpAddr) {
        let group = self.groups.get_mut(&grouped(address));
        group.into_iter().for_each(|group| group.streams = group.streams.saturating_sub(1));
    }

    /// May this address do that now?
    pub(super) fn may(&mut self, now: Instant, address: IpAddr, deed: Deed) -> bool {
        let group = self.group(now, address);
        match deed {
            Deed::Lookup => group.lookups.take(now),
            Deed::Connect => group.connects.take(now),
        }
    }

    /// So many bytes went from or to this address: how long is it to wait?
    pub(super) fn spend(&mut self, now: Instant, address: IpAddr, bytes: usize) -> Duration {
        self.group(now, address).bytes.spend(now, u32::try_from(bytes).unwrap_or(u32::MAX))
    }

    fn group(&mut self, now: Instant, address: IpAddr) -> &mut Group {
        if self.groups.len() >= self.next_sweep {
            self.groups.retain(|_, group| !group.is_idle(now));
            self.next_sweep = self.groups.len().saturating_mul(2).max(SWEEP);
        }
        let limits = &self.limits;
        self.groups.entry(grouped(address)).or_insert_with(|| Group {
            connections: 0,
            streams: 0,
            keys: BTreeMap::new(),
            arrivals: Bucket::new(now, limits.new_connections, 4),
            bytes: Bucket::new(now, limits.bytes, 2),
            lookups: Bucket::new(now, limits.lookups, 4),
            connects: Bucket::new(now, limits.connects, 4),
        })
    }

    /// Addresses that are remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.groups.len()
    }
}

impl Group {
    fn is_idle(&mut self, now: Instant) -> bool {
        let buckets = [&mut self.arrivals, &mut self.bytes, &mut self.lookups, &mut self.connects];
        self.connections == 0 && self.streams == 0 && buckets.into_iter().all(|bucket| bucket.is_full(now))
    }
}

/// One household has one IPv4 address, or one /64 of IPv6.
fn grouped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(wide) => match wide.to_ipv4_mapped() {
            Some(narrow) => IpAddr::V4(narrow),
            None => IpAddr::V6(Ipv6Addr::from_bits(wide.to_bits() & !u128::from(u64::MAX))),
        },
    }
}

/// Addresses that are remembered before idle ones are forgotten.
const SWEEP: usize = 4096;

/// The address that our own proxy names in `X-Forwarded-For`.
pub(super) fn forwarded_for(header: &str) -> Option<IpAddr> {
    // What stands left of the last one was written by strangers.
    let last = header.rsplit(',').next()?.trim();
    let bare = last.trim_start_matches('[').split(']').next()?;
    bare.parse().ok().or_else(|| last.rsplit_once(':')?.0.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Admission {
        let limits = Limits {
            connections: 6,
            connections_per_address: 4,
            connections_per_key: 2,
            new_connections: 100,
            ..Limits::default()
        };
        Admission::new(limits)
    }

    #[test]
    fn one_address_cannot_take_the_place_of_others() {
        let (mut admission, now) = (admission(), Instant::now());
        let [greedy, other]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        let granted = (0..10).map(|_| admission.enter(now, greedy)).filter(Result::is_ok).count();
        assert_eq!((granted, admission.enter(now, greedy)), (4, Err(Refusal::Address)));
        assert_eq!(admission.enter(now, other), Ok(()));
        assert_eq!(admission.enter(now, other), Ok(()));
        assert_eq!(admission.enter(now, other), Err(Refusal::Full));
        admission.leave(greedy, None);
        assert_eq!(admission.enter(now, other), Ok(()));
    }

    #[test]
    fn a_stranger_who_names_a_key_does_not_use_up_its_share() {
        let (mut admission, now) = (admission(), Instant::now());
        let [home, stranger]: [IpAddr; 2] = ["2001:db8::1", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        let key = PublicKey([1; 32]);
        assert_eq!(admission.name(now, stranger, key), Ok(()));
        assert_eq!(admission.name(now, stranger, key), Ok(()));
        assert_eq!(admission.name(now, stranger, key), Err(Refusal::Key));
        assert_eq!(admission.name(now, home, key), Ok(()));
        admission.leave(stranger, Some(key));
        assert_eq!(admission.name(now, stranger, key), Ok(()));
    }

    #[test]
    fn an_address_has_so_many_streams_however_many_connections_it_has() {
        let limits = Limits { streams_per_address: 2, ..Limits::default() };
        let (mut admission, now) = (Admission::new(limits), Instant::now());
        let [greedy, other]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        let begun = (0..5).filter(|_| admission.begin_stream(now, greedy)).count();
        assert_eq!((begun, admission.begin_stream(now, other)), (2, true));
        admission.end_stream(greedy);
        assert!(admission.begin_stream(now, greedy) && !admission.begin_stream(now, greedy));
    }

    #[test]
    fn addresses_that_do_nothing_are_forgotten() {
        let (mut admission, now) = (admission(), Instant::now());
        for number in 0..100_000_u32 {
            let later = now + Duration::from_millis(u64::from(number));
            admission.may(later, IpAddr::from(number.to_be_bytes()), Deed::Lookup);
        }
        assert!(admission.len() <= 2 * SWEEP, "{}", admission.len());
    }

    #[test]
    fn only_the_own_proxys_word_counts() {
        let address = |text: &str| forwarded_for(text).map(|address| address.to_string());
        assert_eq!(address("6.6.6.6, 10.0.0.9").as_deref(), Some("10.0.0.9"));
        assert_eq!(address("10.0.0.9:1234").as_deref(), Some("10.0.0.9"));
        assert_eq!(address("[2001:db8::1]:80").as_deref(), Some("2001:db8::1"));
        assert_eq!(address("2001:db8::1").as_deref(), Some("2001:db8::1"));
        assert_eq!(address("unknown"), None);
    }
}
