//! The encrypted stream of two peers (`@hyperswarm/secret-stream/index.js`): Noise XX, a header each way, then sealed
//! messages, every one behind its 3-byte length.

use super::noise::{Noise, Pattern, Setup, Split};
use super::seal::{HEADER_BYTES, SEAL_OVERHEAD, Seal};
use crate::crypto::namespace::{STREAM_INITIATOR, STREAM_RESPONDER};
use crate::crypto::{PublicKey, blake2b_keyed};
use crate::entropy::Entropy;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// Something the stream has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// Write these bytes to the transport.
    Transmit(Bytes),
    /// The handshake is over.
    Connected {
        /// The other side's key.
        remote: PublicKey,
        /// Hash of the handshake: the same on both sides, and on no other stream.
        handshake_hash: [u8; 64],
    },
    /// The other side's message; never empty.
    Message(Bytes),
}

/// The stream is over; the text names the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// A handshake message did not hold.
    Handshake,
    /// The header is not this stream's.
    Header,
    /// A message was tampered with.
    Tampered,
    /// A frame is shorter than a sealed message can be.
    Short,
    /// A frame of the handshake is longer than any can be.
    Long,
    /// The handshake took too long, or the peer fell silent.
    Timeout,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "the peer's handshake does not hold",
            Self::Header => "the peer's header belongs to another stream",
            Self::Tampered => "a message of the peer was altered on its way",
            Self::Short => "a message of the peer is too short",
            Self::Long => "the peer's handshake is longer than any can be",
            Self::Timeout => "the peer did not speak in time",
        })
    }
}

impl core::error::Error for StreamError {}

/// One side of an encrypted stream.
pub struct SecretStream {
    initiator: bool,
    stage: Stage,
    received: Vec<u8>,
    waiting: Vec<Bytes>,
    events: VecDeque<StreamEvent>,
    header: [u8; HEADER_BYTES],
    handshake_until: Instant,
    keep_alive_at: Instant,
    heard_at: Instant,
    /// The other side fills silence, so a longer one means that it is gone.
    keeps_alive: bool,
    now: Instant,
}

enum Stage {
    Handshake(Box<Noise>),
    Header { split: Split, send: Seal },
    Open { send: Seal, receive: Seal },
    Failed,
}

impl fmt::Debug for SecretStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretStream").field("initiator", &self.initiator).finish_non_exhaustive()
    }
}

impl SecretStream {
    /// Starts a stream on a fresh connection; the initiator speaks first.
    pub fn new(initiator: bool, identity_seed: &[u8; 32], entropy: &mut Entropy, now: Instant) -> Self {
        let setup = Setup {
            pattern: Pattern::Xx,
            initiator,
            identity_seed,
            ephemeral_seed: entropy.array(),
            prologue: &[],
            remote: None,
        };
        let mut stream = Self {
            initiator,
            stage: Noise::new(&setup).map_or(Stage::Failed, |noise| Stage::Handshake(Box::new(noise))),
            received: Vec::new(),
            waiting: Vec::new(),
            events: VecDeque::new(),
            header: entropy.array(),
            handshake_until: now.after(HANDSHAKE_TIME),
            keep_alive_at: now.after(KEEP_ALIVE),
            heard_at: now,
            keeps_alive: false,
            now,
        };
        if initiator {
            // The first message of XX depends on nothing, so it cannot fail.
            let _ = stream.go_on();
        }
        stream
    }

    /// Starts a stream on keys that another handshake gave, HyperDHT's say: at its header.
    pub fn from_split(initiator: bool, split: Split, entropy: &mut Entropy, now: Instant) -> Self {
        // A responder says nothing until it is spoken to, so its handshake leaves no trace.
        let mut stream = Self::new(false, &[0; 32], entropy, now);
        stream.initiator = initiator;
        let mut out = Vec::new();
        stream.write_header(split, &mut out);
        stream.events.push_back(StreamEvent::Transmit(Bytes::from(out)));
        stream
    }

