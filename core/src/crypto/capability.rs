//! What a core is called on the wire, and the proof that one knows its key (`hypercore/lib/caps.js`).

use super::hash::blake2b_keyed;
use super::id::{CoreKey, DiscoveryKey, Hash};
use super::namespace::{REPLICATE_INITIATOR, REPLICATE_RESPONDER};

/// The discovery key of a core.
pub fn discovery_key(key: &CoreKey) -> DiscoveryKey {
    DiscoveryKey(blake2b_keyed(key.as_ref(), &[b"hypercore"]).0)
}

/// Proves, on the stream with this Noise handshake hash, that its sender knows `key`. `initiator` is the sender's role.
pub fn capability(initiator: bool, key: &CoreKey, handshake_hash: &[u8; 64]) -> Hash {
    let namespace = if initiator { REPLICATE_INITIATOR } else { REPLICATE_RESPONDER };
    blake2b_keyed(handshake_hash, &[namespace.as_ref(), key.as_ref()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn known_capabilities() {
        let (key, hash) = (CoreKey([1; 32]), [2; 64]);
        let initiator = "c8c598812712c84947711f02163ec09cd2684bd015eb81e562ac8dd3f9887324";
        let responder = "604e409f47af3e21acc365105f75ce63581aa9409bf87f2a637bab22a15a87bf";
        assert_eq!(capability(true, &key, &hash).to_string(), initiator);
        assert_eq!(capability(false, &key, &hash).to_string(), responder);
        let discovery = "1624ec2f8e32de3e5d060a240ff6a0193d6b35d44d173311958dec134fd9bba4";
        assert_eq!(discovery_key(&key).to_string(), discovery);
    }
}
