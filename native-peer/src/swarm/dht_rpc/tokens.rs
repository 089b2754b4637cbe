//! Tokens: proof that a host receives at its address, and so may store something here (`dht-rpc/lib/io.js`).

use corestore_core::crypto::{Hash, blake2b_keyed};
use corestore_core::entropy::Entropy;
use std::net::Ipv4Addr;

/// Two secrets; the older one is replaced every few seconds, so a token lives for one to two such spans.
pub(super) struct Tokens {
    older: [u8; 32],
    newer: [u8; 32],
}

impl Tokens {
    pub(super) fn new(entropy: &mut Entropy) -> Self {
        Self { older: entropy.array(), newer: entropy.array() }
    }

    /// The token for a host.
    pub(super) fn issue(&self, host: &Ipv4Addr) -> Hash {
        token(&self.newer, host)
    }

    /// True when we gave this token to this host, not long ago.
    pub(super) fn holds(&self, host: &Ipv4Addr, presented: &Hash) -> bool {
        token(&self.newer, host) == *presented || token(&self.older, host) == *presented
    }

    /// Forgets the older secret.
    pub(super) fn rotate(&mut self, entropy: &mut Entropy) {
        self.older = std::mem::replace(&mut self.newer, entropy.array());
    }
}

fn token(secret: &[u8; 32], host: &Ipv4Addr) -> Hash {
    blake2b_keyed(secret, &[host.to_string().as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_hosts_and_dies_at_the_second_rotation() {
        let mut entropy = Entropy::from_seed([1; 32]);
        let mut tokens = Tokens::new(&mut entropy);
        let (ours, other) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let issued = tokens.issue(&ours);
        assert!(tokens.holds(&ours, &issued) && !tokens.holds(&other, &issued));
        tokens.rotate(&mut entropy);
        assert!(tokens.holds(&ours, &issued) && tokens.issue(&ours) != issued);
        tokens.rotate(&mut entropy);
        assert!(!tokens.holds(&ours, &issued));
    }

    #[test]
    fn a_known_token() {
        // From the reference: the secret its vectors issue with.
        let digits = "90adf90b71de3944cf9b0465c99c72bc672a01700b579fb614fbfdd65d26a5af";
        let secret = std::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap());
        let expected = "26197b65d3cf19b6969658997c6e57d32ea5f64315291515c2eb34b68c1afd0e";
        assert_eq!(token(&secret, &Ipv4Addr::LOCALHOST).to_string(), expected);
    }
}