    /// Takes bytes, in any pieces. Memory grows with what arrived, never with what a length claims.
    ///
    /// # Errors
    /// [`StreamError`]: the stream is over.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &Bytes) -> Result<(), StreamError> {
        self.now = now;
        self.heard_at = now;
        let mut rest: &[u8] = bytes;
        while !self.received.is_empty() && !rest.is_empty() {
            let missing = missing(&self.received);
            let (piece, after) = rest.split_at(missing.min(rest.len()));
            self.received.extend_from_slice(piece);
            rest = after;
            if self::missing(&self.received) == 0 {
                let frame = core::mem::take(&mut self.received);
                self.handle_frame(frame)?;
            }
        }
        while missing(rest) == 0 {
            let end = frame_end(rest);
            let (frame, after) = rest.split_at(end);
            self.handle_frame(frame.to_vec())?;
            rest = after;
        }
        self.received.extend_from_slice(rest);
        let opening = !matches!(self.stage, Stage::Open { .. });
        if opening && self.received.len() >= LENGTH_BYTES && frame_end(&self.received) > MAX_HANDSHAKE_FRAME {
            return Err(StreamError::Long);
        }
        Ok(())
    }

    /// A whole frame, its length included. A message is decrypted where it lies and shares the frame's memory.
    fn handle_frame(&mut self, mut bytes: Vec<u8>) -> Result<(), StreamError> {
        let frame = bytes.get_mut(LENGTH_BYTES..).unwrap_or_default();
        match &mut self.stage {
            Stage::Handshake(noise) => {
                noise.read(frame).map_err(|_| StreamError::Handshake)?;
                self.go_on()
            }
            Stage::Header { .. } => {
                let frame: &[u8] = frame;
                self.handle_header(frame)
            }
            Stage::Open { receive, .. } => {
                if frame.len() < SEAL_OVERHEAD {
                    return Err(StreamError::Short);
                }
                let within = receive.open_in_place(frame).ok_or(StreamError::Tampered)?;
                let plaintext = within.start.saturating_add(LENGTH_BYTES)..within.end.saturating_add(LENGTH_BYTES);
                if plaintext.is_empty() {
                    // An empty message only keeps the connection alive.
                    self.keeps_alive = true;
                } else {
                    self.events.push_back(StreamEvent::Message(Bytes::from(bytes).slice(plaintext)));
                }
                Ok(())
            }
            Stage::Failed => Err(StreamError::Handshake),
        }
    }

    /// Writes the handshake message that is due, and the header once the handshake is over.
    fn go_on(&mut self) -> Result<(), StreamError> {
        let Stage::Handshake(noise) = &mut self.stage else { return Ok(()) };
        let mut out = Vec::new();
        let mut split = noise.finish();
        if split.is_none() && noise.is_my_turn() {
            let message = noise.write(&[]).map_err(|_| StreamError::Handshake)?;
            frame(&message, &mut out);
            split = noise.finish();
        }
        if let Some(split) = split {
            self.write_header(split, &mut out);
        }
        if !out.is_empty() {
            self.events.push_back(StreamEvent::Transmit(Bytes::from(out)));
        }
        Ok(())
    }

    fn write_header(&mut self, split: Split, out: &mut Vec<u8>) {
        let id = stream_id(self.initiator, &split.hash);
        frame(&[id.as_slice(), &self.header].concat(), out);
        let send = Seal::new(&split.send, &self.header);
        self.stage = Stage::Header { split, send };
    }

    fn handle_header(&mut self, frame: &[u8]) -> Result<(), StreamError> {
        let Stage::Header { split, send } = core::mem::replace(&mut self.stage, Stage::Failed) else {
            return Err(StreamError::Header);
        };
        let (id, header) = frame.split_first_chunk::<32>().ok_or(StreamError::Header)?;
        let header = header.try_into().map_err(|_| StreamError::Header)?;
        if *id != stream_id(!self.initiator, &split.hash) {
            return Err(StreamError::Header);
        }
        self.stage = Stage::Open { send, receive: Seal::new(&split.receive, header) };
        let (remote, handshake_hash) = (split.remote, split.hash);
        self.events.push_back(StreamEvent::Connected { remote, handshake_hash });
        for message in core::mem::take(&mut self.waiting) {
            self.send(&message);
        }
        Ok(())
    }

    /// Sends a message; before the handshake is over it waits.
    pub fn send(&mut self, message: &[u8]) {
        match &mut self.stage {
            Stage::Open { send, .. } => {
                let size = message.len().saturating_add(SEAL_OVERHEAD);
                let mut out = Vec::with_capacity(size.saturating_add(LENGTH_BYTES));
                push_length(size, &mut out);
                send.seal(message, &mut out);
                self.events.push_back(StreamEvent::Transmit(Bytes::from(out)));
                self.keep_alive_at = self.now.after(KEEP_ALIVE);
            }
            Stage::Failed => {}
            _ => self.waiting.push(Bytes::copy_from_slice(message)),
        }
    }

    /// The next thing to do or know.
    pub fn poll_event(&mut self) -> Option<StreamEvent> {
        self.events.pop_front()
    }

    /// Bytes of a message that has not arrived whole.
    pub fn buffered(&self) -> usize {
        self.received.len()
    }

    /// When [`SecretStream::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Handshake(_) | Stage::Header { .. } => Some(self.handshake_until),
            Stage::Open { .. } if self.keeps_alive => Some(self.keep_alive_at.min(self.silent_at())),
            Stage::Open { .. } => Some(self.keep_alive_at),
            Stage::Failed => None,
        }
    }

    fn silent_at(&self) -> Instant {
        self.heard_at.after(SILENCE)
    }

    /// Keeps the connection alive, or ends a handshake that takes too long or a stream that fell silent.
    ///
    /// # Errors
    /// [`StreamError::Timeout`]: the stream is over.
    pub fn handle_deadline(&mut self, now: Instant) -> Result<(), StreamError> {
        self.now = now;
        match self.stage {
            Stage::Open { .. } if self.keeps_alive && now >= self.silent_at() => Err(StreamError::Timeout),
            Stage::Open { .. } => {
                if now >= self.keep_alive_at {
                    self.send(&[]);
                }
                Ok(())
            }
            Stage::Failed => Ok(()),
            _ if now >= self.handshake_until => Err(StreamError::Timeout),
            _ => Ok(()),
        }
    }
}

