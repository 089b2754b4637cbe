//! Namespaces: the constants that keep one kind of hash or signature from standing in for another
//! (`hypercore-crypto/index.js`, `namespace`; `hypercore/lib/caps.js`).

use super::hash::blake2b;
use super::id::Hash;

/// The namespace number `index` of `name`.
pub fn namespace(name: &str, index: u8) -> Hash {
    let named = blake2b(&[name.as_bytes()]);
    blake2b(&[named.as_ref(), &[index]])
}

/// Signed along with a tree.
pub const TREE: Hash = hash("9fac70b50ca14efc4e91c833b204e75b8b5aad8b5881bfc0adb5ef38a3275b9c");
/// The initiator's capability.
pub const REPLICATE_INITIATOR: Hash = hash("51812a2a359b50369536775df89e18e47740f3db72ac0ae70b29594c194dc316");
/// The responder's capability.
pub const REPLICATE_RESPONDER: Hash = hash("0438492d02970cc13528ac0262bca0074e0926260256865accc0bf15bd79127d");
/// A manifest's hash.
pub const MANIFEST: Hash = hash("e64b7108eacce47cfc61ac850568f55f8b15b82ec5ed78c4ec597b036e2a1498");
/// A signer's namespace when none is given.
pub const DEFAULT_NAMESPACE: Hash = hash("4144eea531e483d54e0c14f4ca68e0644f355343ff6fcb0f005200e12cd747cb");
/// Block keys.
pub const DEFAULT_ENCRYPTION: Hash = hash("9aedb6f1dea8487cc1e1698f97eb2f063f6db4c649695622e7b675e2ceafa6e9");
/// Corestore's key pairs.
pub const CORESTORE: Hash = hash("ac5c4cbfb1064776404637a280c71fac823281d351ebeced03151743270def29");
/// A secret-stream initiator's stream id.
pub const STREAM_INITIATOR: Hash = hash("a931a0155b5c09e6d28628236af83c4b8a6af9af60986edeede9dc5d63192bf7");
/// A secret-stream responder's stream id.
pub const STREAM_RESPONDER: Hash = hash("742c9d833d430af4c48a8705e91631eecf295442bbca18996e597097723b1061");

/// An announcement in the DHT.
pub const ANNOUNCE: Hash = hash("36386adddf9f6fd60db83a6f42fc159d1146aa8644037664230aaa1f0179d497");
/// The end of an announcement.
pub const UNANNOUNCE: Hash = hash("ded293cd93fb395e756ecf5fff426529e72c36eacc22e5ed944d9099a2561e32");
/// A signed value in the DHT.
pub const MUTABLE_PUT: Hash = hash("668e823edd5ce7f5338d68bf1161f4a3c28ce437ee2ab49efd30d99366039b1e");
/// The prologue of a handshake between two members of the DHT.
pub const PEER_HANDSHAKE: Hash = hash("14d6d4b49214ab1033ed204976caa258bae9e1e8543b9ad1fd996a910b0c4e3a");
/// The key that seals words on hole punching.
pub const PEER_HOLEPUNCH: Hash = hash("f1191cd5e67b10b54a507033280ed1ff0e12278268d5679c8f93d417210d168b");

/// Reads 64 hex digits at compile time.
#[expect(clippy::indexing_slicing, reason = "runs at compile time only: a fault stops the build")]
const fn hash(hex: &str) -> Hash {
    let digits = hex.as_bytes();
    let mut bytes = [0; 32];
    let mut at = 0;
    while at < 32 {
        bytes[at] = nibble(digits[2 * at]) << 4 | nibble(digits[2 * at + 1]);
        at += 1;
    }
    Hash(bytes)
}

#[expect(clippy::panic, reason = "runs at compile time only: a fault stops the build")]
const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => panic!("a hex digit is due"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_what_the_names_give() {
        let hypercore =
            [TREE, REPLICATE_INITIATOR, REPLICATE_RESPONDER, MANIFEST, DEFAULT_NAMESPACE, DEFAULT_ENCRYPTION];
        for (index, constant) in (0..).zip(hypercore) {
            assert_eq!(namespace("hypercore", index), constant);
        }
        assert_eq!(namespace("corestore", 0), CORESTORE);
        assert_eq!(namespace("hyperswarm/secret-stream", 0), STREAM_INITIATOR);
        assert_eq!(namespace("hyperswarm/secret-stream", 1), STREAM_RESPONDER);
        let dht = [PEER_HANDSHAKE, PEER_HOLEPUNCH, ANNOUNCE, UNANNOUNCE, MUTABLE_PUT];
        for (index, constant) in [0, 1, 4, 5, 6].into_iter().zip(dht) {
            assert_eq!(namespace("hyperswarm/dht", index), constant);
        }
    }
}
