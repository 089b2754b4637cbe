//! Punching a hole from one side (`hyperdht/lib/holepuncher.js`): sockets, probes and their rhythm. A plain value: what
//! is to be done comes out as [`Action`]s.

use super::nat::Nat;
use crate::swarm::dht_rpc::SocketId;
use corestore_core::dht::{Firewall, HolepunchPayload};
use corestore_core::entropy::Entropy;
use corestore_core::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

/// One side's punching.
#[derive(Debug)]
pub(super) struct Puncher {
    initiator: bool,
    open: bool,
    pub(super) nat: Nat,
    /// The first one is the one that talks; others wait to be hit by chance.
    sockets: Vec<SocketId>,
    pub(super) remote_firewall: Firewall,
    remote_addresses: Vec<Remote>,
    pub(super) remote_punching: bool,
    reopens_left: usize,
    plan: Option<Plan>,
    actions: VecDeque<Action>,
}

/// Something to be done for a puncher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Open(SocketId),
    Close(SocketId),
    /// Send a probe; with a low TTL it only opens our own NAT.
    Probe {
        socket: SocketId,
        to: SocketAddrV4,
        low_ttl: bool,
    },
    /// Ask nodes how they see the socket.
    Sample(SocketId),
}

/// Names sockets.
#[derive(Debug)]
pub(super) struct SocketIds(pub(super) u32);

#[derive(Clone, Copy, Debug)]
struct Remote {
    address: SocketAddrV4,
    /// The other side proved that it receives at this host.
    verified: bool,
}

#[derive(Debug)]
struct Plan {
    kind: Kind,
    tries: u32,
    next: Instant,
}

#[derive(Debug)]
enum Kind {
    /// Both sides show every destination one port.
    Consistent,
    /// The other side's port is anybody's guess.
    Guess(Ipv4Addr),
    /// Our own ports are: many sockets wait.
    Wait { to: SocketAddrV4, place: usize, low_ttl: bool },
}

impl SocketIds {
    pub(super) fn next(&mut self) -> SocketId {
        self.0 = self.0.wrapping_add(1).max(2);
        SocketId(self.0)
    }
}

impl Puncher {
    /// `open`: our node is reachable by anybody.
    pub(super) fn new(initiator: bool, open: bool, remote_firewall: Firewall, ids: &mut SocketIds) -> Self {
        let mut puncher = Self {
            initiator,
            open,
            nat: Nat::new(open),
            sockets: Vec::new(),
            remote_firewall,
            remote_addresses: Vec::new(),
            remote_punching: false,
            reopens_left: MAX_REOPENS,
            plan: None,
            actions: VecDeque::new(),
        };
        puncher.acquire(ids);
        puncher
    }

    fn acquire(&mut self, ids: &mut SocketIds) {
        let socket = ids.next();
        self.sockets.insert(0, socket);
        self.actions.push_back(Action::Open(socket));
        self.actions.push_back(Action::Sample(socket));
    }

    /// The socket that talks.
    pub(super) fn socket(&self) -> SocketId {
        self.sockets.first().copied().unwrap_or(SocketId::CLIENT)
    }

    pub(super) fn owns(&self, socket: SocketId) -> bool {
        self.sockets.contains(&socket)
    }

    pub(super) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Takes the other side's word. `verified`: a host it proved to receive at.
    pub(super) fn update_remote(&mut self, word: &HolepunchPayload, verified: Option<Ipv4Addr>) {
        let known = |host: &Ipv4Addr| self.remote_addresses.iter().any(|old| old.verified && old.address.ip() == host);
        let remote = |address: &SocketAddrV4| Remote {
            address: *address,
            verified: verified == Some(*address.ip()) || known(address.ip()),
        };
        self.remote_addresses = word.addresses.iter().flatten().take(MAX_REMOTE_ADDRESSES).map(remote).collect();
        self.remote_firewall = word.firewall;
        self.remote_punching = word.punching;
    }

    /// True when it makes no sense to go on with this socket.
    pub(super) fn is_unstable(&self) -> bool {
        let ours = self.nat.firewall();
        ours == Firewall::Unknown || (ours == Firewall::Random && self.remote_firewall == Firewall::Random)
    }

    /// Tries another socket; false when that was done often enough.
    pub(super) fn reopen(&mut self, ids: &mut SocketIds) -> bool {
        if self.reopens_left == 0 || self.plan.is_some() {
            return false;
        }
        self.reopens_left = self.reopens_left.saturating_sub(1);
        if !self.sockets.is_empty() {
            self.actions.push_back(Action::Close(self.sockets.remove(0)));
        }
        self.nat = Nat::new(self.open);
        self.acquire(ids);
        true
    }

    /// Sends a probe that opens our NAT but does not arrive.
    pub(super) fn open_session(&mut self, to: SocketAddrV4) {
        let socket = self.socket();
        self.actions.push_back(Action::Probe { socket, to, low_ttl: true });
    }

