//! The Noise handshake over Ed25519 keys (`noise-handshake`, `noise-curve-ed`): snow runs the pattern, this file gives
//! it the curve, the hash and the cipher. Randomness comes in as the ephemeral seed.

use crate::crypto::{KeyPair, PublicKey};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use blake2::{Blake2b512, Digest};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use core::fmt;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::clamp_integer;
use sha2::Sha512;
use snow::params::{
    BaseChoice, CipherChoice, DHChoice, HandshakeChoice, HandshakeModifierList, HandshakePattern, HashChoice,
    NoiseParams,
};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, Error, HandshakeState};

/// Which messages the handshake has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Neither side knows the other's key.
    Xx,
    /// The initiator knows the responder's.
    Ik,
}

/// A handshake under way.
pub struct Noise(HandshakeState);

/// What a finished handshake gives. `Debug` hides the keys.
#[derive(Clone)]
pub struct Split {
    /// Key of what we send.
    pub send: [u8; 32],
    /// Key of what we receive.
    pub receive: [u8; 32],
    /// Hash of the whole handshake.
    pub hash: [u8; 64],
    /// The other side's key.
    pub remote: PublicKey,
}

impl fmt::Debug for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split").field("remote", &self.remote).finish_non_exhaustive()
    }
}

/// The handshake cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseError;

/// What a handshake is made from.
pub struct Setup<'a> {
    /// Which messages it has.
    pub pattern: Pattern,
    /// True for the side that begins.
    pub initiator: bool,
    /// Seed of our lasting key pair.
    pub identity_seed: &'a [u8; 32],
    /// 32 fresh random bytes.
    pub ephemeral_seed: [u8; 32],
    /// Bytes both sides must agree on.
    pub prologue: &'a [u8],
    /// The responder's key, when the initiator knows it.
    pub remote: Option<PublicKey>,
}

impl Noise {
    /// Starts a handshake.
    ///
    /// # Errors
    /// [`NoiseError`] when the pattern needs a key that is not given.
    pub fn new(setup: &Setup<'_>) -> Result<Self, NoiseError> {
        let (name, pattern) = match setup.pattern {
            Pattern::Xx => ("Noise_XX_Ed25519_ChaChaPoly_BLAKE2b", HandshakePattern::XX),
            Pattern::Ik => ("Noise_IK_Ed25519_ChaChaPoly_BLAKE2b", HandshakePattern::IK),
        };
        let handshake = HandshakeChoice { pattern, modifiers: HandshakeModifierList { list: Vec::new() } };
        // snow has no name for this curve: the resolver below answers for it.
        let params = NoiseParams::new(
            String::from(name),
            BaseChoice::Noise,
            handshake,
            DHChoice::Curve25519,
            CipherChoice::ChaChaPoly,
            HashChoice::Blake2b,
        );
        let resolver = Box::new(Resolver { ephemeral: setup.ephemeral_seed });
        let mut builder = Builder::with_resolver(params, resolver);
        builder = builder.local_private_key(setup.identity_seed).map_err(|_| NoiseError)?;
        builder = builder.prologue(setup.prologue).map_err(|_| NoiseError)?;
        if let Some(remote) = &setup.remote {
            builder = builder.remote_public_key(remote.as_ref()).map_err(|_| NoiseError)?;
        }
        let state = if setup.initiator { builder.build_initiator() } else { builder.build_responder() };
        state.map(Self).map_err(|_| NoiseError)
    }

    /// The next message to send, carrying `payload`.
    ///
    /// # Errors
    /// [`NoiseError`] when it is not our turn.
    pub fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut message = alloc::vec![0; payload.len().saturating_add(OVERHEAD)];
        let length = self.0.write_message(payload, &mut message).map_err(|_| NoiseError)?;
        message.truncate(length);
        Ok(message)
    }

    /// Takes the other side's message; gives its payload.
    ///
    /// # Errors
    /// [`NoiseError`] when it is none, or not its turn.
    pub fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut payload = alloc::vec![0; message.len()];
        let length = self.0.read_message(message, &mut payload).map_err(|_| NoiseError)?;
        payload.truncate(length);
        Ok(payload)
    }

    /// True when it is our turn to write.
    pub fn is_my_turn(&self) -> bool {
        self.0.is_my_turn()
    }

    /// The other side's key, once a message told it.
    pub fn remote(&self) -> Option<PublicKey> {
        self.0.get_remote_static().and_then(|key| key.try_into().ok()).map(PublicKey)
    }

    /// The result, once every message passed.
    pub fn finish(&mut self) -> Option<Split> {
        if !self.0.is_handshake_finished() {
            return None;
        }
        let hash = self.0.get_handshake_hash().try_into().ok()?;
        let remote = self.remote()?;
        let (initiator, responder) = self.0.dangerously_get_raw_split();
        let (send, receive) = if self.0.is_initiator() { (initiator, responder) } else { (responder, initiator) };
        Some(Split { send, receive, hash, remote })
    }
}

