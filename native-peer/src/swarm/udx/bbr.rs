//! Congestion control: BBR version 1 (draft-cardwell-iccrg-bbr-congestion-control-00; libudx `src/udx_bbr.c`).
//!
//! From each rate sample it learns the bottleneck's bandwidth (the maximum of the last ten rounds) and the shortest
//! round trip (of the last ten seconds), and sets a window in bytes and a pacing rate in bytes a second. Gains are
//! thousandths.

use super::max_filter::MaxFilter;
use super::rate::{Sample, Sampler};
use corestore_core::time::{Duration, Instant};

/// Where loss recovery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// No loss is being repaired.
    Open,
    /// Losses found by acknowledgements are being repaired.
    Fast,
    /// A retransmission time-out is being repaired.
    TimedOut,
}

/// The controller of one stream.
#[derive(Debug)]
pub(super) struct Bbr {
    window: u64,
    pacing_rate: u64,
    /// Bytes of a full packet, header included.
    packet: u64,
    initial_window: u64,
    phase: Phase,
    bandwidth: MaxFilter,
    min_rtt: Option<Duration>,
    min_rtt_at: Instant,
    round: u64,
    round_end: u64,
    round_started: bool,
    /// Delivered bytes when this round began, bytes lost in it, and bytes delivered in the one before.
    round_begin: u64,
    round_lost: u64,
    last_delivered: u64,
    pipe_full: bool,
    full_bandwidth: u64,
    full_rounds: u8,
    cycle: usize,
    cycle_at: Instant,
    probe_rtt_until: Option<Instant>,
    probe_rtt_round: bool,
    prior_window: u64,
    prior_recovery: Recovery,
    conserving: bool,
    restarted: bool,
    paced_by_rtt: bool,
    aggregation: Aggregation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Grow until the bandwidth stops growing.
    Startup,
    /// Empty the queue that start-up built.
    Drain,
    /// Send at the bandwidth; probe for more one round in eight.
    ProbeBandwidth,
    /// Send almost nothing for a moment, to see the path's own round trip.
    ProbeRtt,
}

/// What the controller is told beside the sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    pub(super) now: Instant,
    /// Bytes in flight.
    pub(super) in_flight: u64,
    pub(super) recovery: Recovery,
    pub(super) smoothed_rtt: Option<Duration>,
}

impl Bbr {
    /// A controller at its start; `window_packets` of `packet` bytes may be sent at once.
    pub(super) fn new(now: Instant, window_packets: u64, packet: u64, first_cycle: usize) -> Self {
        let initial_window = window_packets * packet;
        let mut bbr = Self {
            window: initial_window,
            pacing_rate: 0,
            packet,
            initial_window,
            phase: Phase::Startup,
            bandwidth: MaxFilter::new(BANDWIDTH_ROUNDS),
            min_rtt: None,
            min_rtt_at: now,
            round: 0,
            round_end: 0,
            round_started: false,
            round_begin: 0,
            round_lost: 0,
            last_delivered: 0,
            pipe_full: false,
            full_bandwidth: 0,
            full_rounds: 0,
            cycle: first_cycle % CYCLE.len(),
            cycle_at: now,
            probe_rtt_until: None,
            probe_rtt_round: false,
            prior_window: 0,
            prior_recovery: Recovery::Open,
            conserving: false,
            restarted: false,
            paced_by_rtt: false,
            aggregation: Aggregation::new(now),
        };
        bbr.pace_by_rtt(FIRST_RTT);
        bbr
    }

    /// Takes the sample of one acknowledgement.
    pub(super) fn on_ack(&mut self, sample: &Sample, sampler: &mut Sampler, conditions: Conditions) {
        self.learn_bandwidth(sample, sampler);
        if self.round_started {
            self.aggregation.next_round();
        }
        self.aggregation.learn(sample.acked, conditions.now, self.bandwidth(), self.window);
        self.advance_cycle(sample, sampler, conditions.in_flight);
        self.learn_pipe_full(sample);
        self.leave_startup_or_drain(sampler, conditions.in_flight);
        self.learn_min_rtt(sample, sampler, conditions);
        self.set_pacing_rate(conditions.smoothed_rtt);
        self.set_window(sample, sampler.delivered(), conditions);
    }

