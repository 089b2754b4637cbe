//! UDX machines, a clock that the test owns, and links with delay, loss, duplicates, reordering, a rate, a queue and
//! a largest packet. Same seed, same run.

use bytes::Bytes;
use corestore_core::time::{Duration, Instant};
use corestore_peer::swarm::udx::{Config, Event, Remote, SocketId, StreamId, StreamOptions, Udx};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// What happens to datagrams on their way, every way the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) delay: Duration,
    /// Up to so much more, per datagram: what reorders them.
    pub(crate) jitter: Duration,
    /// Per thousand.
    pub(crate) loss: u64,
    /// Per thousand.
    pub(crate) duplicates: u64,
    /// Largest IP packet.
    pub(crate) mtu: usize,
    /// Bytes a second, and bytes that may queue.
    pub(crate) rate: Option<(u64, u64)>,
}

impl Default for Link {
    fn default() -> Self {
        let delay = Duration::from_millis(10);
        Self { delay, jitter: Duration::ZERO, loss: 0, duplicates: 0, mtu: 1500, rate: None }
    }
}

/// Machines that can reach each other.
pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) link: Link,
    pub(crate) machines: Vec<Udx>,
    pub(crate) events: Vec<VecDeque<Event>>,
    /// Datagrams that have left, by sender.
    pub(crate) sent: Vec<u64>,
    /// Bytes of the largest datagram that has left.
    pub(crate) largest: usize,
    flying: BTreeMap<(Instant, u64), Flying>,
    free_at: BTreeMap<(usize, usize), Instant>,
    serial: u64,
    random: u64,
}

/// A datagram under way.
struct Flying {
    to: usize,
    socket: SocketId,
    from: SocketAddr,
    datagram: Vec<u8>,
}

impl Net {
    pub(crate) fn new(machines: usize, link: Link, seed: u64) -> Self {
        Self::with_config(machines, link, seed, Config::default())
    }

