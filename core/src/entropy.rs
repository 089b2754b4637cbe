//! The seeded generator: randomness comes in once, as 32 bytes. Same seed, same run.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use core::fmt;

/// Bytes nobody can foretell without the seed. `Debug` hides its state.
pub struct Entropy(ChaCha20);

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(..)")
    }
}

impl Entropy {
    /// A generator from 32 bytes of fresh entropy.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha20::new(&seed.into(), &[0; 12].into()))
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
        // The key stream lasts for 256 GiB; a machine draws some hundred bytes a connection.
        let _ = self.0.try_apply_keystream(bytes);
    }

    /// `N` bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A number.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_everything_and_draws_differ() {
        let (mut a, mut b) = (Entropy::from_seed([1; 32]), Entropy::from_seed([1; 32]));
        let first = a.u64();
        assert_eq!(first, b.u64());
        assert_ne!(first, a.u64());
        assert_ne!(first, Entropy::from_seed([2; 32]).u64());
    }
}