    /// The stream starts to send after it was idle.
    pub(super) fn on_restart(&mut self, now: Instant, app_limited: bool) {
        if !app_limited {
            return;
        }
        self.restarted = true;
        self.aggregation.restart(now);
        match self.phase {
            Phase::ProbeBandwidth => self.pacing_rate = self.rate(UNIT).max(1),
            Phase::ProbeRtt => self.end_probe_rtt(now),
            Phase::Startup | Phase::Drain => {}
        }
    }

    /// A retransmission timed out.
    pub(super) fn on_timeout(&mut self) {
        self.save_window();
        self.prior_recovery = Recovery::TimedOut;
        self.full_bandwidth = 0;
        self.round_started = true;
        self.conserving = false;
        self.window = MIN_PACKETS * self.packet;
    }

    /// A full packet has `packet` bytes from now on.
    pub(super) fn set_packet_size(&mut self, packet: u64) {
        self.packet = packet;
    }

    /// Bytes that may be in flight.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// Bytes a second.
    pub(super) fn pacing_rate(&self) -> u64 {
        self.pacing_rate
    }

    /// Bytes the path may be sent in one go.
    pub(super) fn burst(&self) -> u64 {
        self.initial_window
    }

    /// The bottleneck's bandwidth in bytes a second; 0 before the first sample.
    pub(super) fn bandwidth(&self) -> u64 {
        self.bandwidth.max()
    }

    fn learn_bandwidth(&mut self, sample: &Sample, sampler: &Sampler) {
        self.round_started = false;
        self.round_lost += sample.lost;
        let Some(bandwidth) = sample.bandwidth() else { return };
        if sample.prior_delivered >= self.round_end {
            self.round_end = sampler.delivered();
            self.round += 1;
            self.round_started = true;
            self.conserving = false;
            self.last_delivered = sampler.delivered() - self.round_begin;
            (self.round_begin, self.round_lost) = (sampler.delivered(), sample.lost);
        }
        if !sample.app_limited || bandwidth >= self.bandwidth.max() {
            self.bandwidth.update(self.round, bandwidth);
        }
    }

    fn advance_cycle(&mut self, sample: &Sample, sampler: &Sampler, in_flight: u64) {
        if self.phase != Phase::ProbeBandwidth {
            return;
        }
        let gain = self.pacing_gain();
        let elapsed = sampler.delivered_at().since(self.cycle_at) > self.model_rtt();
        let next = match gain {
            UNIT => elapsed,
            _ if gain > UNIT => elapsed && (sample.lost > 0 || in_flight >= self.target(gain)),
            _ => elapsed || in_flight <= self.target(UNIT),
        };
        if next {
            self.cycle = (self.cycle + 1) % CYCLE.len();
            self.cycle_at = sampler.delivered_at();
        }
    }

    fn learn_pipe_full(&mut self, sample: &Sample) {
        if self.pipe_full || !self.round_started || sample.app_limited {
            return;
        }
        if self.bandwidth() >= scale(self.full_bandwidth, FULL_GROWTH) {
            self.full_bandwidth = self.bandwidth();
            self.full_rounds = 0;
            return;
        }
        self.full_rounds += 1;
        self.pipe_full = self.full_rounds >= FULL_ROUNDS;
    }

    fn leave_startup_or_drain(&mut self, sampler: &Sampler, in_flight: u64) {
        if self.phase == Phase::Startup && self.pipe_full {
            self.phase = Phase::Drain;
        }
        if self.phase == Phase::Drain && in_flight <= self.target(UNIT) {
            self.enter_probe_bandwidth(sampler.delivered_at());
        }
    }