fn stream_id(initiator: bool, hash: &[u8; 64]) -> [u8; 32] {
    let namespace = if initiator { STREAM_INITIATOR } else { STREAM_RESPONDER };
    blake2b_keyed(hash, &[namespace.as_ref()]).0
}

fn frame(message: &[u8], out: &mut Vec<u8>) {
    push_length(message.len(), out);
    out.extend_from_slice(message);
}

fn push_length(length: usize, out: &mut Vec<u8>) {
    let [a, b, c, ..] = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&[a, b, c]);
}

/// Bytes of the first frame in `bytes`, its length included; only the length when that is cut.
fn frame_end(bytes: &[u8]) -> usize {
    let length = bytes
        .first_chunk::<LENGTH_BYTES>()
        .map_or(0, |[a, b, c]| usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16);
    length.saturating_add(LENGTH_BYTES)
}

/// How many bytes the first frame still lacks.
fn missing(bytes: &[u8]) -> usize {
    frame_end(bytes).saturating_sub(bytes.len())
}

const LENGTH_BYTES: usize = 3;
/// The largest message a frame can carry.
pub const MAX_MESSAGE: usize = (1 << 24) - 1 - SEAL_OVERHEAD;
/// A handshake must be over by then.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);
/// Frames of the handshake are shorter than this (bytes).
const MAX_HANDSHAKE_FRAME: usize = 1024;
/// A peer that fills silence is gone when it has been silent this long.
const SILENCE: Duration = Duration::from_secs(20);
/// An empty message is sent after this silence of ours, as the reference does.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair() -> (SecretStream, SecretStream) {
        let mut entropy = Entropy::from_seed([3; 32]);
        let a = SecretStream::new(true, &[1; 32], &mut entropy, Instant::ZERO);
        let b = SecretStream::new(false, &[2; 32], &mut entropy, Instant::ZERO);
        (a, b)
    }

    /// Carries bytes to and fro in pieces until nothing moves; gives what each side was told.
    fn run(a: &mut SecretStream, b: &mut SecretStream, piece: usize) -> (Vec<StreamEvent>, Vec<StreamEvent>) {
        let (mut told_a, mut told_b) = (Vec::new(), Vec::new());
        while pump(a, b, piece, &mut told_a) | pump(b, a, piece, &mut told_b) {}
        (told_a, told_b)
    }

    fn pump(from: &mut SecretStream, to: &mut SecretStream, piece: usize, told: &mut Vec<StreamEvent>) -> bool {
        let mut moved = false;
        while let Some(event) = from.poll_event() {
            moved = true;
            match event {
                StreamEvent::Transmit(bytes) => {
                    for chunk in bytes.chunks(piece) {
                        to.handle_bytes(Instant::ZERO, &Bytes::copy_from_slice(chunk)).unwrap();
                    }
                }
                other => told.push(other),
            }
        }
        moved
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_pieces_carry_the_same_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..90), 0..9),
            piece in 1_usize..200,
        ) {
            let (mut a, mut b) = pair();
            messages.iter().for_each(|message| a.send(message));
            let (told_a, told_b) = run(&mut a, &mut b, piece);
            let StreamEvent::Connected { handshake_hash: hash_a, .. } = told_a[0] else { panic!("connected first") };
            let StreamEvent::Connected { handshake_hash: hash_b, remote } = told_b[0] else { panic!("connected") };
            prop_assert_eq!(hash_a, hash_b);
            prop_assert_eq!(remote, crate::crypto::KeyPair::from_seed(&[1; 32]).public_key());
            let got: Vec<Vec<u8>> = told_b[1..].iter().map(|event| match event {
                StreamEvent::Message(bytes) => bytes.to_vec(),
                other => panic!("{other:?}"),
            }).collect();
            prop_assert_eq!(got, messages);
        }
    }

    #[test]
    fn keys_of_another_handshake_start_at_the_header() {
        let split = |send, receive| Split {
            send: [send; 32],
            receive: [receive; 32],
            hash: [3; 64],
            remote: crate::crypto::KeyPair::from_seed(&[send; 32]).public_key(),
        };
        let mut entropy = Entropy::from_seed([9; 32]);
        let mut a = SecretStream::from_split(true, split(1, 2), &mut entropy, Instant::ZERO);
        let mut b = SecretStream::from_split(false, split(2, 1), &mut entropy, Instant::ZERO);
        a.send(b"message");
        let (told_a, told_b) = run(&mut a, &mut b, 4096);
        assert!(matches!(told_a[..], [StreamEvent::Connected { handshake_hash: [3, ..], .. }]));
        assert_eq!(told_b[1..], [StreamEvent::Message(Bytes::from_static(b"message"))]);
    }

    #[test]
    fn an_altered_byte_ends_the_stream() {
        let (mut a, mut b) = pair();
        run(&mut a, &mut b, 4096);
        a.send(b"message");
        let Some(StreamEvent::Transmit(bytes)) = a.poll_event() else { panic!("a frame") };
        let mut bent = bytes.to_vec();
        bent[7] ^= 1;
        assert_eq!(b.handle_bytes(Instant::ZERO, &Bytes::from(bent)), Err(StreamError::Tampered));
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        let (mut a, mut b) = pair();
        run(&mut a, &mut b, 4096);
        b.handle_bytes(Instant::ZERO, &Bytes::from_static(&[0xff, 0xff, 0xff, 1])).unwrap();
        assert!(b.received.capacity() < 1024);
    }

    #[test]
    fn a_handshake_that_claims_to_be_long_ends_at_once() {
        let (_, mut b) = pair();
        let claim = Bytes::from_static(&[0xff, 0xff, 0xff, 1]);
        assert_eq!(b.handle_bytes(Instant::ZERO, &claim), Err(StreamError::Long));
    }

    #[test]
    fn a_peer_that_kept_the_stream_alive_and_falls_silent_is_gone() {
        let (mut a, mut b) = pair();
        run(&mut a, &mut b, 4096);
        let at = a.deadline().unwrap();
        a.handle_deadline(at).unwrap();
        run(&mut a, &mut b, 4096);
        let late = Instant::ZERO.after(SILENCE);
        assert_eq!(b.handle_deadline(late), Err(StreamError::Timeout));
        // One that never did may be silent for as long as it likes.
        assert_eq!(a.handle_deadline(late), Ok(()));
    }

    #[test]
    fn silence_ends_the_handshake() {
        let (_, mut b) = pair();
        let late = b.deadline().unwrap();
        assert_eq!(b.handle_deadline(late), Err(StreamError::Timeout));
    }

    #[test]
    fn silence_is_filled_with_empty_messages_nobody_hears() {
        let (mut a, mut b) = pair();
        run(&mut a, &mut b, 4096);
        let at = a.deadline().unwrap();
        a.handle_deadline(at).unwrap();
        let (told_a, told_b) = run(&mut a, &mut b, 4096);
        assert!(told_a.is_empty() && told_b.is_empty());
        assert!(a.deadline().unwrap() > at);
    }
}