    /// Sends a probe.
    pub(super) fn probe(&mut self, to: SocketAddrV4) {
        let socket = self.socket();
        self.actions.push_back(Action::Probe { socket, to, low_ttl: false });
    }

    /// True when one side's ports are random: such punches are rationed.
    pub(super) fn is_random(&self) -> bool {
        self.nat.firewall() == Firewall::Random || self.remote_firewall == Firewall::Random
    }

    /// Begins to punch; false when there is no way.
    pub(super) fn punch(&mut self, now: Instant, birthday_sockets: usize, ids: &mut SocketIds) -> bool {
        if self.plan.is_some() {
            return true;
        }
        if self.remote_addresses.is_empty() {
            return false;
        }
        let (ours, theirs) = (self.nat.firewall(), self.remote_firewall);
        let verified = self.remote_addresses.iter().find(|remote| remote.verified).map(|remote| remote.address);
        let (kind, tries, wait) = match (ours.is_consistent(), theirs.is_consistent(), verified) {
            // The one who is called waits: it fired a probe in its answer.
            (true, true, _) => {
                (Kind::Consistent, CONSISTENT_TRIES, if self.initiator { Duration::ZERO } else { CONSISTENT_PAUSE })
            }
            (true, false, Some(to)) if theirs == Firewall::Random => (Kind::Guess(*to.ip()), TRIES, Duration::ZERO),
            (false, true, Some(to)) if ours == Firewall::Random => {
                self.open_birthday_sockets(to, birthday_sockets, ids);
                (Kind::Wait { to, place: 0, low_ttl: true }, TRIES, Duration::from_millis(100))
            }
            _ => return false,
        };
        self.plan = Some(Plan { kind, tries, next: now.after(wait) });
        true
    }

    fn open_birthday_sockets(&mut self, to: SocketAddrV4, count: usize, ids: &mut SocketIds) {
        while self.sockets.len() < count {
            let socket = ids.next();
            self.sockets.push(socket);
            self.actions.push_back(Action::Open(socket));
            self.actions.push_back(Action::Probe { socket, to, low_ttl: true });
        }
    }

    pub(super) fn is_punching(&self) -> bool {
        self.plan.is_some()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.plan.as_ref().map(|plan| plan.next)
    }

    /// Sends the probes that are due; false when it was tried often enough.
    pub(super) fn handle_deadline(&mut self, now: Instant, entropy: &mut Entropy) -> bool {
        let Some(plan) = self.plan.as_mut().filter(|plan| plan.next <= now) else { return true };
        if plan.tries == 0 {
            self.plan = None;
            return false;
        }
        plan.tries = plan.tries.saturating_sub(1);
        // Clocks wake us late: the pace stays.
        plan.next = plan.next.after(PAUSE).max(now);
        let main = self.sockets.first().copied().unwrap_or(SocketId::CLIENT);
        match &mut plan.kind {
            Kind::Consistent => {
                plan.next = now.after(CONSISTENT_PAUSE);
                // Addresses nobody proved are tried every fourth time only.
                let all = CONSISTENT_TRIES.saturating_sub(plan.tries) % 4 == 0;
                for remote in self.remote_addresses.iter().filter(|remote| remote.verified || all) {
                    self.actions.push_back(Action::Probe { socket: main, to: remote.address, low_ttl: false });
                }
            }
            Kind::Guess(host) => {
                let port = u16::try_from(1000 + entropy.u64() % 64_536).unwrap_or(u16::MAX);
                let to = SocketAddrV4::new(*host, port);
                self.actions.push_back(Action::Probe { socket: main, to, low_ttl: false });
            }
            Kind::Wait { to, place, low_ttl } => {
                if *place >= self.sockets.len() {
                    (*place, *low_ttl) = (0, false);
                }
                if let Some(socket) = self.sockets.get(*place).copied() {
                    self.actions.push_back(Action::Probe { socket, to: *to, low_ttl: *low_ttl });
                }
                *place = place.saturating_add(1);
            }
        }
        true
    }

    /// A probe came through. True: the way is open (the caller decides that, the called one sends one back).
    pub(super) fn handle_probe(&mut self, socket: SocketId, from: SocketAddrV4) -> bool {
        if !self.initiator {
            self.actions.push_back(Action::Probe { socket, to: from, low_ttl: false });
        }
        self.initiator
    }

    /// Ends it; sockets but `kept` are closed.
    pub(super) fn release(mut self, kept: Option<SocketId>) -> impl Iterator<Item = SocketId> {
        self.sockets.retain(|socket| Some(*socket) != kept);
        self.sockets.into_iter()
    }
}