    fn learn_min_rtt(&mut self, sample: &Sample, sampler: &mut Sampler, conditions: Conditions) {
        let now = conditions.now;
        let expired = now.since(self.min_rtt_at) > MIN_RTT_WINDOW;
        if let Some(rtt) = sample.rtt
            && (expired || self.min_rtt.is_none_or(|min_rtt| rtt <= min_rtt))
        {
            self.min_rtt = Some(rtt);
            self.min_rtt_at = now;
        }
        if expired && !self.restarted && self.phase != Phase::ProbeRtt {
            self.phase = Phase::ProbeRtt;
            self.save_window();
            self.probe_rtt_until = None;
        }
        if self.phase == Phase::ProbeRtt {
            self.probe_rtt(sampler, conditions);
        }
        if sample.delivered.is_some() {
            self.restarted = false;
        }
    }

    fn probe_rtt(&mut self, sampler: &mut Sampler, conditions: Conditions) {
        sampler.set_app_limited(conditions.in_flight);
        if self.probe_rtt_until.is_some() {
            self.probe_rtt_round |= self.round_started;
            if self.probe_rtt_round {
                self.end_probe_rtt(conditions.now);
            }
        } else if conditions.in_flight <= MIN_PACKETS * self.packet {
            self.probe_rtt_until = Some(conditions.now.after(PROBE_RTT));
            self.probe_rtt_round = false;
            self.round_end = sampler.delivered();
        }
    }

    fn end_probe_rtt(&mut self, now: Instant) {
        if self.probe_rtt_until.is_none_or(|until| now <= until) {
            return;
        }
        self.min_rtt_at = now;
        self.window = self.window.max(self.prior_window);
        if self.pipe_full {
            self.enter_probe_bandwidth(now);
        } else {
            self.phase = Phase::Startup;
        }
    }

    fn enter_probe_bandwidth(&mut self, now: Instant) {
        self.phase = Phase::ProbeBandwidth;
        self.cycle_at = now;
        if self.pacing_gain() != UNIT {
            self.cycle = FIRST_CRUISE;
        }
    }

    fn set_pacing_rate(&mut self, smoothed_rtt: Option<Duration>) {
        if let Some(rtt) = smoothed_rtt
            && !self.paced_by_rtt
        {
            self.paced_by_rtt = true;
            self.pace_by_rtt(rtt.max(FIRST_RTT));
        }
        let rate = self.rate(self.pacing_gain());
        if self.pipe_full || rate > self.pacing_rate {
            self.pacing_rate = rate.max(1);
        }
    }

    fn set_window(&mut self, sample: &Sample, delivered: u64, conditions: Conditions) {
        if sample.acked > 0 && !self.recover(sample, delivered, conditions) {
            let target = self.target(self.window_gain()) + self.allowance();
            if self.pipe_full {
                self.window = (self.window + sample.acked).min(target);
            } else if self.window < target || delivered < self.initial_window {
                self.window += sample.acked;
            }
            self.window = self.window.max(MIN_PACKETS * self.packet);
        }
        if self.phase == Phase::ProbeRtt {
            self.window = self.window.min(MIN_PACKETS * self.packet);
        }
    }

    /// Adjusts the window to losses; whether it is now held to what leaves the network. Few losses are noise; where many
    /// packets of a round are lost, a queue overflows. Losses come in bunches: they are held against a whole round.
    fn recover(&mut self, sample: &Sample, delivered: u64, conditions: Conditions) -> bool {
        let (before, now) = (self.prior_recovery, conditions.recovery);
        let conserved = conditions.in_flight + sample.acked;
        if before == Recovery::Open && now == Recovery::Fast {
            self.prior_window = self.prior_window.max(self.window);
        }
        self.window = self.window.saturating_sub(sample.lost).max(self.packet);
        let round = (delivered - self.round_begin).max(self.last_delivered).max(self.initial_window);
        let tolerated = round / TOLERATED_LOSS;
        if now == Recovery::Fast && !self.conserving && self.round_lost > tolerated {
            self.conserving = true;
            self.window = conserved;
        } else if before != Recovery::Open && now == Recovery::Open {
            self.window = self.window.max(self.prior_window);
            self.prior_window = 0;
            self.conserving = false;
        }
        self.prior_recovery = now;
        if self.conserving {
            self.window = self.window.max(conserved);
        }
        self.conserving
    }

    fn save_window(&mut self) {
        let settled = self.prior_recovery == Recovery::Open && self.phase != Phase::ProbeRtt;
        self.prior_window = if settled { self.window } else { self.prior_window.max(self.window) };
    }