    pub(crate) fn with_config(machines: usize, link: Link, seed: u64, config: Config) -> Self {
        let machine = |index: usize| Udx::new(config.clone(), [index as u8; 32]);
        Self {
            now: Instant::ZERO,
            link,
            machines: (0..machines).map(machine).collect(),
            events: vec![VecDeque::new(); machines],
            sent: vec![0; machines],
            largest: 0,
            flying: BTreeMap::new(),
            free_at: BTreeMap::new(),
            serial: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    /// Opens streams 1 on machine 0 and 2 on machine 1 and connects them.
    pub(crate) fn pair(link: Link, seed: u64) -> Self {
        Self::pair_with(link, seed, Config::default(), StreamOptions::default())
    }

    pub(crate) fn pair_with(link: Link, seed: u64, config: Config, options: StreamOptions) -> Self {
        let mut net = Self::with_config(2, link, seed, config);
        for (machine, own, other) in [(0, A, B), (1, B, A)] {
            net.machines[machine].open(net.now, own, options).unwrap();
            let remote = remote(1 - machine, other);
            net.machines[machine].connect(net.now, own, remote, Some(options.seq)).unwrap();
        }
        net
    }

    /// Runs until nothing is under way and nothing waits before `until`, or until then.
    pub(crate) fn run_until(&mut self, until: Instant) {
        while self.step(until) {}
        self.now = self.now.max(until);
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now.after(time));
    }

    /// Writes all of `bytes` on machine 0 and reads them on machine 1, then ends; what was read, and how long it took.
    pub(crate) fn transfer(&mut self, bytes: &Bytes, limit: Duration) -> (Vec<u8>, Duration) {
        let (start, until) = (self.now, self.now.after(limit));
        let (mut rest, mut read, mut ended) = (bytes.clone(), Vec::new(), false);
        loop {
            if !rest.is_empty() {
                self.machines[0].write(self.now, A, &mut rest).unwrap();
            } else if !ended {
                self.machines[0].end(A).unwrap();
                ended = true;
            }
            let more = self.step(until);
            while let Some(chunk) = self.machines[1].read_chunk(B) {
                read.extend_from_slice(&chunk);
            }
            if !more || self.machines[1].is_ended(B) {
                return (read, self.now.since(start));
            }
        }
    }

    /// Lets one thing happen. False when nothing is left before `until`.
    pub(crate) fn step(&mut self, until: Instant) -> bool {
        self.drain();
        let timers = self.machines.iter().filter_map(Udx::next_deadline).min();
        let arrival = self.flying.first_key_value().map(|(&(at, _), _)| at);
        let Some(next) = [timers, arrival].into_iter().flatten().min().filter(|&next| next <= until) else {
            return false;
        };
        self.now = self.now.max(next);
        while let Some(entry) = self.flying.first_entry()
            && entry.key().0 <= self.now
        {
            let Flying { to, socket, from, datagram } = entry.remove();
            self.machines[to].handle_datagram(self.now, socket, from, &datagram);
        }
        for machine in &mut self.machines {
            machine.handle_timeout(self.now);
        }
        self.drain();
        true
    }

    /// Datagrams of a machine go on the link, its events into the list.
    pub(crate) fn drain(&mut self) {
        let mut buffer = Vec::new();
        for index in 0..self.machines.len() {
            while let Some(transmit) = self.machines[index].poll_transmit(self.now, &mut buffer) {
                let size = transmit.segment_size.unwrap_or(transmit.len);
                let (from, to) = (address(index, transmit.socket), machine_at(transmit.to));
                let datagrams: Vec<Vec<u8>> = buffer[..transmit.len].chunks(size).map(<[u8]>::to_vec).collect();
                for datagram in datagrams {
                    self.sent[index] += 1;
                    self.fly(index, to, from, datagram);
                }
            }
            while let Some(event) = self.machines[index].poll_event() {
                self.events[index].push_back(event);
            }
        }
    }

    fn fly(&mut self, sender: usize, (to, socket): (usize, SocketId), from: SocketAddr, datagram: Vec<u8>) {
        self.largest = self.largest.max(datagram.len());
        if datagram.len() + 28 > self.link.mtu || self.chance(self.link.loss) || to >= self.machines.len() {
            return;
        }
        let mut leaves = self.now;
        if let Some((rate, queue)) = self.link.rate {
            let free = self.free_at.entry((sender, to)).or_insert(self.now);
            let backlog = free.since(self.now);
            if backlog > Duration::from_micros(queue * 1_000_000 / rate) {
                return;
            }
            *free = (*free).max(self.now).after(Duration::from_micros(datagram.len() as u64 * 1_000_000 / rate));
            leaves = *free;
        }
        let copies = 1 + u64::from(self.chance(self.link.duplicates));
        for _ in 0..copies {
            let jitter = Duration::from_micros(self.below(self.link.jitter.as_micros() as u64 + 1));
            self.serial += 1;
            let at = leaves.after(self.link.delay + jitter);
            self.flying.insert((at, self.serial), Flying { to, socket, from, datagram: datagram.clone() });
        }
    }

    /// Loses everything that is under way.
    pub(crate) fn lose_flying(&mut self) {
        self.drain();
        self.flying.clear();
    }

    fn chance(&mut self, per_thousand: u64) -> bool {
        per_thousand > 0 && self.below(1000) < per_thousand
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }
}

pub(crate) const A: StreamId = StreamId(1);
pub(crate) const B: StreamId = StreamId(2);

/// The first socket of a machine, with a stream of it.
pub(crate) fn remote(machine: usize, id: StreamId) -> Remote {
    Remote { socket: SocketId(0), address: address(machine, SocketId(0)), id: id.0 }
}

/// Where a machine's socket is.
pub(crate) fn address(machine: usize, socket: SocketId) -> SocketAddr {
    SocketAddr::from(([10, 0, machine as u8, socket.0 as u8], 4000))
}

fn machine_at(address: SocketAddr) -> (usize, SocketId) {
    match address {
        SocketAddr::V4(v4) => (usize::from(v4.ip().octets()[2]), SocketId(u32::from(v4.ip().octets()[3]))),
        SocketAddr::V6(_) => (usize::MAX, SocketId(0)),
    }
}

/// Bytes that tell their place.
pub(crate) fn pattern(length: usize) -> Bytes {
    let mut state = 0x1234_5678_9abc_def1u64;
    let word = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(word).take(length).collect()
}