const CONSISTENT_TRIES: u32 = 10;
const CONSISTENT_PAUSE: Duration = Duration::from_secs(1);
/// Tries where one side is random: some 35 s.
const TRIES: u32 = 1750;
const PAUSE: Duration = Duration::from_millis(20);
const MAX_REOPENS: usize = 3;
/// Addresses of the other side that are tried.
const MAX_REMOTE_ADDRESSES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: u8, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(9, 9, 9, host), port)
    }

    fn puncher(initiator: bool, ports: [u16; 4]) -> (Puncher, SocketIds) {
        let mut ids = SocketIds(1);
        let mut puncher = Puncher::new(initiator, false, Firewall::Unknown, &mut ids);
        ports.iter().zip(1..).for_each(|(port, from)| puncher.nat.add(address(1, *port), address(99, from)));
        (puncher, ids)
    }

    fn word(firewall: Firewall, host: u8) -> HolepunchPayload {
        let addresses = Some(vec![address(host, 5)]);
        HolepunchPayload { firewall, punching: true, addresses, ..HolepunchPayload::default() }
    }

    fn probes(puncher: &mut Puncher) -> Vec<SocketAddrV4> {
        std::iter::from_fn(|| puncher.next_action())
            .filter_map(|action| if let Action::Probe { to, .. } = action { Some(to) } else { None })
            .collect()
    }

    fn run(puncher: &mut Puncher, entropy: &mut Entropy) -> (usize, Duration) {
        let (mut now, mut count) = (Instant::ZERO, probes(puncher).len());
        while let Some(at) = puncher.deadline() {
            now = now.max(at);
            if !puncher.handle_deadline(now, entropy) {
                break;
            }
            count += probes(puncher).len();
        }
        (count, now.since(Instant::ZERO))
    }

    #[test]
    fn consistent_sides_probe_ten_times_and_unproved_addresses_less() {
        let mut entropy = Entropy::from_seed([1; 32]);
        for (verified, expected) in [(Some(address(2, 5)), 10), (None, 2)] {
            let (mut puncher, mut ids) = puncher(true, [7; 4]);
            puncher.update_remote(&word(Firewall::Consistent, 2), verified.map(|address| *address.ip()));
            assert!(puncher.punch(Instant::ZERO, 256, &mut ids) && !puncher.is_random());
            let (count, took) = run(&mut puncher, &mut entropy);
            assert_eq!((count, took), (expected, Duration::from_secs(10)));
        }
    }

    #[test]
    fn a_random_remote_is_guessed_at_when_its_host_is_proved() {
        let mut entropy = Entropy::from_seed([1; 32]);
        let (mut puncher, mut ids) = puncher(true, [7; 4]);
        puncher.update_remote(&word(Firewall::Random, 2), None);
        assert!(!puncher.punch(Instant::ZERO, 256, &mut ids));
        puncher.update_remote(&word(Firewall::Random, 2), Some(*address(2, 0).ip()));
        assert!(puncher.punch(Instant::ZERO, 256, &mut ids) && puncher.is_random());
        let (count, took) = run(&mut puncher, &mut entropy);
        assert_eq!((count, took), (1750, Duration::from_secs(35)));
    }

    #[test]
    fn late_wakings_do_not_slow_the_guessing_and_are_not_made_up_for_by_a_burst() {
        let mut entropy = Entropy::from_seed([1; 32]);
        let (mut puncher, mut ids) = puncher(true, [7; 4]);
        puncher.update_remote(&word(Firewall::Random, 2), Some(*address(2, 0).ip()));
        assert!(puncher.punch(Instant::ZERO, 256, &mut ids));
        let mut now = Instant::ZERO;
        for _ in 0..1000 {
            now = puncher.deadline().unwrap().after(Duration::from_millis(1));
            assert!(puncher.handle_deadline(now, &mut entropy));
        }
        assert!(now.since(Instant::ZERO) < Duration::from_millis(20_010), "{now:?}");
        let late = now.after(Duration::from_secs(5));
        assert!(puncher.handle_deadline(late, &mut entropy) && puncher.handle_deadline(late, &mut entropy));
        assert_eq!(puncher.deadline(), Some(late.after(PAUSE)));
    }

    #[test]
    fn random_ports_of_ours_wait_in_many_sockets_and_both_random_is_hopeless() {
        let (mut random, mut ids) = puncher(false, [1, 2, 3, 4]);
        random.update_remote(&word(Firewall::Consistent, 2), Some(*address(2, 0).ip()));
        assert!(random.punch(Instant::ZERO, 256, &mut ids));
        assert_eq!((random.sockets.len(), probes(&mut random).len()), (256, 255));
        assert!(random.handle_deadline(Instant::ZERO.after(Duration::from_secs(1)), &mut Entropy::from_seed([1; 32])));
        assert!(!random.handle_probe(random.socket(), address(2, 9)));
        assert!(probes(&mut random).contains(&address(2, 9)));
        assert_eq!(random.release(Some(SocketId(5))).count(), 255);
        let (mut both, mut ids) = puncher(true, [1, 2, 3, 4]);
        both.update_remote(&word(Firewall::Random, 2), Some(*address(2, 0).ip()));
        assert!(both.is_unstable() && !both.punch(Instant::ZERO, 256, &mut ids));
        assert_eq!((0..9).filter(|_| both.reopen(&mut ids)).count(), 3);
    }
}
