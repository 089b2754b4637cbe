//! One meeting, as the side that asks a relay for it.

use super::channel::{ChannelError, ChannelOutput, RelayChannel};
use bytes::Bytes;
use corestore_core::crypto::{Hash, PublicKey};
use corestore_core::dht::Pair;
use corestore_core::entropy::Entropy;
use corestore_core::stream::Split;
use corestore_core::time::{Duration, Instant};
use thiserror::Error;

/// Something the client has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientOutput {
    /// Write these bytes to the relay.
    Transmit(Bytes),
    /// The other side is there: the relay's UDX stream with this number leads to it.
    Met(u32),
}

/// The meeting did not come about, or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The relay broke a rule, or is gone.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The relay is none, or ended the meeting.
    #[error("the relay closed the channel")]
    Closed,
    /// The other side did not come.
    #[error("the relay did not bring the other side in time")]
    Timeout,
}

/// Asks for one meeting and keeps it. The contract is [`RelayChannel`]'s.
#[derive(Debug)]
pub struct RelayClient {
    channel: RelayChannel,
    asked: Pair,
    /// Until the other side is there.
    until: Option<Instant>,
}

impl RelayClient {
    /// Asks the relay at the other end of a connection that we, with the key `own`, made. `stream` is our UDX stream.
    pub fn new(
        split: Split,
        own: PublicKey,
        (token, initiator, stream): (Hash, bool, u32),
        entropy: &mut Entropy,
        now: Instant,
    ) -> Self {
        let asked = Pair { initiator, token, stream: u64::from(stream), seq: 0 };
        let mut channel = RelayChannel::new(true, split, own, entropy, now);
        channel.pair(&asked);
        Self { channel, asked, until: Some(now.after(PATIENCE)) }
    }

    /// Takes bytes of the relay.
    ///
    /// # Errors
    /// [`ClientError`]: the connection to the relay must end.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &Bytes) -> Result<(), ClientError> {
        Ok(self.channel.handle_bytes(now, bytes)?)
    }

    /// Does what is due at `now`.
    ///
    /// # Errors
    /// [`ClientError`]: the connection to the relay must end.
    pub fn handle_deadline(&mut self, now: Instant) -> Result<(), ClientError> {
        if self.until.is_some_and(|until| until <= now) {
            return Err(ClientError::Timeout);
        }
        Ok(self.channel.handle_deadline(now)?)
    }

    /// When [`RelayClient::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.channel.deadline().into_iter().chain(self.until).min()
    }

    /// The next thing to do or know.
    ///
    /// # Errors
    /// [`ClientError`]: the connection to the relay must end.
    pub fn poll_output(&mut self) -> Result<Option<ClientOutput>, ClientError> {
        while let Some(output) = self.channel.poll_output() {
            match output {
                ChannelOutput::Transmit(bytes) => return Ok(Some(ClientOutput::Transmit(bytes))),
                ChannelOutput::Closed => return Err(ClientError::Closed),
                ChannelOutput::Pair(pair) => {
                    let ours = (pair.token, pair.initiator) == (self.asked.token, self.asked.initiator);
                    // Only the first answer counts.
                    if let (true, Ok(stream), Some(_)) = (ours, u32::try_from(pair.stream), self.until) {
                        self.until = None;
                        return Ok(Some(ClientOutput::Met(stream)));
                    }
                }
                ChannelOutput::Unpair(_) => {}
            }
        }
        Ok(None)
    }
}

/// How long a relay may take, as in the reference.
const PATIENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::super::channel::tests::split;
    use super::*;
    use corestore_core::crypto::KeyPair;

    fn client() -> (RelayClient, RelayChannel) {
        let own = KeyPair::from_seed(&[5; 32]).public_key();
        let mut entropy = Entropy::from_seed([1; 32]);
        let client = RelayClient::new(split(1, 2), own, (Hash([6; 32]), true, 9), &mut entropy, Instant::ZERO);
        (client, RelayChannel::new(false, split(2, 1), own, &mut entropy, Instant::ZERO))
    }

    fn carry(client: &mut RelayClient, relay: &mut RelayChannel) -> Vec<ClientOutput> {
        let mut told = Vec::new();
        for _ in 0..3 {
            while let Some(output) = client.poll_output().unwrap() {
                match output {
                    ClientOutput::Transmit(bytes) => relay.handle_bytes(Instant::ZERO, &bytes).unwrap(),
                    met @ ClientOutput::Met(_) => told.push(met),
                }
            }
            while let Some(output) = relay.poll_output() {
                if let ChannelOutput::Transmit(bytes) = output {
                    client.handle_bytes(Instant::ZERO, &bytes).unwrap();
                }
            }
        }
        told
    }

    #[test]
    fn only_the_first_answer_to_our_own_question_counts() {
        let (mut client, mut relay) = client();
        assert!(carry(&mut client, &mut relay).is_empty());
        let answer = |token, initiator, stream| Pair { initiator, token: Hash([token; 32]), stream, seq: 0 };
        for forged in [answer(7, true, 1), answer(6, false, 2), answer(6, true, 1 << 40)] {
            relay.pair(&forged);
        }
        assert!(carry(&mut client, &mut relay).is_empty());
        relay.pair(&answer(6, true, 3));
        relay.pair(&answer(6, true, 4));
        assert_eq!(carry(&mut client, &mut relay), [ClientOutput::Met(3)]);
        let late = Instant::ZERO.after(PATIENCE);
        assert_eq!(client.handle_deadline(late), Ok(()), "it waits no longer");
    }

    #[test]
    fn a_relay_that_keeps_silent_is_given_up() {
        let (mut client, mut relay) = client();
        carry(&mut client, &mut relay);
        assert_eq!(client.handle_deadline(Instant::ZERO.after(PATIENCE)), Err(ClientError::Timeout));
    }
}
