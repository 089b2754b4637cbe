//! The sending half of a stream: what may be sent next, and what acknowledgements and time make of what was.
//! [`super::recovery`] holds the second part.

use super::bbr::{Bbr, Recovery};
use super::config::Config;
use super::ledger::{Contents, Ledger, Sent, size};
use super::mtu::Mtu;
use super::pacer::Pacer;
use super::packet::HEADER_SIZE;
use super::rate::Sampler;
use super::recovery::{Rack, TailProbe, Timers};
use super::rtt::Rtt;
use super::send_buffer::SendBuffer;
use bytes::Bytes;
use corestore_core::time::Instant;

/// Everything one direction needs to get its bytes across.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) buffer: SendBuffer,
    pub(super) ledger: Ledger,
    pub(super) rtt: Rtt,
    pub(super) sampler: Sampler,
    pub(super) bbr: Bbr,
    pub(super) pacer: Pacer,
    pub(super) mtu: Mtu,
    pub(super) rack: Rack,
    pub(super) tail_probe: TailProbe,
    pub(super) timers: Timers,
    pub(super) recovery: Recovery,
    /// Recovery ends when everything below this packet number is acknowledged.
    pub(super) recovery_end: u64,
    pub(super) consecutive_timeouts: u8,
    /// Bytes the peer takes beyond what it has acknowledged.
    pub(super) peer_window: u64,
    /// Peer's packet number and acknowledgement at the last window update.
    pub(super) window_from: (u64, u64),
    /// Remote that new packets go to; see `Link`.
    pub(super) path: u32,
    pub(super) end: End,
    pub(super) retransmits: u64,
    pub(super) rate_burst: u64,
}

/// How far the end of the stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Queued,
    Sent,
}

/// The packet to send next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Choice {
    /// One that was lost, or that probes for a lost tail.
    Again(u64, Sent),
    /// One with new bytes.
    New(Contents),
}

impl Choice {
    /// Bytes of its datagram.
    pub(super) fn size(&self) -> usize {
        let (length, padding) = match self {
            Self::Again(_, sent) => (sent.length, 0),
            Self::New(contents) => (contents.length, contents.padding),
        };
        HEADER_SIZE + usize::from(length) + usize::from(padding)
    }

    /// Where it goes.
    pub(super) fn path(&self) -> u32 {
        match self {
            Self::Again(_, sent) => sent.path,
            Self::New(contents) => contents.path,
        }
    }

    /// Whether it probes the path's packet size.
    pub(super) fn is_probe(&self) -> bool {
        matches!(self, Self::New(contents) if contents.padding > 0)
    }
}

impl Sender {
    /// A sender whose first packet has number `seq`.
    pub(super) fn new(seq: u64, now: Instant, config: &Config, first_cycle: usize) -> Self {
        let mtu = Mtu::new(config, false);
        let packet = packet_size(&mtu);
        let bbr = Bbr::new(now, config.initial_window_packets, packet, first_cycle);
        Self {
            buffer: SendBuffer::default(),
            ledger: Ledger::new(seq),
            rtt: Rtt::new(config),
            sampler: Sampler::new(),
            pacer: Pacer::new(now, bbr.burst()),
            rate_burst: bbr.burst(),
            bbr,
            mtu,
            rack: Rack::default(),
            tail_probe: TailProbe::default(),
            timers: Timers::default(),
            recovery: Recovery::Open,
            recovery_end: 0,
            consecutive_timeouts: 0,
            peer_window: FIRST_PEER_WINDOW,
            window_from: (0, seq),
            path: 0,
            end: End::Open,
            retransmits: 0,
        }
    }

    /// Takes bytes to send.
    pub(super) fn write(&mut self, bytes: Bytes) {
        self.buffer.push(bytes);
    }

