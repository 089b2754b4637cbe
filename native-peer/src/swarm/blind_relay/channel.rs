//! The protocol `blind-relay` on one connection, for both roles: an encrypted stream, a mux, one channel.

use bytes::Bytes;
use corestore_core::crypto::PublicKey;
use corestore_core::dht::{Pair, Unpair};
use corestore_core::encoding::{Decode, DecodeError, Encode};
use corestore_core::entropy::Entropy;
use corestore_core::protomux::{ChannelId, Mux, MuxError, MuxEvent, MuxLimits};
use corestore_core::stream::{SecretStream, Split, StreamError, StreamEvent};
use corestore_core::time::Instant;
use std::collections::VecDeque;
use thiserror::Error;

/// Something the channel has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelOutput {
    /// Write these bytes to the connection.
    Transmit(Bytes),
    /// The other side asks for a meeting, or answers that it came about.
    Pair(Pair),
    /// The other side wants no meeting any more.
    Unpair(Unpair),
    /// The other side closed the channel, or does not know the protocol.
    Closed,
}

/// The other side broke a rule, or is gone: the connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The encrypted stream failed.
    #[error("the encrypted stream to the relay failed: {0}")]
    Stream(#[from] StreamError),
    /// The mux failed.
    #[error(transparent)]
    Mux(#[from] MuxError),
    /// A message cannot be read.
    #[error("the other side sent a {0}")]
    Malformed(#[from] DecodeError),
    /// A message is longer than any of this protocol.
    #[error("the other side sends a message longer than any of this protocol")]
    TooLong,
}

/// One side of a channel. After every other call drain [`RelayChannel::poll_output`], then ask
/// [`RelayChannel::deadline`] again.
#[derive(Debug)]
pub struct RelayChannel {
    stream: SecretStream,
    mux: Mux,
    channel: Option<ChannelId>,
    outputs: VecDeque<ChannelOutput>,
}

impl RelayChannel {
    /// A channel on a connection whose keys are agreed on. `client` is the key of the side that asks for meetings: it
    /// is the channel's id.
    pub fn new(initiator: bool, split: Split, client: PublicKey, entropy: &mut Entropy, now: Instant) -> Self {
        let mut mux = Mux::new(LIMITS, &[]);
        let channel = mux.open(PROTOCOL, Some(&client.0), &[]);
        let stream = SecretStream::from_split(initiator, split, entropy, now);
        let mut made = Self { stream, mux, channel, outputs: VecDeque::new() };
        made.pass_on();
        made.take_transmits();
        made
    }

    /// Takes bytes of the connection, in any pieces.
    ///
    /// # Errors
    /// [`ChannelError`]: the connection must end.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &Bytes) -> Result<(), ChannelError> {
        self.stream.handle_bytes(now, bytes)?;
        if self.stream.buffered() > MAX_MESSAGE {
            return Err(ChannelError::TooLong);
        }
        self.pump()
    }

    /// Does what is due at `now`.
    ///
    /// # Errors
    /// [`ChannelError`]: the other side is gone.
    pub fn handle_deadline(&mut self, now: Instant) -> Result<(), ChannelError> {
        self.stream.handle_deadline(now)?;
        self.pump()
    }

    /// Says a word on a meeting.
    pub fn pair(&mut self, pair: &Pair) {
        self.send(PAIR, &pair.to_bytes());
    }

    /// Gives a meeting up.
    pub fn unpair(&mut self, unpair: &Unpair) {
        self.send(UNPAIR, &unpair.to_bytes());
    }

    /// When [`RelayChannel::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.stream.deadline()
    }

    /// The next thing to do or know.
    pub fn poll_output(&mut self) -> Option<ChannelOutput> {
        self.outputs.pop_front()
    }

    fn send(&mut self, kind: u64, payload: &[u8]) {
        if let Some(channel) = self.channel {
            self.mux.send(channel, kind, payload);
            self.pass_on();
            self.take_transmits();
        }
    }

    /// Takes in what stream and mux have to say, until they have nothing more.
    fn pump(&mut self) -> Result<(), ChannelError> {
        while let Some(event) = self.stream.poll_event() {
            match event {
                StreamEvent::Transmit(bytes) => self.outputs.push_back(ChannelOutput::Transmit(bytes)),
                StreamEvent::Connected { .. } => {}
                StreamEvent::Message(bytes) => {
                    self.mux.handle_message(&bytes)?;
                    self.handle_mux()?;
                }
            }
        }
        Ok(())
    }

    fn handle_mux(&mut self) -> Result<(), ChannelError> {
        while let Some(event) = self.mux.poll_event() {
            match event {
                MuxEvent::Transmit(frame) => self.stream.send(&frame),
                MuxEvent::Pair { protocol, id } => self.mux.reject(&protocol, id.as_deref()),
                MuxEvent::Opened { .. } => {}
                MuxEvent::Message { kind: PAIR, payload, .. } => {
                    self.outputs.push_back(ChannelOutput::Pair(Pair::from_bytes(&payload)?));
                }
                MuxEvent::Message { kind: UNPAIR, payload, .. } => {
                    self.outputs.push_back(ChannelOutput::Unpair(Unpair::from_bytes(&payload)?));
                }
                MuxEvent::Message { .. } => {}
                MuxEvent::Closed { .. } => self.outputs.push_back(ChannelOutput::Closed),
            }
        }
        Ok(())
    }

    /// Gives the stream what the mux has to send.
    fn pass_on(&mut self) {
        while let Some(event) = self.mux.poll_event() {
            if let MuxEvent::Transmit(frame) = event {
                self.stream.send(&frame);
            }
        }
    }

    /// Hands out what the stream has to send; it has nothing else to say outside of [`RelayChannel::pump`].
    fn take_transmits(&mut self) {
        while let Some(event) = self.stream.poll_event() {
            if let StreamEvent::Transmit(bytes) = event {
                self.outputs.push_back(ChannelOutput::Transmit(bytes));
            }
        }
    }
}

