//! Delivery rate samples, one per acknowledgement (draft-cheng-iccrg-delivery-rate-estimation; libudx
//! `src/udx_rate.c`, here in bytes and microseconds).

use super::ledger::{Sent, size};
use corestore_core::time::{Duration, Instant};

/// The sampler's state when a packet was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Snapshot {
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    app_limited: bool,
}

/// Counts what is delivered and turns each acknowledgement into a sample.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    /// The sender had too little to send until this many bytes are delivered.
    app_limited_until: Option<u64>,
}

/// What one acknowledgement told.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// Bytes newly acknowledged.
    pub(super) acked: u64,
    /// Bytes newly lost.
    pub(super) lost: u64,
    /// Round trip of the newest acknowledged packet.
    pub(super) rtt: Option<Duration>,
    /// Delivered bytes when that packet was sent.
    pub(super) prior_delivered: u64,
    /// Whether the sender could have sent more.
    pub(super) app_limited: bool,
    /// Bytes delivered and the time it took; `None` when no sound figure came out.
    pub(super) delivered: Option<(u64, Duration)>,
    /// Serial of that packet, the state it was sent in and when.
    pub(super) newest: Option<(u64, Snapshot, Instant)>,
}

impl Sample {
    /// Bytes a second; `None` when no sound figure came out.
    pub(super) fn bandwidth(&self) -> Option<u64> {
        let (bytes, interval) = self.delivered?;
        let micros = u64::try_from(interval.as_micros()).ok().filter(|&micros| micros > 0)?;
        Some(bytes.saturating_mul(1_000_000) / micros)
    }
}

impl Sampler {
    /// The sampler that knows nothing; as in every new stream, it is the application that limits the rate.
    pub(super) fn new() -> Self {
        Self { app_limited_until: Some(0), ..Self::default() }
    }

    /// The state to keep with a packet sent now; `idle` when nothing else is in flight.
    pub(super) fn on_sent(&mut self, now: Instant, idle: bool) -> Snapshot {
        if idle {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        Snapshot {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            app_limited: self.app_limited_until.is_some(),
        }
    }

    /// Counts an acknowledged packet into `sample`.
    pub(super) fn on_acked(&mut self, packet: &Sent, sample: &mut Sample) {
        self.delivered += size(packet.length);
        sample.acked += size(packet.length);
        if sample.newest.is_none_or(|(serial, ..)| packet.serial > serial) {
            sample.newest = Some((packet.serial, packet.rate, packet.sent_at));
        }
    }

    /// Completes the sample; `min_rtt` tells which intervals are too short to be true.
    pub(super) fn finish(&mut self, now: Instant, min_rtt: Option<Duration>, sample: &mut Sample) {
        if self.app_limited_until.is_some_and(|until| self.delivered > until) {
            self.app_limited_until = None;
        }
        let Some((_, then, sent_at)) = sample.newest else { return };
        self.delivered_at = now;
        self.first_sent_at = self.first_sent_at.max(sent_at);
        sample.prior_delivered = then.delivered;
        sample.app_limited = then.app_limited;
        let interval = sent_at.since(then.first_sent_at).max(now.since(then.delivered_at));
        if min_rtt.is_none_or(|min_rtt| interval >= min_rtt) {
            sample.delivered = Some((self.delivered - then.delivered, interval));
        }
    }

    /// Notes that the application, not the network, limits the rate now.
    pub(super) fn set_app_limited(&mut self, in_flight: u64) {
        self.app_limited_until = Some(self.delivered + in_flight);
    }

    /// Bytes delivered in all.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// When the last of them were.
    pub(super) fn delivered_at(&self) -> Instant {
        self.delivered_at
    }

    /// Whether the application limits the rate.
    pub(super) fn is_app_limited(&self) -> bool {
        self.app_limited_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::{Contents, Ledger};
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn a_steady_stream_gives_its_rate() {
        let (mut sampler, mut ledger) = (Sampler::new(), Ledger::new(0));
        let contents = Contents { offset: 0, length: 980, ends: false, padding: 0, path: 0 };
        for millis in 0..20 {
            let rate = sampler.on_sent(at(millis), ledger.is_empty());
            ledger.push(contents, at(millis), rate);
        }
        let mut last = Sample::default();
        for number in 0..20 {
            let packet = ledger.acknowledge(number).unwrap();
            last = Sample::default();
            sampler.on_acked(&packet, &mut last);
            sampler.finish(at(50 + number), Some(Duration::from_millis(1)), &mut last);
            if number == 10 {
                let rate = sampler.on_sent(at(60), false);
                ledger.push(contents, at(60), rate);
            }
        }
        assert_eq!(last.bandwidth(), Some(20_000 * 1000 / 69));
        let packet = ledger.acknowledge(20).unwrap();
        let mut sample = Sample::default();
        sampler.on_acked(&packet, &mut sample);
        sampler.finish(at(70), None, &mut sample);
        assert_eq!(sample.bandwidth(), Some(10_000 * 1000 / 50));
    }

    #[test]
    fn an_interval_below_the_round_trip_is_no_sample() {
        let (mut sampler, mut ledger) = (Sampler::new(), Ledger::new(0));
        let rate = sampler.on_sent(at(0), true);
        let contents = Contents { offset: 0, length: 980, ends: false, padding: 0, path: 0 };
        ledger.push(contents, at(0), rate);
        let mut sample = Sample::default();
        sampler.on_acked(&ledger.acknowledge(0).unwrap(), &mut sample);
        sampler.finish(at(1), Some(Duration::from_millis(2)), &mut sample);
        assert_eq!((sample.bandwidth(), sample.acked), (None, 1000));
    }
}
