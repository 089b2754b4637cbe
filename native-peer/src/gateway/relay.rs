//! The driver of one browser's [`Session`]: its WebSocket, its streams, and the DHT. It holds no protocol.

use super::admission::{Deed, Refusal};
use super::hub::Seat;
use super::local::Locals;
use super::log::LogEvent;
use super::metrics::{Counted, Figure};
use super::said::{Held, Said};
use super::session::{Fault, Output, Part, Session};
use super::shared::{Admitted, Shared};
use super::stream::{Backlog, Lane, StreamHandle};
use crate::swarm::hyperdht::ServerId;
use corestore_core::crypto::PublicKey;
use futures_util::{FutureExt, Sink, SinkExt, Stream as Messages, StreamExt};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Serves one browser until either side ends it.
pub(super) async fn run<S>(shared: Arc<Shared>, admitted: Admitted, socket: S)
where
    S: Messages<Item = Result<Message, Error>> + Sink<Message, Error = Error> + Unpin + Send,
{
    let mut seed = [0; 32];
    if getrandom::fill(&mut seed).is_err() {
        return;
    }
    let _counted = Counted::new(&shared.metrics, |metrics| &metrics.connections, 1);
    shared.metrics.connections_total.add(1);
    let (inbox, said) = mpsc::channel(INBOX);
    let session = Session::new(shared.limits.session.clone(), shared.key_pair.public_key(), seed, shared.now());
    let lane = Lane {
        address: admitted.address,
        room: Arc::new(Semaphore::new(shared.limits.buffered_out)),
        backlog: Backlog::new(&shared.metrics),
        shared: Arc::clone(&shared),
        inbox,
    };
    let seat = shared.hub.sit(lane.inbox.clone());
    let parts = Parts { streams: BTreeMap::new(), servers: BTreeMap::new(), tasks: BTreeMap::new() };
    let locals = Locals::default();
    let begun = Instant::now();
    let (named, fine, from_browser, to_browser) = (false, Duration::ZERO, 0, 0);
    let mut relay =
        Relay { admitted, socket, session, lane, seat, parts, locals, named, fine, from_browser, to_browser };
    let ended = relay.carry(said).await;
    relay.close_servers();
    relay.close(&ended).await;
    let Relay { admitted, seat, from_browser, to_browser, .. } = &relay;
    shared.log(LogEvent::Disconnected {
        connection: seat.number,
        address: admitted.address,
        reason: ended.to_string(),
        lasted: begun.elapsed(),
        from_browser: *from_browser,
        to_browser: *to_browser,
    });
}

pub(super) struct Relay<S> {
    admitted: Admitted,
    socket: S,
    pub(super) session: Session,
    pub(super) lane: Lane,
    pub(super) seat: Seat,
    pub(super) parts: Parts,
    pub(super) locals: Locals,
    named: bool,
    /// How long it is not read, for what it asked beyond its limits.
    fine: Duration,
    from_browser: u64,
    to_browser: u64,
}

/// What the session has begun; it ends with it.
pub(super) struct Parts {
    pub(super) streams: BTreeMap<Part, StreamHandle>,
    pub(super) servers: BTreeMap<Part, (PublicKey, ServerId, Task)>,
    /// Streams being made, and queries.
    pub(super) tasks: BTreeMap<Part, Task>,
}

/// A task that ends when it is dropped.
pub(super) struct Task(pub(super) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the browser went away")]
    Gone,
    #[error("{0}")]
    Socket(Error),
    #[error("the browser takes no bytes")]
    Stalled,
    #[error("the browser sent a text message; frames travel in binary messages")]
    Text,
    #[error("{0}")]
    Fault(Fault),
    #[error("{0}")]
    Refused(Refusal),
    #[error("the gateway shuts down")]
    Shutdown,
}