const PROTOCOL: &str = "blind-relay";
const PAIR: u64 = 0;
const UNPAIR: u64 = 1;
/// The longest message taken; many meetings may be asked for in one batch (bytes).
const MAX_MESSAGE: usize = 16 * 1024;
const LIMITS: MuxLimits = MuxLimits { pending_opens: 8, channels: 64, buffered: MAX_MESSAGE };

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use corestore_core::crypto::{Hash, KeyPair};

    pub(in super::super) fn split(send: u8, receive: u8) -> Split {
        let remote = KeyPair::from_seed(&[send; 32]).public_key();
        Split { send: [send; 32], receive: [receive; 32], hash: [3; 64], remote }
    }

    /// Both ends of a connection of the client with this number.
    pub(in super::super) fn ends(client: u8) -> (RelayChannel, RelayChannel) {
        let key = KeyPair::from_seed(&[client; 32]).public_key();
        let mut entropy = Entropy::from_seed([client; 32]);
        let asks = RelayChannel::new(true, split(1, 2), key, &mut entropy, Instant::ZERO);
        let serves = RelayChannel::new(false, split(2, 1), key, &mut entropy, Instant::ZERO);
        (asks, serves)
    }

    /// Carries what `from` has to say to `to`; gives what is no transmission.
    pub(in super::super) fn carry(from: &mut RelayChannel, to: &mut RelayChannel) -> Vec<ChannelOutput> {
        let mut told = Vec::new();
        while let Some(output) = from.poll_output() {
            match output {
                ChannelOutput::Transmit(bytes) => to.handle_bytes(Instant::ZERO, &bytes).unwrap(),
                other => told.push(other),
            }
        }
        told
    }

    fn pair(stream: u64) -> Pair {
        Pair { initiator: true, token: Hash([4; 32]), stream, seq: 0 }
    }

    #[test]
    fn words_travel_both_ways() {
        let (mut asks, mut serves) = ends(5);
        asks.pair(&pair(7));
        carry(&mut serves, &mut asks);
        carry(&mut asks, &mut serves);
        assert_eq!(carry(&mut serves, &mut asks), [ChannelOutput::Pair(pair(7))]);
        serves.pair(&pair(8));
        carry(&mut serves, &mut asks);
        asks.unpair(&Unpair { token: Hash([4; 32]) });
        assert_eq!(carry(&mut asks, &mut serves), [ChannelOutput::Pair(pair(8))]);
        assert_eq!(carry(&mut serves, &mut asks), [ChannelOutput::Unpair(Unpair { token: Hash([4; 32]) })]);
    }

    #[test]
    fn another_channel_is_refused_and_nothing_long_is_kept() {
        let (mut asks, mut serves) = ends(5);
        carry(&mut serves, &mut asks);
        carry(&mut asks, &mut serves);
        asks.mux.open("hypercore/alpha", None, &[]);
        asks.pass_on();
        asks.take_transmits();
        carry(&mut asks, &mut serves);
        carry(&mut serves, &mut asks);
        assert!(carry(&mut asks, &mut serves).contains(&ChannelOutput::Closed), "rejected");
        let mut long = vec![0xff, 0xff, 0x0f];
        long.resize(MAX_MESSAGE + 1, 0);
        assert_eq!(serves.handle_bytes(Instant::ZERO, &Bytes::from(long)), Err(ChannelError::TooLong));
    }

    #[test]
    fn a_word_cut_short_ends_the_connection() {
        let (mut asks, mut serves) = ends(5);
        carry(&mut serves, &mut asks);
        carry(&mut asks, &mut serves);
        asks.send(PAIR, &[1, 2, 3]);
        let Some(ChannelOutput::Transmit(bytes)) = asks.poll_output() else { panic!("bytes") };
        assert!(matches!(serves.handle_bytes(Instant::ZERO, &bytes), Err(ChannelError::Malformed(_))));
    }
}
