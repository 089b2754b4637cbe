//! What acknowledgements and time tell the sender: loss detection after RFC 8985 (RACK-TLP), retransmission
//! time-outs, window updates (libudx `src/udx.c` `rack_detect_loss`, `udx_tlp_timeout`, `udx_rto_timeout`,
//! `process_packet`).

use super::bbr::{Conditions, Recovery};
use super::config::Config;
use super::ledger::{Sent, size};
use super::packet::expand;
use super::rate::Sample;
use super::sender::{Sender, packet_size};
use corestore_core::time::{Duration, Instant};

/// The newest transmission known to have arrived.
#[derive(Debug, Default)]
pub(super) struct Rack {
    serial: u64,
    rtt: Duration,
    /// One past the highest packet number acknowledged in any way.
    highest: u64,
    reordering_seen: bool,
    /// Whether the peer's last report may have left ranges out.
    partial: bool,
}

/// The probe for a lost tail.
#[derive(Debug, Default)]
pub(super) struct TailProbe {
    /// To be sent now.
    due: bool,
    /// One past the number of the probe on its way, and whether it repeats an earlier packet.
    in_flight: Option<(u64, bool)>,
    /// Whether a round trip has been measured since the last probe.
    permitted: bool,
}

impl TailProbe {
    /// Whether the next packet goes out whatever the window and the pacer say.
    pub(super) fn is_due(&self) -> bool {
        self.due
    }
}

/// What the sender waits for.
#[derive(Debug, Default)]
pub(super) struct Timers {
    reorder: Option<Instant>,
    tail_probe: Option<Instant>,
    timeout: Option<Instant>,
}

impl Timers {
    /// The first of them.
    pub(super) fn next(&self) -> Option<Instant> {
        [self.reorder, self.tail_probe, self.timeout].into_iter().flatten().min()
    }
}

/// The peer's account of what it has and takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    /// Number of the packet that carries it, in the peer's sequence.
    pub(super) seq: u64,
    /// First of our packets that has not arrived.
    pub(super) ack: u64,
    /// Bytes it takes beyond.
    pub(super) window: u32,
}

impl Sender {
    /// Takes the peer's report with its ranges; claims about packets never sent are ignored.
    pub(super) fn on_report(
        &mut self,
        now: Instant,
        report: Report,
        sacks: impl Iterator<Item = (u32, u32)>,
        config: &Config,
    ) {
        if report.ack > self.ledger.next() {
            return;
        }
        self.learn_window(report);
        let had_data = !self.ledger.is_empty();
        let mut sample = Sample::default();
        for number in self.ledger.first()..report.ack {
            self.acknowledge(now, number, &mut sample, config);
        }
        self.ledger.advance(report.ack);
        self.buffer.acknowledge(self.ledger.first_offset().unwrap_or(self.buffer.sent_offset()));
        let mut ranges = 0;
        for (start, end) in sacks {
            ranges += 1;
            self.acknowledge_range(now, start, end, &mut sample, config);
        }
        self.rack.partial = ranges >= REFERENCE_SACKS;
        self.end_recovery(report.ack);
        if had_data {
            self.after_acks(now, sample);
        }
    }

    /// Lets time pass. False when the peer has been silent for too many time-outs.
    pub(super) fn on_time(&mut self, now: Instant, config: &Config) -> bool {
        let due = |timer: &mut Option<Instant>| timer.take_if(|at| *at <= now).is_some();
        if due(&mut self.timers.reorder) {
            self.detect_losses(now, &mut Sample::default());
        }
        if due(&mut self.timers.tail_probe) && self.tail_probe.in_flight.is_none() && self.tail_probe.permitted {
            self.tail_probe.due = !self.ledger.is_empty();
        }
        if due(&mut self.timers.timeout) && !self.ledger.is_empty() {
            return self.on_timeout(now, config);
        }
        true
    }

    /// Arms the timers after packet `number` went out.
    pub(super) fn after_send(&mut self, number: u64, now: Instant, new: bool) {
        if self.tail_probe.due {
            self.tail_probe = TailProbe { due: false, in_flight: Some((number + 1, !new)), permitted: false };
            self.timers.timeout = Some(now.after(self.rtt.rto()));
            return;
        }
        self.timers.timeout.get_or_insert_with(|| now.after(self.rtt.rto()));
        self.schedule_tail_probe(now);
    }

