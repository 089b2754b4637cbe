//! How long to wait before dialling again: twice as long each time, with jitter so that readers of one writer do not
//! come back in step.

use corestore_core::entropy::Entropy;

/// Exponential waits between two bounds, in milliseconds.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: f64,
    max: f64,
    attempt: u32,
    entropy: Entropy,
}

impl Backoff {
    /// Waits from about `min` up to `max`; `seed` decides the jitter.
    pub(crate) fn new(min: f64, max: f64, seed: [u8; 32]) -> Self {
        Self { min, max, attempt: 0, entropy: Entropy::from_seed(seed) }
    }

    /// The number of this attempt, from 1 on, and how long to wait before it.
    pub(crate) fn next(&mut self) -> (u32, f64) {
        let doublings = i32::try_from(self.attempt.min(30)).unwrap_or(30);
        let longest = (self.min * 2_f64.powi(doublings)).min(self.max);
        self.attempt = self.attempt.saturating_add(1);
        let [draw, ..] = self.entropy.array::<1>();
        (self.attempt, longest * (0.5 + f64::from(draw) / 510.0))
    }

    /// It worked: the next wait is a short one again.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn waits_grow_to_the_longest_and_start_over() {
        let mut backoff = Backoff::new(500.0, 30_000.0, [1; 32]);
        for attempt in 1..12_u32 {
            let longest = (500.0 * 2_f64.powi(i32::try_from(attempt - 1).expect("small"))).min(30_000.0);
            let (number, wait) = backoff.next();
            assert_eq!(number, attempt);
            assert!(wait >= longest / 2.0 && wait <= longest, "{wait} of {longest}");
        }
        backoff.reset();
        assert!(backoff.next().1 <= 500.0);
    }

    #[wasm_bindgen_test]
    fn two_seeds_do_not_come_back_in_step() {
        let (mut a, mut b) = (Backoff::new(500.0, 30_000.0, [1; 32]), Backoff::new(500.0, 30_000.0, [2; 32]));
        assert_ne!((a.next(), a.next()), (b.next(), b.next()));
    }
}