    /// Forgets everything that was to be sent.
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.ledger = Ledger::new(self.ledger.next());
        self.timers = Timers::default();
        self.tail_probe = TailProbe::default();
    }

    /// Sends new packets to another remote, whose path is unknown.
    pub(super) fn change_path(&mut self, path: u32, ipv6: bool, config: &Config) {
        self.path = path;
        self.mtu.reset(config, ipv6);
        self.bbr.set_packet_size(packet_size(&self.mtu));
    }

    /// Lets the bucket of the pacer fill.
    pub(super) fn refill(&mut self, now: Instant) {
        self.pacer.fill(now, self.bbr.pacing_rate(), self.rate_burst);
    }

    /// The packet to send now, if any.
    pub(super) fn choose(&mut self, config: &Config) -> Option<Choice> {
        if self.tail_probe.is_due() {
            return self
                .new_packet(config)
                .or_else(|| self.ledger.last_in_flight().map(|(n, sent)| Choice::Again(n, sent)));
        }
        if !self.pacer.is_open() || self.ledger.in_flight() >= self.bbr.window() {
            return None;
        }
        self.next_packet(config)
    }

    /// Writes the chosen packet's payload, padding first, to `out` and counts it as sent; its number.
    pub(super) fn commit(&mut self, choice: Choice, now: Instant, out: &mut Vec<u8>) -> u64 {
        if self.ledger.in_flight_packets() == 0 {
            self.bbr.on_restart(now, self.sampler.is_app_limited());
        }
        let rate = self.sampler.on_sent(now, self.ledger.is_empty());
        self.pacer.take(u64::try_from(choice.size()).unwrap_or(u64::MAX));
        match choice {
            Choice::Again(number, sent) => {
                self.buffer.resend(sent.offset, usize::from(sent.length), out);
                if sent.padding > 0 {
                    self.mtu.on_probe_lost();
                }
                self.ledger.resend(number, now, rate);
                self.retransmits += 1;
                self.after_send(number, now, false);
                number
            }
            Choice::New(contents) => {
                out.resize(out.len() + usize::from(contents.padding), 0);
                self.buffer.send(usize::from(contents.length), out);
                if contents.padding > 0 {
                    self.mtu.on_probe_sent();
                }
                if contents.ends {
                    self.end = End::Sent;
                }
                let number = self.ledger.push(contents, now, rate);
                self.after_send(number, now, true);
                number
            }
        }
    }

    /// To be called when nothing more could be sent: notes what held it back.
    pub(super) fn after_batch(&mut self) {
        let starved = self.buffer.unsent() < self.mtu.payload() && self.ledger.next_lost().is_none();
        if starved && self.ledger.in_flight() < self.bbr.window() {
            self.sampler.set_app_limited(self.ledger.in_flight());
        }
    }

    /// When the pacer lets the next packet go; `None` when something else holds it back, or nothing waits.
    pub(super) fn paced_until(&mut self, config: &Config) -> Option<Instant> {
        let paced = !self.pacer.is_open() && self.ledger.in_flight() < self.bbr.window();
        (paced && self.next_packet(config).is_some()).then(|| self.pacer.opens_at(self.bbr.pacing_rate()))
    }

    /// Whether the peer has everything, the end included.
    pub(super) fn is_finished(&self) -> bool {
        self.end == End::Sent && self.ledger.is_empty()
    }

    /// Whether bytes wait that only the peer's window holds back, with nothing in flight that would reopen it.
    pub(super) fn is_window_closed(&self) -> bool {
        self.peer_window == 0 && self.ledger.is_empty() && self.buffer.unsent() > 0
    }

    /// What was lost goes before what is new. While nothing new may go, what the peer does not speak of is repeated: of
    /// that a part was lost, and each gap it has not to report lets its reports reach further.
    fn next_packet(&mut self, config: &Config) -> Option<Choice> {
        let again = |(number, sent)| Choice::Again(number, sent);
        let lost = self.ledger.next_lost().map(again);
        lost.or_else(|| self.new_packet(config)).or_else(|| self.ledger.first_untold().map(again))
    }

    fn new_packet(&self, config: &Config) -> Option<Choice> {
        let (unsent, payload) = (self.buffer.unsent(), self.mtu.payload());
        let ends_alone = unsent == 0 && self.end == End::Queued;
        if (unsent == 0 && !ends_alone) || self.ledger.len() >= config.max_in_flight_packets {
            return None;
        }
        let room = usize::try_from(self.room(config)).unwrap_or(usize::MAX);
        let mut length = unsent.min(payload);
        if length > room {
            if !self.ledger.is_empty() || room == 0 {
                return None;
            }
            length = room;
        }
        let path = self.path;
        let padding = if self.tail_probe.is_due() { 0 } else { self.mtu.padding_for(length) };
        let ends = self.end == End::Queued && length == unsent;
        let length = u16::try_from(length).ok()?;
        Some(Choice::New(Contents { offset: self.buffer.sent_offset(), length, ends, padding, path }))
    }

    /// Bytes the peer's window leaves. As in the reference it bounds what is in flight, not the distance from the first
    /// missing byte, lest every loss stop the stream for a round trip; that distance has a bound of its own.
    fn room(&self, config: &Config) -> u64 {
        let distance = self.ledger.first_offset().map_or(0, |first| self.buffer.sent_offset() - first);
        let in_flight = self.peer_window.saturating_sub(self.ledger.in_flight());
        in_flight.min(self.peer_window.saturating_mul(2).min(config.max_in_flight).saturating_sub(distance))
    }
}

/// Bytes a full packet counts for.
pub(super) fn packet_size(mtu: &Mtu) -> u64 {
    size(u16::try_from(mtu.payload()).unwrap_or(u16::MAX))
}

/// What a peer is thought to take before it has said so (libudx `UDX_DEFAULT_RWND_MAX`).
const FIRST_PEER_WINDOW: u64 = 4 * 1024 * 1024;
