//! What others see of our address, from many answers (`nat-sampler/index.js`).

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The last 16 sightings of our address, and what they agree on.
#[derive(Clone, Debug, Default)]
pub struct NatSampler {
    seen: VecDeque<SocketAddrV4>,
    total: usize,
    agreed: Option<SocketAddrV4>,
}

impl NatSampler {
    /// Takes a sighting.
    pub fn add(&mut self, address: SocketAddrV4) {
        if self.seen.len() == SAMPLES {
            self.seen.pop_front();
        }
        self.seen.push_back(address);
        self.total = self.total.saturating_add(1).min(SAMPLES);
        self.agreed = self.agree();
    }

    /// The address others agree on; port 0 when they agree on the host alone, `None` when on nothing.
    pub fn address(&self) -> Option<SocketAddrV4> {
        self.agreed
    }

    /// The host others agree on.
    pub fn host(&self) -> Option<Ipv4Addr> {
        self.agreed.map(|address| *address.ip())
    }

    /// The port others agree on.
    pub fn port(&self) -> Option<u16> {
        self.agreed.map(|address| address.port()).filter(|port| *port != 0)
    }

    /// How many sightings count.
    pub fn len(&self) -> usize {
        self.total
    }

    /// True when nobody has seen us yet.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    fn agree(&self) -> Option<SocketAddrV4> {
        let most = |key: &dyn Fn(&SocketAddrV4) -> SocketAddrV4| {
            let hits = |of: &SocketAddrV4| self.seen.iter().filter(|seen| key(seen) == key(of)).count();
            // The latest of the most often seen.
            self.seen.iter().map(|seen| (hits(seen), key(seen))).max_by_key(|(hits, _)| *hits)
        };
        let enough = |(hits, address): (usize, SocketAddrV4)| (hits >= self.threshold()).then_some(address);
        most(&|seen| *seen).and_then(enough).or_else(|| most(&|seen| SocketAddrV4::new(*seen.ip(), 0)).and_then(enough))
    }

    /// How many sightings have to agree: one to three may be wrong, once there are enough.
    fn threshold(&self) -> usize {
        let wrong = match self.total {
            0..4 => 0,
            4..8 => 1,
            8..12 => 2,
            _ => 3,
        };
        self.total.saturating_sub(wrong)
    }
}

const SAMPLES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(ports: &[u16]) -> NatSampler {
        let mut sampler = NatSampler::default();
        ports.iter().for_each(|port| sampler.add(SocketAddrV4::new(Ipv4Addr::LOCALHOST, *port)));
        sampler
    }

    #[test]
    fn a_few_may_be_wrong_and_random_ports_leave_the_host() {
        assert_eq!(sampler(&[]).address(), None);
        assert_eq!(sampler(&[7]).port(), Some(7));
        assert_eq!(sampler(&[7, 7, 8]).port(), None);
        assert_eq!(sampler(&[7, 7, 7, 8]).port(), Some(7));
        let random = sampler(&[1, 2, 3, 4, 5]);
        assert_eq!((random.host(), random.port()), (Some(Ipv4Addr::LOCALHOST), None));
        let mut moved = sampler(&[7; 16]);
        (0..16).for_each(|_| moved.add(SocketAddrV4::new(Ipv4Addr::BROADCAST, 9)));
        assert_eq!(moved.address(), Some(SocketAddrV4::new(Ipv4Addr::BROADCAST, 9)));
    }

    #[test]
    fn many_hosts_agree_on_nothing() {
        let mut sampler = NatSampler::default();
        (1..5).for_each(|host| sampler.add(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, host), 7)));
        assert_eq!(sampler.address(), None);
    }
}
