//! The largest packet the path carries, found by padding data packets (RFC 8899; libudx `mtu_probeify_packet`).

use super::config::Config;
use super::packet::HEADER_SIZE;

/// State of the search. Sizes are of IP packets, in bytes.
#[derive(Debug)]
pub(super) struct Mtu {
    current: u16,
    base: u16,
    max: u16,
    probe: u16,
    attempts: u8,
    phase: Phase,
    /// IP and UDP headers.
    overhead: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Until any packet is acknowledged.
    Base,
    /// A probe is to be sent.
    Wanted,
    /// A probe is on its way.
    Probing,
    Complete,
}

impl Mtu {
    /// A search that starts from the base size.
    pub(super) fn new(config: &Config, ipv6: bool) -> Self {
        let overhead = if ipv6 { IPV6_OVERHEAD } else { IPV4_OVERHEAD };
        let base = config.base_mtu.max(overhead + MIN_DATAGRAM);
        let max = config.max_mtu.max(base);
        Self { current: base, base, max, probe: base, attempts: 0, phase: Phase::Base, overhead }
    }

    /// Starts again, as after the path changed.
    pub(super) fn reset(&mut self, config: &Config, ipv6: bool) {
        *self = Self::new(config, ipv6);
    }

    /// Falls back to the base size for packets to come.
    pub(super) fn fall_back(&mut self) {
        self.current = self.base;
        self.phase = Phase::Complete;
    }

    /// An ordinary packet was acknowledged.
    pub(super) fn on_acked(&mut self) {
        if self.phase == Phase::Base {
            self.want_larger();
        }
    }

    /// A probe was acknowledged.
    pub(super) fn on_probe_acked(&mut self) {
        if self.phase == Phase::Probing || self.phase == Phase::Wanted {
            self.current = self.probe;
            self.want_larger();
        }
    }

    /// A probe was lost.
    pub(super) fn on_probe_lost(&mut self) {
        if self.phase == Phase::Probing {
            self.phase = if self.attempts < MAX_ATTEMPTS { Phase::Wanted } else { Phase::Complete };
        }
    }

    /// Bytes of padding that turn a full packet of `payload` bytes into the probe wanted now, if any.
    pub(super) fn padding_for(&self, payload: usize) -> u8 {
        if self.phase != Phase::Wanted || payload != self.payload() {
            return 0;
        }
        u8::try_from(self.probe.saturating_sub(self.current)).unwrap_or(0)
    }

    /// A packet with such padding was sent.
    pub(super) fn on_probe_sent(&mut self) {
        self.attempts += 1;
        self.phase = Phase::Probing;
    }

    /// Bytes of payload in a full packet.
    pub(super) fn payload(&self) -> usize {
        usize::from(self.current - self.overhead).saturating_sub(HEADER_SIZE)
    }

    /// Size of a full IP packet.
    pub(super) fn size(&self) -> u16 {
        self.current
    }

    fn want_larger(&mut self) {
        self.attempts = 0;
        self.probe = (self.current + STEP).min(self.max);
        self.phase = if self.probe > self.current { Phase::Wanted } else { Phase::Complete };
    }
}

const IPV4_OVERHEAD: u16 = 20 + 8;
const IPV6_OVERHEAD: u16 = 40 + 8;
const MIN_DATAGRAM: u16 = 64;
const STEP: u16 = 32;
const MAX_ATTEMPTS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches on a path that carries packets up to `limit`.
    fn search(limit: u16, ipv6: bool) -> (u16, usize) {
        let mut mtu = Mtu::new(&Config::default(), ipv6);
        let mut probes = 0;
        mtu.on_acked();
        while let padding @ 1.. = mtu.padding_for(mtu.payload()) {
            mtu.on_probe_sent();
            probes += 1;
            if mtu.size() + u16::from(padding) <= limit { mtu.on_probe_acked() } else { mtu.on_probe_lost() }
        }
        (mtu.size(), probes)
    }

    #[test]
    fn the_search_ends_at_what_the_path_carries() {
        assert_eq!(search(9000, false), (1500, 10));
        assert_eq!(search(1500, true), (1500, 10));
        assert_eq!(search(1300, false), (1296, 6));
        assert_eq!(search(1200, false), (1200, 3));
    }

    #[test]
    fn only_full_packets_become_probes_and_none_before_an_ack() {
        let mut mtu = Mtu::new(&Config::default(), false);
        assert_eq!((mtu.payload(), mtu.padding_for(mtu.payload())), (1152, 0));
        mtu.on_acked();
        assert_eq!((mtu.padding_for(10), mtu.padding_for(1152)), (0, 32));
        mtu.on_probe_sent();
        assert_eq!(mtu.padding_for(1152), 0);
        assert_eq!(Mtu::new(&Config::default(), true).payload(), 1132);
    }
}