    fn learn_window(&mut self, report: Report) {
        if report.ack >= self.ledger.first() && (report.seq, report.ack) >= self.window_from {
            self.peer_window = u64::from(report.window);
            self.window_from = (report.seq, report.ack);
        }
    }

    fn acknowledge_range(&mut self, now: Instant, start: u32, end: u32, sample: &mut Sample, config: &Config) {
        let first = self.ledger.first();
        let (Some(start), Some(end)) = (expand(start, first), expand(end, first)) else { return };
        if start < first || start >= end || end > self.ledger.next() {
            return;
        }
        for number in self.ledger.sack(start..end).into_iter().flatten() {
            self.acknowledge(now, number, sample, config);
        }
    }

    fn acknowledge(&mut self, now: Instant, number: u64, sample: &mut Sample, config: &Config) {
        let Some(packet) = self.ledger.acknowledge(number) else { return };
        self.sampler.on_acked(&packet, sample);
        self.learn_mtu(&packet);
        let rtt = self.rtt.clamp(now.since(packet.sent_at));
        if !packet.retransmitted {
            self.rtt.sample(now, rtt, config);
        }
        self.tail_probe.permitted = true;
        self.tail_probe.in_flight.take_if(|(end, _)| *end == number + 1);
        if !packet.retransmitted || self.rtt.min().is_some_and(|min| rtt >= min) {
            sample.rtt = Some(rtt);
            if packet.serial > self.rack.serial {
                (self.rack.serial, self.rack.rtt) = (packet.serial, rtt);
            }
        }
        if number < self.rack.highest {
            self.rack.reordering_seen |= !packet.retransmitted;
        } else {
            self.rack.highest = number + 1;
        }
    }

    fn learn_mtu(&mut self, packet: &Sent) {
        if packet.path != self.path {
            return;
        }
        if packet.padding > 0 {
            self.mtu.on_probe_acked();
            self.bbr.set_packet_size(packet_size(&self.mtu));
        } else {
            self.mtu.on_acked();
        }
    }

    fn end_recovery(&mut self, ack: u64) {
        if let Some((end, repeats)) = self.tail_probe.in_flight
            && (ack > end || (ack == end && !repeats))
        {
            self.tail_probe.in_flight = None;
        }
        if ack >= self.recovery_end {
            self.recovery = Recovery::Open;
        }
    }

    fn after_acks(&mut self, now: Instant, mut sample: Sample) {
        self.detect_losses(now, &mut sample);
        self.sampler.finish(now, self.rtt.min(), &mut sample);
        let conditions = Conditions {
            now,
            in_flight: self.ledger.in_flight(),
            recovery: self.recovery,
            smoothed_rtt: self.rtt.smoothed(),
        };
        self.bbr.on_ack(&sample, &mut self.sampler, conditions);
        if self.ledger.is_empty() {
            self.timers = Timers::default();
            self.tail_probe.due = false;
            self.tail_probe.in_flight = None;
        } else if sample.acked > 0 {
            self.timers.timeout = Some(now.after(self.rtt.rto()));
            self.schedule_tail_probe(now);
        }
        if sample.acked > 0 {
            self.consecutive_timeouts = 0;
        }
    }

    fn detect_losses(&mut self, now: Instant, sample: &mut Sample) {
        self.timers.reorder = None;
        let wait = self.rack.rtt + self.reordering_window();
        let untold = self.lose_untold(sample);
        let lost = self.lose_overdue(now, wait, false, sample) | self.lose_overdue(now, wait, true, sample);
        if (lost || untold) && self.recovery == Recovery::Open {
            self.enter_recovery(Recovery::Fast);
        }
    }

    /// Takes for lost what was sent before the newest transmission that arrived, and long enough ago; whether any was
    /// no MTU probe. What lies beyond the peer's report is untold then: it may well have arrived.
    fn lose_overdue(&mut self, now: Instant, wait: Duration, again: bool, sample: &mut Sample) -> bool {
        let mut lost = false;
        while let Some((number, packet)) = self.ledger.oldest(again)
            && packet.serial < self.rack.serial
        {
            let deadline = packet.sent_at.after(wait);
            if deadline > now {
                self.timers.reorder = Some(self.timers.reorder.map_or(deadline, |other| other.min(deadline)));
                break;
            }
            if self.is_reported(number) {
                lost |= self.lose(number, &packet, sample);
            } else {
                self.ledger.leave_untold(number);
            }
        }
        lost
    }

