//! A client of dht-relay for tests and measurements: it keeps its key and runs its own handshakes.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "each user takes what it needs, and may fail loudly"
)]

use bytes::Bytes;
use corestore_core::crypto::{KeyPair, PublicKey};
use corestore_core::dht::{
    Announce, DhtRelayMessage as Message, Handshake, HandshakePayload, NoiseProgress, PeerRecord, StreamAlias,
    peer_target,
};
use corestore_core::encoding::{Decode, Encode};
use corestore_core::protomux::{ChannelId, Mux, MuxEvent, MuxLimits};
use corestore_core::stream::Split;
use futures_util::{SinkExt, StreamExt};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// One connection to a gateway.
pub struct RelayClient {
    pub socket: WebSocketStream<TcpStream>,
    mux: Mux,
    channel: ChannelId,
    pub key: KeyPair,
    /// The gateway's own.
    pub gateway: PublicKey,
    next: u32,
    heard: VecDeque<Message>,
}

/// A stream that is open.
pub struct Open {
    pub ours: u32,
    pub theirs: u32,
    pub split: Split,
}

impl RelayClient {
    /// Connects from one loopback address.
    pub async fn connect(to: SocketAddr, from: Ipv4Addr, key: KeyPair) -> Result<Self, String> {
        let socket = TcpSocket::new_v4().map_err(|error| error.to_string())?;
        socket.bind(SocketAddr::from((from, 0))).map_err(|error| error.to_string())?;
        let stream = socket.connect(to).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).unwrap();
        let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(4096);
        let url = format!("ws://{to}/");
        let upgraded = tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await;
        let (socket, _) = upgraded.map_err(|error| error.to_string())?;
        let mut mux = Mux::new(MuxLimits::default(), &[]);
        let channel = mux.open(Message::PROTOCOL, None, &[]).unwrap();
        let gateway = PublicKey([0; 32]);
        let mut client = Self { socket, mux, channel, key, gateway, next: 0, heard: VecDeque::new() };
        client.send(&Message::Handshake { public_key: client.key.public_key() }).await?;
        match client.hear().await? {
            Message::Handshake { public_key } => client.gateway = public_key,
            other => return Err(format!("{other:?}")),
        }
        Ok(client)
    }

    pub async fn send(&mut self, message: &Message) -> Result<(), String> {
        self.mux.send(self.channel, message.kind(), &message.to_bytes());
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), String> {
        while let Some(event) = self.mux.poll_event() {
            match event {
                MuxEvent::Transmit(frame) => {
                    self.socket.send(Frame::Binary(frame)).await.map_err(|error| error.to_string())?;
                }
                MuxEvent::Message { kind, payload, .. } => {
                    self.heard.push_back(Message::decode(kind, &payload).map_err(|error| error.to_string())?);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The next message; pings are answered on the way. An error tells how the connection ended.
    pub async fn hear(&mut self) -> Result<Message, String> {
        loop {
            match self.heard.pop_front() {
                Some(Message::Ping) => self.send(&Message::Pong).await?,
                Some(message) => return Ok(message),
                None => match self.socket.next().await {
                    Some(Ok(Frame::Binary(frame))) => {
                        self.mux.handle_message(&frame).map_err(|error| error.to_string())?;
                        self.flush().await?;
                    }
                    Some(Ok(Frame::Close(Some(close)))) => return Err(format!("{} {}", close.code, close.reason)),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Err("closed".to_owned()),
                },
            }
        }
    }

    pub fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Connects to a peer; the handshake runs here.
    pub async fn open(&mut self, remote: PublicKey) -> Result<Open, String> {
        let ours = self.number();
        let mut noise = Handshake::initiator(&self.key, remote, [9; 32]).unwrap();
        let public_key = self.key.public_key();
        self.send(&Message::Connect { alias: ours, public_key, remote_public_key: remote }).await?;
        loop {
            match self.hear().await? {
                Message::NoiseSend { id, payload, .. } => {
                    let payload = HandshakePayload::from_bytes(&payload).unwrap();
                    let payload = Bytes::from(noise.write(&payload).unwrap());
                    self.send(&Message::NoiseReply { id, payload, progress: NoiseProgress::Called }).await?;
                }
                Message::NoiseReceive { id, payload, .. } => {
                    let read = noise.read(&payload).map_err(|_| "the handshake does not hold")?;
                    let secrets = noise.finish().unwrap();
                    let remote_id = corestore_core::crypto::Hash([0; 32]);
                    let holepunch_key = secrets.holepunch_key.clone();
                    let progress = NoiseProgress::Complete { initiator: true, remote_id, holepunch_key };
                    self.send(&Message::NoiseReply { id, payload: Bytes::from(read.to_bytes()), progress }).await?;
                    return self.opened(ours, secrets.split).await;
                }
                Message::Destroy { stream: StreamAlias::Receiver(alias), error } if alias == ours => {
                    return Err(error.unwrap_or_default());
                }
                _ => {}
            }
        }
    }

    async fn opened(&mut self, ours: u32, split: Split) -> Result<Open, String> {
        loop {
            match self.hear().await? {
                Message::Open { alias, remote_alias, .. } if remote_alias == ours => {
                    return Ok(Open { ours, theirs: alias, split });
                }
                Message::Destroy { error, .. } => return Err(error.unwrap_or_default()),
                _ => {}
            }
        }
    }

    /// Listens under its own key, until the DHT knows.
    pub async fn listen(&mut self) -> Result<(), String> {
        let alias = self.number();
        self.send(&Message::Listen { alias, public_key: self.key.public_key() }).await?;
        loop {
            match self.hear().await? {
                Message::Listening { .. } => return Ok(()),
                message => self.sign(&message).await?,
            }
        }
    }

    /// Gives the signature that a message asks for.
    pub async fn sign(&mut self, message: &Message) -> Result<(), String> {
        let Message::SignAnnounce { id, token, node, relay_addresses, .. } = message else { return Ok(()) };
        let public_key = self.key.public_key();
        let peer = PeerRecord { public_key, relay_addresses: relay_addresses.clone() };
        let announce = Announce::sign_announce(&self.key, &peer_target(&public_key), node, token, peer, 0);
        self.send(&Message::Signature { id: *id, signature: announce.signature }).await
    }

    /// Sends bytes and waits until so many came back.
    pub async fn echo(&mut self, stream: &Open, bytes: Bytes) -> Result<Bytes, String> {
        let length = bytes.len();
        self.send(&Message::Data { alias: stream.ours, data: vec![bytes] }).await?;
        let mut back = Vec::with_capacity(length);
        while back.len() < length {
            match self.hear().await? {
                Message::Data { alias, data } if alias == stream.theirs => {
                    data.iter().for_each(|chunk| back.extend_from_slice(chunk));
                }
                Message::Destroy { error, .. } => return Err(error.unwrap_or_default()),
                _ => {}
            }
        }
        Ok(Bytes::from(back))
    }
}