    fn pace_by_rtt(&mut self, rtt: Duration) {
        self.pacing_rate = scale(per_second(self.window, rtt), HIGH_GAIN).max(1);
    }

    fn pacing_gain(&self) -> u64 {
        match self.phase {
            Phase::Startup => HIGH_GAIN,
            Phase::Drain => DRAIN_GAIN,
            Phase::ProbeBandwidth => CYCLE.get(self.cycle).copied().unwrap_or(UNIT),
            Phase::ProbeRtt => UNIT,
        }
    }

    fn window_gain(&self) -> u64 {
        match self.phase {
            Phase::Startup | Phase::Drain => HIGH_GAIN,
            Phase::ProbeBandwidth => WINDOW_GAIN,
            Phase::ProbeRtt => UNIT,
        }
    }

    fn rate(&self, gain: u64) -> u64 {
        scale(scale(self.bandwidth(), gain), PACING_MARGIN)
    }

    /// Bytes on the path at the bandwidth and the shortest round trip, times `gain`.
    fn target(&self, gain: u64) -> u64 {
        if self.min_rtt.is_none() {
            return self.initial_window;
        }
        let micros = u64::try_from(self.model_rtt().as_micros()).unwrap_or(u64::MAX);
        scale(self.bandwidth().saturating_mul(micros) / 1_000_000, gain)
    }

    /// Room for acknowledgements that come in bunches.
    fn allowance(&self) -> u64 {
        if self.pipe_full { self.aggregation.get().min(self.bandwidth() / 10) } else { 0 }
    }

    /// Below a millisecond it is schedulers, not paths, that are measured.
    fn model_rtt(&self) -> Duration {
        self.min_rtt.unwrap_or(FIRST_RTT).max(FIRST_RTT)
    }
}

/// How many more bytes than the bandwidth explains were acknowledged at once, lately.
#[derive(Debug)]
struct Aggregation {
    extra: MaxFilter,
    round: u64,
    epoch: Instant,
    epoch_acked: u64,
}

impl Aggregation {
    fn new(now: Instant) -> Self {
        Self { extra: MaxFilter::new(AGGREGATION_ROUNDS), round: 0, epoch: now, epoch_acked: 0 }
    }

    fn next_round(&mut self) {
        self.round += 1;
    }

    fn restart(&mut self, now: Instant) {
        (self.epoch, self.epoch_acked) = (now, 0);
    }

    fn learn(&mut self, acked: u64, now: Instant, bandwidth: u64, window: u64) {
        if acked == 0 {
            return;
        }
        let micros = u64::try_from(now.since(self.epoch).as_micros()).unwrap_or(u64::MAX);
        let mut expected = bandwidth.saturating_mul(micros) / 1_000_000;
        if self.epoch_acked <= expected {
            self.restart(now);
            expected = 0;
        }
        self.epoch_acked += acked;
        self.extra.update(self.round, (self.epoch_acked - expected).min(window));
    }

    fn get(&self) -> u64 {
        self.extra.max()
    }
}

fn scale(value: u64, thousandths: u64) -> u64 {
    value.saturating_mul(thousandths) / UNIT
}

fn per_second(bytes: u64, interval: Duration) -> u64 {
    let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1_000_000) / micros
}

