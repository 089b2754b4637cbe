//! Noise IK between two members of the DHT (`hyperdht/lib/noise-wrap.js`): one message each way, each carrying a
//! [`HandshakePayload`].

use super::handshake_payload::HandshakePayload;
use super::sealed::HolepunchKey;
use crate::crypto::namespace::{PEER_HANDSHAKE, PEER_HOLEPUNCH};
use crate::crypto::{KeyPair, PublicKey, blake2b_keyed};
use crate::encoding::{Decode, Encode};
use crate::stream::{Noise, NoiseError, Pattern, Setup, Split};
use alloc::vec::Vec;
use core::fmt;

/// One side of the handshake.
pub struct Handshake(Noise);

/// What both sides share once each has the other's message.
pub struct Secrets {
    /// Keys and hash: a secret-stream starts from them at its header.
    pub split: Split,
    /// Seals the words on hole punching.
    pub holepunch_key: HolepunchKey,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handshake(..)")
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("remote", &self.split.remote).finish_non_exhaustive()
    }
}

impl Handshake {
    /// The side that knows the other's key. `ephemeral_seed` is 32 fresh random bytes.
    ///
    /// # Errors
    /// [`NoiseError`] when `remote` is no key.
    pub fn initiator(key_pair: &KeyPair, remote: PublicKey, ephemeral_seed: [u8; 32]) -> Result<Self, NoiseError> {
        Self::new(key_pair, Some(remote), ephemeral_seed)
    }

    /// The side that is called.
    ///
    /// # Errors
    /// [`NoiseError`]: never, in fact.
    pub fn responder(key_pair: &KeyPair, ephemeral_seed: [u8; 32]) -> Result<Self, NoiseError> {
        Self::new(key_pair, None, ephemeral_seed)
    }

    fn new(key_pair: &KeyPair, remote: Option<PublicKey>, ephemeral_seed: [u8; 32]) -> Result<Self, NoiseError> {
        let setup = Setup {
            pattern: Pattern::Ik,
            initiator: remote.is_some(),
            identity_seed: &key_pair.seed(),
            ephemeral_seed,
            prologue: PEER_HANDSHAKE.as_ref(),
            remote,
        };
        Noise::new(&setup).map(Self)
    }

    /// Our message.
    ///
    /// # Errors
    /// [`NoiseError`] when it is not our turn.
    pub fn write(&mut self, payload: &HandshakePayload) -> Result<Vec<u8>, NoiseError> {
        self.0.write(&payload.to_bytes())
    }

    /// Takes the other side's message; gives its payload.
    ///
    /// # Errors
    /// [`NoiseError`] when it was not made for us, was altered, or holds no payload.
    pub fn read(&mut self, message: &[u8]) -> Result<HandshakePayload, NoiseError> {
        let payload = self.0.read(message)?;
        HandshakePayload::from_bytes(&payload).map_err(|_| NoiseError)
    }

    /// The other side's key, once it is known.
    pub fn remote(&self) -> Option<PublicKey> {
        self.0.remote()
    }

    /// The result, once both messages passed.
    pub fn finish(&mut self) -> Option<Secrets> {
        let split = self.0.finish()?;
        let holepunch_key = HolepunchKey::new(blake2b_keyed(&split.hash, &[PEER_HOLEPUNCH.as_ref()]).0);
        Some(Secrets { split, holepunch_key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree_and_a_stranger_learns_nothing() {
        let (client, server) = (KeyPair::from_seed(&[1; 32]), KeyPair::from_seed(&[2; 32]));
        let mut a = Handshake::initiator(&client, server.public_key(), [3; 32]).unwrap();
        let mut b = Handshake::responder(&server, [4; 32]).unwrap();
        let mut stranger = Handshake::responder(&client, [5; 32]).unwrap();
        let payload = HandshakePayload { version: 1, ..HandshakePayload::default() };
        let first = a.write(&payload).unwrap();
        assert!(stranger.read(&first).is_err());
        assert_eq!(b.read(&first).unwrap(), payload);
        let second = b.write(&payload).unwrap();
        assert_eq!(a.read(&second).unwrap(), payload);
        let (ours, theirs) = (a.finish().unwrap(), b.finish().unwrap());
        assert_eq!((ours.split.send, ours.split.hash), (theirs.split.receive, theirs.split.hash));
        assert_eq!(theirs.split.remote, client.public_key());
    }

    #[test]
    fn an_altered_message_is_refused() {
        let (client, server) = (KeyPair::from_seed(&[1; 32]), KeyPair::from_seed(&[2; 32]));
        let mut a = Handshake::initiator(&client, server.public_key(), [3; 32]).unwrap();
        let mut message = a.write(&HandshakePayload::default()).unwrap();
        message[40] ^= 1;
        assert!(Handshake::responder(&server, [4; 32]).unwrap().read(&message).is_err());
    }
}
