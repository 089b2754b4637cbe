//! Round-trip times and the retransmission time-out (RFC 6298; libudx `src/udx.c` `ack_packet`, `clamp_rtt`).

use super::config::Config;
use corestore_core::time::{Duration, Instant};

/// What is known about the round trip.
#[derive(Debug)]
pub(super) struct Rtt {
    smoothed: Option<Duration>,
    variance: Duration,
    rto: Duration,
    min: WindowedMin,
}

impl Rtt {
    /// Nothing known yet.
    pub(super) fn new(config: &Config) -> Self {
        Self { smoothed: None, variance: Duration::ZERO, rto: config.min_rto, min: WindowedMin::default() }
    }

    /// The sample as it should be used: one that is far out, as after the machine slept, is cut down.
    pub(super) fn clamp(&self, sample: Duration) -> Duration {
        match self.smoothed {
            None => sample.min(MAX_SAMPLE),
            Some(smoothed) => {
                let outlier = smoothed + self.variance * 5;
                if sample > outlier && sample > SUSPICIOUS { outlier.min(MAX_SAMPLE) } else { sample }
            }
        }
    }

    /// Takes a sample of a packet that was sent once.
    pub(super) fn sample(&mut self, now: Instant, sample: Duration, config: &Config) {
        self.min.sample(now, sample);
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variance = sample / 2;
            }
            Some(smoothed) => {
                self.variance = (self.variance * 3 + smoothed.abs_diff(sample)) / 4;
                self.smoothed = Some((smoothed * 7 + sample) / 8);
            }
        }
        let rto = self.smoothed.unwrap_or_default() + self.variance * 4;
        self.rto = rto.clamp(config.min_rto, config.max_rto);
    }

    /// Smoothed round trip; `None` before the first sample.
    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// Shortest round trip of the last minutes; `None` before the first sample.
    pub(super) fn min(&self) -> Option<Duration> {
        self.min.get()
    }

    /// How long to wait for an acknowledgement.
    pub(super) fn rto(&self) -> Duration {
        self.rto
    }
}

/// The minimum over a sliding window, kept as the minima of its current and its previous half.
#[derive(Debug, Default)]
struct WindowedMin {
    current: Option<Duration>,
    previous: Option<Duration>,
    started: Instant,
}

impl WindowedMin {
    fn sample(&mut self, now: Instant, value: Duration) {
        if now.since(self.started) > MIN_WINDOW / 2 {
            self.previous = self.current.take();
            self.started = now;
        }
        self.current = Some(self.current.map_or(value, |current| current.min(value)));
    }

    fn get(&self) -> Option<Duration> {
        [self.current, self.previous].into_iter().flatten().min()
    }
}

const MAX_SAMPLE: Duration = Duration::from_secs(30);
const SUSPICIOUS: Duration = Duration::from_secs(5);
const MIN_WINDOW: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn the_time_out_follows_the_round_trip_between_its_bounds() {
        let config = Config::default();
        let mut rtt = Rtt::new(&config);
        rtt.sample(at(0), Duration::from_millis(100), &config);
        assert_eq!(rtt.rto(), config.min_rto);
        rtt.sample(at(1), Duration::from_secs(2), &config);
        assert_eq!(rtt.smoothed(), Some(Duration::from_micros(337_500)));
        assert_eq!(rtt.rto(), Duration::from_micros(337_500 + 4 * 512_500));
        for step in 2..20 {
            rtt.sample(at(step), Duration::from_secs(29), &config);
        }
        assert_eq!(rtt.rto(), config.max_rto);
    }

    #[test]
    fn a_sample_from_before_a_suspend_is_cut() {
        let config = Config::default();
        let mut rtt = Rtt::new(&config);
        rtt.sample(at(0), Duration::from_millis(100), &config);
        assert_eq!(rtt.clamp(Duration::from_secs(3600)), Duration::from_millis(350));
        assert_eq!(rtt.clamp(Duration::from_secs(4)), Duration::from_secs(4));
    }

    #[test]
    fn an_old_minimum_is_forgotten() {
        let mut min = WindowedMin::default();
        min.sample(at(0), Duration::from_millis(1));
        min.sample(at(200_000), Duration::from_millis(9));
        assert_eq!(min.get(), Some(Duration::from_millis(1)));
        min.sample(at(400_000), Duration::from_millis(8));
        assert_eq!(min.get(), Some(Duration::from_millis(8)));
    }
}