    /// Takes for lost what was untold and would be reported now; whether there was any.
    fn lose_untold(&mut self, sample: &mut Sample) -> bool {
        let mut lost = false;
        while let Some((number, packet)) = self.ledger.first_untold()
            && self.is_reported(number)
        {
            lost |= self.lose(number, &packet, sample);
        }
        lost
    }

    /// Whether the peer would say that it has packet `number`. One that has more ranges than it reports says nothing
    /// of what lies beyond them.
    fn is_reported(&self, number: u64) -> bool {
        !self.rack.partial || number < self.rack.highest
    }

    /// Takes a packet for lost; whether it was no MTU probe.
    fn lose(&mut self, number: u64, packet: &Sent, sample: &mut Sample) -> bool {
        self.ledger.lose(number);
        if packet.padding > 0 {
            self.mtu.on_probe_lost();
            return false;
        }
        sample.lost += size(packet.length);
        true
    }

    fn enter_recovery(&mut self, recovery: Recovery) {
        self.recovery = recovery;
        self.recovery_end = self.ledger.next();
        self.tail_probe.in_flight = None;
        self.tail_probe.due = false;
    }

    fn reordering_window(&self) -> Duration {
        let suspected = self.recovery != Recovery::Open || self.ledger.sacked_packets() >= DUPLICATES;
        if suspected && !self.rack.reordering_seen {
            return Duration::ZERO;
        }
        let quarter = self.rtt.min().unwrap_or_default() / 4;
        quarter.min(self.rtt.smoothed().unwrap_or_default())
    }

    /// Other than RFC 8985 has it, also while losses are repaired: a repetition that is lost with nothing behind it would
    /// else wait for the long time-out.
    fn schedule_tail_probe(&mut self, now: Instant) {
        self.timers.tail_probe = None;
        if self.ledger.is_empty() || self.recovery == Recovery::TimedOut {
            return;
        }
        let mut wait = self.rtt.smoothed().map_or(FIRST_PROBE, |smoothed| (smoothed * 2).max(MIN_PROBE));
        if self.ledger.len() == 1 {
            wait += ACK_DELAY;
        }
        let at = now.after(wait);
        self.timers.tail_probe = Some(self.timers.timeout.map_or(at, |timeout| at.min(timeout)));
    }

    fn on_timeout(&mut self, now: Instant, config: &Config) -> bool {
        self.consecutive_timeouts = self.consecutive_timeouts.saturating_add(1);
        self.timers.timeout = Some(now.after(self.rtt.rto() * 2));
        let wait = self.rack.rtt + self.reordering_window();
        let first = self.ledger.first();
        for number in self.ledger.numbers_in_flight() {
            let Some(packet) = self.ledger.get(number) else { continue };
            if number != first && packet.sent_at.after(wait) >= now {
                continue;
            }
            if self.ledger.time_out(number) > config.max_timeouts {
                return false;
            }
            if self.ledger.lose(number).is_some_and(|packet| packet.padding > 0) {
                self.mtu.on_probe_lost();
            }
            self.ledger.move_to(number, self.path);
        }
        if self.consecutive_timeouts == BLACK_HOLE {
            self.mtu.fall_back();
            self.bbr.set_packet_size(packet_size(&self.mtu));
        }
        self.enter_recovery(Recovery::TimedOut);
        self.bbr.on_timeout();
        true
    }
}

const DUPLICATES: usize = 3;
/// Ranges the reference reports at most (libudx `UDX_MAX_SACKS`).
const REFERENCE_SACKS: usize = 50;
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// Below this, a wait measures the peer's scheduler.
const MIN_PROBE: Duration = Duration::from_millis(5);
const ACK_DELAY: Duration = Duration::from_millis(2);
/// Time-outs in a row after which the path is suspected to swallow large packets.
const BLACK_HOLE: u8 = 2;