const UNIT: u64 = 1000;
/// 2 / ln 2.
const HIGH_GAIN: u64 = 2885;
const DRAIN_GAIN: u64 = 347;
const WINDOW_GAIN: u64 = 2000;
const PACING_MARGIN: u64 = 990;
const CYCLE: [u64; 8] = [1250, 750, UNIT, UNIT, UNIT, UNIT, UNIT, UNIT];
/// First phase of the cycle that neither probes nor drains.
const FIRST_CRUISE: usize = 2;
const BANDWIDTH_ROUNDS: u64 = 10;
const AGGREGATION_ROUNDS: u64 = 10;
const FULL_GROWTH: u64 = 1250;
const FULL_ROUNDS: u8 = 3;
const MIN_PACKETS: u64 = 4;
/// One byte of so many may be lost in a round.
const TOLERATED_LOSS: u64 = 8;
const MIN_RTT_WINDOW: Duration = Duration::from_secs(10);
const PROBE_RTT: Duration = Duration::from_millis(200);
const FIRST_RTT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::super::ledger::{Contents, Ledger};
    use super::*;
    use std::collections::VecDeque;

    /// Sends through a bottleneck of `rate` bytes a second and `rtt` for `time`, with room for `queue` bytes.
    fn run(rate: u64, rtt: Duration, time: Duration, queue: u64) -> (Bbr, u64, u64) {
        let (mut now, packet, end) = (Instant::ZERO, 1200, Instant::ZERO.after(time));
        let mut bbr = Bbr::new(now, 10, packet, 0);
        let (mut sampler, mut ledger) = (Sampler::new(), Ledger::new(0));
        let (mut arrivals, mut free_at, mut delivered, mut sent_at) = (VecDeque::new(), now, 0, now);
        let mut most = 0;
        while now < end {
            while now >= sent_at && ledger.in_flight() < bbr.window() {
                let rate_state = sampler.on_sent(now, ledger.is_empty());
                let contents = Contents { offset: 0, length: 1180, ends: false, padding: 0, path: 0 };
                let number = ledger.push(contents, now, rate_state);
                free_at = free_at.max(now).after(Duration::from_micros(packet * 1_000_000 / rate));
                if free_at.since(now) < Duration::from_micros(queue * 1_000_000 / rate) {
                    arrivals.push_back((free_at.after(rtt), number));
                }
                let due = if now.since(sent_at) < Duration::from_millis(1) { sent_at } else { now };
                sent_at = due.after(Duration::from_micros(packet * 1_000_000 / bbr.pacing_rate()));
                most = most.max(ledger.in_flight());
            }
            while let Some(&(at, number)) = arrivals.front()
                && at <= now
            {
                arrivals.pop_front();
                let packet = ledger.acknowledge(number).unwrap();
                let mut sample = Sample { rtt: Some(now.since(packet.sent_at)), ..Sample::default() };
                sampler.on_acked(&packet, &mut sample);
                sampler.finish(now, Some(rtt), &mut sample);
                delivered += 1200;
                let conditions = Conditions {
                    now,
                    in_flight: ledger.in_flight(),
                    recovery: Recovery::Open,
                    smoothed_rtt: Some(rtt),
                };
                bbr.on_ack(&sample, &mut sampler, conditions);
            }
            now = now.after(Duration::from_micros(100));
        }
        (bbr, delivered, most)
    }

    #[test]
    fn finds_the_bottleneck_and_keeps_its_queue_short() {
        let (rate, rtt) = (2_000_000, Duration::from_millis(40));
        let (bbr, delivered, _) = run(rate, rtt, Duration::from_secs(9), u64::MAX / 1_000_000);
        assert!(bbr.pipe_full && bbr.phase == Phase::ProbeBandwidth);
        assert!((1_900_000..=2_100_000).contains(&bbr.bandwidth()), "{}", bbr.bandwidth());
        assert!(delivered > 16_000_000, "{delivered}");
        assert!(bbr.window() <= 80_000 * 3, "{}", bbr.window());
    }

    #[test]
    fn looks_for_the_paths_own_round_trip_every_ten_seconds() {
        let (bbr, ..) = run(1_000_000, Duration::from_millis(50), Duration::from_secs(21), u64::MAX / 1_000_000);
        assert!(bbr.min_rtt.unwrap() < Duration::from_millis(56), "{:?}", bbr.min_rtt);
    }

    #[test]
    fn a_time_out_shrinks_the_window_and_recovery_restores_it() {
        let mut bbr = Bbr::new(Instant::ZERO, 10, 1200, 0);
        bbr.on_timeout();
        assert_eq!(bbr.window(), 4800);
        let sample = Sample { acked: 1200, ..Sample::default() };
        let conditions = Conditions { now: Instant::ZERO, in_flight: 0, recovery: Recovery::Open, smoothed_rtt: None };
        bbr.on_ack(&sample, &mut Sampler::new(), conditions);
        assert!(bbr.window() >= 12_000, "{}", bbr.window());
    }
}
