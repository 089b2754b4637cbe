//! The driver of one meeting at a blind relay: a connection to the relay, kept while the stream runs through it.

use super::blind_relay::{ClientError, ClientOutput, RelayClient};
use super::hyperdht::{ConnectSettings, ConnectionId};
use super::member::Shared;
use super::udx::{Remote, StreamId};
use super::udx_stream::Grip;
use super::wire::Wire;
use bytes::Bytes;
use corestore_core::crypto::{Hash, PublicKey};
use corestore_core::entropy::Entropy;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Whom to meet, and where; see [`super::hyperdht::Event::MeetAtRelay`].
pub(super) struct Meeting {
    pub(super) connection: ConnectionId,
    pub(super) relay: PublicKey,
    pub(super) token: Hash,
    pub(super) initiator: bool,
    pub(super) local_stream: u32,
}

/// Meets the peer at the relay, and stays there until the stream is over or runs directly.
pub(super) async fn meet(shared: Arc<Shared>, meeting: Meeting) {
    let _ = run(&shared, &meeting).await;
    shared.act(|state, now| state.dht.relay_failed(now, meeting.connection));
}

/// Why a meeting ended early. Nobody is told more than that: the connection has its own word for it.
struct Failed;

impl From<ClientError> for Failed {
    fn from(_: ClientError) -> Self {
        Self
    }
}

impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Self {
        Self
    }
}

async fn run(shared: &Arc<Shared>, meeting: &Meeting) -> Result<(), Failed> {
    let (_, made) = shared.start_connect(&shared.relay_key, meeting.relay, ConnectSettings::default());
    let mut wire = made.await.map_err(|_| Failed)?.map_err(|_| Failed)?;
    let split = wire.split.take().ok_or(Failed)?;
    reached(shared, meeting, &wire);
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| Failed)?;
    let (own, asked) = (shared.relay_key.public_key(), (meeting.token, meeting.initiator, meeting.local_stream));
    let mut client = RelayClient::new(split, own, asked, &mut Entropy::from_seed(seed), shared.now());
    let stream = Grip::new(shared.udp.clone(), StreamId(meeting.local_stream));
    let mut buffer = vec![0; BUFFER];
    let mut met = false;
    loop {
        while let Some(output) = client.poll_output()? {
            match output {
                ClientOutput::Transmit(bytes) => wire.write_all(&bytes).await?,
                ClientOutput::Met(remote) if relayed(shared, meeting, &wire, remote) => met = true,
                // A direct way was found first.
                ClientOutput::Met(_) => return Ok(()),
            }
        }
        let sleep = client.deadline().map_or(IDLE, |at| at.since(shared.now()));
        tokio::select! {
            read = wire.read(&mut buffer) => {
                let bytes = buffer.get(..read?).filter(|bytes| !bytes.is_empty()).ok_or(Failed)?;
                client.handle_bytes(shared.now(), &Bytes::copy_from_slice(bytes))?;
            }
            () = tokio::time::sleep(sleep) => client.handle_deadline(shared.now())?,
            () = left(&stream) => return Ok(()),
            asked = stream.asked(), if met => {
                // Somebody else than the relay sends: the peer found a way.
                let Some((socket, from)) = asked else { return Ok(()) };
                let admit = shared.act(|state, now| match from {
                    SocketAddr::V4(from) => {
                        state.dht.handle_stream_packet(now, socket, from, meeting.local_stream)
                    }
                    SocketAddr::V6(_) => false,
                });
                stream.answer(admit);
            }
        }
    }
}

fn reached(shared: &Arc<Shared>, meeting: &Meeting, wire: &Wire) {
    let Some(relay) = wire.remote() else { return };
    if let SocketAddr::V4(address) = relay.address {
        shared.act(|state, _| state.dht.relay_reached(meeting.connection, relay.socket, address));
    }
}

/// The stream runs through the relay from now on; false when it is not needed any more.
fn relayed(shared: &Arc<Shared>, meeting: &Meeting, wire: &Wire, stream: u32) -> bool {
    let Some(Remote { socket, address: SocketAddr::V4(address), .. }) = wire.remote() else { return false };
    shared.act(|state, now| state.dht.relayed(now, meeting.connection, socket, address, stream))
}

/// The relay is not needed any more: packets under way get a moment.
async fn left(stream: &Grip) {
    stream.moved().await;
    tokio::time::sleep(PARTING).await;
}

const BUFFER: usize = 4096;
const PARTING: Duration = Duration::from_millis(500);
const IDLE: Duration = Duration::from_secs(3600);