impl<S> Relay<S>
where
    S: Messages<Item = Result<Message, Error>> + Sink<Message, Error = Error> + Unpin + Send,
{
    async fn carry(&mut self, mut said: mpsc::Receiver<Said>) -> Ended {
        let mut stopping = self.lane.shared.stopping.clone();
        // The browser is not read before then: it has used up its bytes.
        let mut quiet_until = tokio::time::Instant::now();
        let mut room = Vec::new();
        if let Err(ended) = self.flush(&mut room).await {
            return ended;
        }
        loop {
            let now = tokio::time::Instant::now();
            let full = self.lane.backlog.bytes() >= self.lane.shared.limits.buffered_in;
            let deadline = now + self.session.deadline().since(self.lane.shared.now());
            let turn = tokio::select! {
                word = said.recv() => match word {
                    Some(word) => self.take_words(word, &mut said, &mut room),
                    None => Err(Ended::Gone),
                },
                message = self.socket.next(), if !full && now >= quiet_until => match message {
                    Some(Ok(message)) => self.take_messages(message).map(|pause| quiet_until = now + pause),
                    Some(Err(error)) => Err(Ended::Socket(error)),
                    None => Err(Ended::Gone),
                },
                () = self.lane.backlog.drained.notified(), if full => Ok(()),
                () = tokio::time::sleep_until(quiet_until), if now < quiet_until => Ok(()),
                () = tokio::time::sleep_until(deadline) => {
                    let now = self.lane.shared.now();
                    self.session.handle_deadline(now).map_err(Ended::Fault)
                }
                _ = stopping.wait_for(|stopping| *stopping) => Err(Ended::Shutdown),
            };
            // What a fault was preceded by is still told.
            let flushed = self.flush(&mut room).await;
            if let Err(ended) = turn.and(flushed) {
                return ended;
            }
            quiet_until += std::mem::take(&mut self.fine);
            // A browser that always has something to say has no more turns than others.
            tokio::task::yield_now().await;
        }
    }

    /// Takes the messages that are there, up to a limit: what answers them goes out together. Gives how long the
    /// browser is to be quiet.
    fn take_messages(&mut self, first: Message) -> Result<Duration, Ended> {
        let (mut message, mut bytes) = (first, 0_usize);
        for taken in 1.. {
            bytes = bytes.saturating_add(message.len()).saturating_add(MESSAGE_COST);
            self.take_message(message)?;
            if taken >= MESSAGES || bytes >= MESSAGE_BYTES {
                break;
            }
            message = match self.socket.next().now_or_never() {
                Some(Some(Ok(message))) => message,
                Some(Some(Err(error))) => return Err(Ended::Socket(error)),
                Some(None) => return Err(Ended::Gone),
                None => break,
            };
        }
        Ok(self.lane.shared.spend(self.lane.address, bytes))
    }

    fn take_message(&mut self, message: Message) -> Result<(), Ended> {
        match message {
            Message::Binary(frame) => {
                let now = self.lane.shared.now();
                self.session.handle_frame(now, &frame).map_err(Ended::Fault)?;
                self.name()
            }
            Message::Text(_) => Err(Ended::Text),
            Message::Close(_) => Err(Ended::Gone),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    /// The browser said who it is.
    fn name(&mut self) -> Result<(), Ended> {
        let Some(key) = self.session.client().filter(|_| !self.named) else { return Ok(()) };
        self.named = true;
        self.admitted.name(key).map_err(Ended::Refused)?;
        let (connection, address) = (self.seat.number, self.admitted.address);
        self.lane.shared.log(LogEvent::Connected { connection, address, key });
        Ok(())
    }

    /// Takes what is there to be told, up to a limit: it is answered in few frames.
    fn take_words(&mut self, first: Said, said: &mut mpsc::Receiver<Said>, room: &mut Vec<Room>) -> Result<(), Ended> {
        self.take_word(first, room);
        for _ in 0..WORDS {
            match said.try_recv() {
                Ok(word) => self.take_word(word, room),
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn take_word(&mut self, word: Said, room: &mut Vec<Room>) {
        let now = self.lane.shared.now();
        let session = &mut self.session;
        match word {
            Said::Sign(part, signature, signable) => {
                self.lane.shared.metrics.signatures_total.add(1);
                session.sign(now, part, signature, *signable);
            }
            Said::ReadHandshake(part, connection, noise) => session.read_handshake(now, part, connection, noise),
            Said::WriteHandshake(part, connection, payload) => {
                session.write_handshake(now, part, connection, &payload);
            }
            Said::Announced(server, relays) => {
                let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, self.lane.shared.swarm.member().port());
                session.announced(server, relays, address);
            }
            Said::Superseded(server) => {
                self.close_server(server);
                self.session.server_ended(server);
            }
            Said::Connected(stream, connection, far) => {
                self.parts.tasks.remove(&stream);
                session.connected(stream, connection);
                self.begin(stream, far);
            }
            Said::Failed(stream, reason) => {
                self.parts.tasks.remove(&stream);
                self.lane.shared.metrics.streams_failed.add(1);
                session.failed(stream, reason);
            }
            Said::Called(server, connection, far) => {
                if let Some(stream) = session.called(server, connection) {
                    self.begin(stream, far);
                }
            }
            Said::Data(stream, Held { bytes, room: held }) => {
                let length = bytes.len();
                if session.data_from_peer(stream, bytes) {
                    self.to_browser =
                        self.to_browser.saturating_add(counted(&self.lane.shared.metrics.bytes_to_browsers, length));
                    room.push(held);
                }
            }
            Said::Ended(stream) => session.end_from_peer(stream),
            Said::Over(stream, reason) => {
                self.parts.streams.remove(&stream);
                session.far_closed(stream, reason);
            }
            Said::Found(query, answer) => session.found(query, &answer),
            Said::QueryDone(query) => {
                self.parts.tasks.remove(&query);
                session.query_done(query);
            }
        }
    }

    /// Carries out what the session wants, and sends its frames. `room` is what they take.
    async fn flush(&mut self, room: &mut Vec<Room>) -> Result<(), Ended> {
        let stall = self.lane.shared.limits.stall;
        let mut sent = false;
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Frame(frame) => {
                    let fed = tokio::time::timeout(stall, self.socket.feed(Message::Binary(frame))).await;
                    fed.map_err(|_| self.stalled())?.map_err(Ended::Socket)?;
                    sent = true;
                }
                Output::Write { stream, data } => {
                    for bytes in data {
                        let length = counted(&self.lane.shared.metrics.bytes_from_browsers, bytes.len());
                        self.from_browser = self.from_browser.saturating_add(length);
                        if let Some(stream) = self.parts.streams.get(&stream) {
                            stream.write(&self.lane.backlog, bytes);
                        }
                    }
                }
                Output::Finish(stream) => {
                    self.parts.streams.get(&stream).into_iter().for_each(StreamHandle::finish);
                }
                Output::Drop(stream) => {
                    self.parts.streams.remove(&stream);
                    self.parts.tasks.remove(&stream);
                    self.locals.forget(stream);
                }
                Output::Request(request) => self.ask(request),
            }
        }
        if sent {
            let flushed = tokio::time::timeout(stall, self.socket.flush()).await;
            flushed.map_err(|_| self.stalled())?.map_err(Ended::Socket)?;
        }
        room.clear();
        Ok(())
    }

    fn stalled(&self) -> Ended {
        self.lane.shared.metrics.stalled.add(1);
        Ended::Stalled
    }

    /// Says farewell, with the reason. Whoever does not take it is not waited for.
    async fn close(&mut self, ended: &Ended) {
        if matches!(ended, Ended::Fault(_) | Ended::Text) {
            self.lane.shared.metrics.faults.add(1);
        }
        let code = match ended {
            Ended::Gone | Ended::Socket(_) | Ended::Stalled => return,
            Ended::Fault(fault) => fault.code(),
            Ended::Text => 1003,
            Ended::Refused(_) => 1013,
            Ended::Shutdown => 1001,
        };
        // A close frame holds 123 bytes; ours are of one byte a letter, or nearly.
        let reason: String = ended.to_string().chars().take(120).filter(char::is_ascii).collect();
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        let farewell = async {
            self.socket.send(Message::Close(Some(frame))).await?;
            while let Some(Ok(_)) = self.socket.next().await {}
            Ok::<_, Error>(())
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
}

impl<S> Relay<S> {
    /// May the browser do that now? Who asks too often is listened to more slowly.
    pub(super) fn may(&mut self, deed: Deed) -> bool {
        let may = self.lane.shared.may(self.lane.address, deed);
        self.fine += if may { Duration::ZERO } else { FINE };
        may
    }
}

fn counted(figure: &Figure, bytes: usize) -> u64 {
    figure.add(bytes);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// What bytes on their way to the browser take.
type Room = (tokio::sync::OwnedSemaphorePermit, Counted);

/// Words that wait for a session. Streams wait when it is full; the DHT's questions get no for an answer.
const INBOX: usize = 512;
/// Messages of a browser taken at once, and their bytes.
const MESSAGES: usize = 32;
const MESSAGE_BYTES: usize = 64 << 10;
/// Bytes of its share that a message costs beside its own: many small ones are work too.
const MESSAGE_COST: usize = 1 << 10;
/// How long a browser is not read for each thing it asked beyond its limits.
const FINE: Duration = Duration::from_millis(10);
/// Words taken at once.
const WORDS: usize = 64;
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);