/// Keys and tags a message adds to its payload, at most.
const OVERHEAD: usize = 128;

struct Resolver {
    ephemeral: [u8; 32],
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.ephemeral))))
    }

    fn resolve_dh(&self, _: &DHChoice) -> Option<Box<dyn Dh>> {
        Some(Box::new(Ed25519 { seed: [0; 32], public: [0; 32] }))
    }

    fn resolve_hash(&self, _: &HashChoice) -> Option<Box<dyn Hash>> {
        Some(Box::new(Blake2(Blake2b512::new())))
    }

    fn resolve_cipher(&self, _: &CipherChoice) -> Option<Box<dyn Cipher>> {
        Some(Box::new(ChaChaPoly { key: [0; 32] }))
    }
}

/// Gives the ephemeral seed, once: a second draw would repeat it.
struct Once(Option<[u8; 32]>);

impl Random for Once {
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        let seed = self.0.take().ok_or(Error::Rng)?;
        let bytes = bytes.get_mut(..32).ok_or(Error::Rng)?;
        bytes.copy_from_slice(&seed);
        Ok(())
    }
}

/// Ed25519 keys; the shared secret is an Edwards point, compressed and not hashed.
struct Ed25519 {
    seed: [u8; 32],
    public: [u8; 32],
}

impl Dh for Ed25519 {
    fn name(&self) -> &'static str {
        "Ed25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, seed: &[u8]) {
        if let Ok(seed) = seed.try_into() {
            self.seed = seed;
            self.public = KeyPair::from_seed(&seed).public_key().0;
        }
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), Error> {
        let mut seed = [0; 32];
        random.try_fill_bytes(&mut seed)?;
        self.set(&seed);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.seed
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let public: [u8; 32] = public.get(..32).and_then(|bytes| bytes.try_into().ok()).ok_or(Error::Dh)?;
        let point = CompressedEdwardsY(public).decompress().ok_or(Error::Dh)?;
        if point.is_small_order() {
            return Err(Error::Dh);
        }
        let hash = Sha512::digest(self.seed);
        let scalar = hash.first_chunk::<32>().copied().ok_or(Error::Dh)?;
        let shared = point.mul_clamped(clamp_integer(scalar)).compress();
        out.get_mut(..32).ok_or(Error::Dh)?.copy_from_slice(shared.as_bytes());
        Ok(())
    }
}

struct Blake2(Blake2b512);

impl Hash for Blake2 {
    fn name(&self) -> &'static str {
        "BLAKE2b"
    }

    fn block_len(&self) -> usize {
        128
    }

    fn hash_len(&self) -> usize {
        64
    }

    fn reset(&mut self) {
        self.0 = Blake2b512::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let hash = core::mem::take(&mut self.0).finalize();
        out.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    }
}

struct ChaChaPoly {
    key: [u8; 32],
}

impl ChaChaPoly {
    fn nonce(counter: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce.iter_mut().skip(4).zip(counter.to_le_bytes()).for_each(|(to, from)| *to = from);
        nonce
    }
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.key = *key;
    }

    fn encrypt(&self, nonce: u64, aad: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let cipher = ChaCha20Poly1305::new(&self.key.into());
        let sealed = cipher.encrypt(&Self::nonce(nonce).into(), Payload { msg: plaintext, aad }).unwrap_or_default();
        out.iter_mut().zip(&sealed).for_each(|(to, from)| *to = *from);
        sealed.len()
    }

    fn decrypt(&self, nonce: u64, aad: &[u8], ciphertext: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let cipher = ChaCha20Poly1305::new(&self.key.into());
        let opened =
            cipher.decrypt(&Self::nonce(nonce).into(), Payload { msg: ciphertext, aad }).map_err(|_| Error::Decrypt)?;
        out.iter_mut().zip(&opened).for_each(|(to, from)| *to = *from);
        Ok(opened.len())
    }
}
