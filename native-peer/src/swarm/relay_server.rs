//! The driver of a blind relay: the [`BlindRelay`] machine, its connections, and the UDX streams that it joins.

use super::blind_relay::{BlindRelay, ChannelOutput, Config, JoinId, Output, RelayChannel, RelayStats, SessionId};
use super::hyperdht::{Identity, ServerSettings};
use super::member::{Member, MemberListener};
use super::udp::Udp;
use super::udx::{Meter, Remote, StreamOptions};
use super::udx_stream::UdxStream;
use super::wire::Wire;
use bytes::Bytes;
use corestore_core::crypto::PublicKey;
use corestore_core::dht::Pair;
use corestore_core::entropy::Entropy;
use corestore_core::time::Instant;
use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

/// A blind relay that runs on a member. Dropping it ends it, and what runs through it.
#[derive(Debug)]
pub struct RelayServer {
    hub: Arc<Hub>,
    public_key: PublicKey,
    task: JoinHandle<()>,
}

/// What the tasks of a relay share.
#[derive(Debug)]
struct Hub {
    state: Mutex<State>,
    udp: Udp,
    epoch: std::time::Instant,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    relay: BlindRelay,
    sessions: BTreeMap<SessionId, Session>,
    joins: BTreeMap<JoinId, [UdxStream; 2]>,
    /// Of the keys that met others lately: to come again is no way to get more.
    meters: lru::LruCache<PublicKey, Meter>,
    max_bytes_per_key: u32,
}

#[derive(Debug)]
struct Session {
    key: PublicKey,
    answers: mpsc::Sender<Pair>,
    /// Its streams are sent from where its connection is.
    remote: Remote,
}

impl Drop for RelayServer {
    fn drop(&mut self) {
        self.task.abort();
        let mut state = self.hub.lock();
        // Without their senders the sessions end.
        (state.sessions, state.joins) = (BTreeMap::new(), BTreeMap::new());
    }
}

impl RelayServer {
    /// Relays for whoever connects under this key; `None` when the member listens under it already.
    pub fn start(member: &Member, identity: impl Into<Identity>, config: Config) -> Option<Self> {
        let identity = identity.into();
        let public_key = identity.public_key();
        let listener = member.listen(identity, ServerSettings::default())?;
        let state = State {
            max_bytes_per_key: config.max_bytes_per_key,
            relay: BlindRelay::new(config),
            sessions: BTreeMap::new(),
            joins: BTreeMap::new(),
            meters: lru::LruCache::new(METERS),
        };
        let (state, udp) = (Mutex::new(state), member.udp());
        let hub = Arc::new(Hub { state, udp, epoch: std::time::Instant::now(), changed: Notify::new() });
        let task = tokio::spawn(run(Arc::clone(&hub), listener));
        Some(Self { hub, public_key, task })
    }

    /// The key others name.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Counters and figures.
    pub fn stats(&self) -> RelayStats {
        self.hub.lock().relay.stats()
    }
}

async fn run(hub: Arc<Hub>, mut listener: MemberListener) {
    loop {
        let deadline = hub.lock().relay.deadline();
        let sleep = deadline.map_or(IDLE, |at| at.since(hub.now()));
        tokio::select! {
            wire = listener.accept() => match wire {
                Some(wire) => drop(tokio::spawn(serve(Arc::clone(&hub), wire))),
                None => return,
            },
            () = tokio::time::sleep(sleep) => hub.act(|state, now| state.relay.handle_deadline(now)),
            () = hub.changed.notified() => {}
        }
    }
}

/// One session, from its connection to its end.
async fn serve(hub: Arc<Hub>, mut wire: Wire) {
    let (Some(split), Some(remote)) = (wire.split.take(), wire.remote()) else { return };
    let key = split.remote;
    let (answers, mut answered) = mpsc::channel(ANSWERS);
    let Some(id) = hub.act(|state, _| {
        let id = state.relay.open(key)?;
        state.sessions.insert(id, Session { key, answers, remote });
        Some(id)
    }) else {
        return;
    };
    let mut seed = [0; 32];
    if getrandom::fill(&mut seed).is_ok() {
        let channel = RelayChannel::new(wire.initiator, split, key, &mut Entropy::from_seed(seed), hub.now());
        let _ = talk(&hub, id, channel, &mut wire, &mut answered).await;
    }
    hub.act(|state, _| {
        state.sessions.remove(&id);
        state.relay.close(id);
    });
}

/// Carries a session's bytes and words until either side ends it.
async fn talk(
    hub: &Arc<Hub>,
    id: SessionId,
    mut channel: RelayChannel,
    wire: &mut Wire,
    answered: &mut mpsc::Receiver<Pair>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        while let Some(output) = channel.poll_output() {
            match output {
                ChannelOutput::Transmit(bytes) => wire.write_all(&bytes).await?,
                ChannelOutput::Pair(pair) => hub.act(|state, now| state.relay.handle_pair(now, id, &pair)),
                ChannelOutput::Unpair(unpair) => hub.act(|state, _| state.relay.handle_unpair(id, &unpair.token)),
                ChannelOutput::Closed => return Ok(()),
            }
        }
        let sleep = channel.deadline().map_or(IDLE, |at| at.since(hub.now()));
        tokio::select! {
            read = wire.read(&mut buffer) => {
                let Some(bytes) = buffer.get(..read?).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
                channel.handle_bytes(hub.now(), &Bytes::copy_from_slice(bytes)).map_err(io::Error::other)?;
            }
            answer = answered.recv() => match answer {
                Some(pair) => channel.pair(&pair),
                None => return Ok(()),
            },
            () = tokio::time::sleep(sleep) => channel.handle_deadline(hub.now()).map_err(io::Error::other)?,
        }
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn act<T>(self: &Arc<Self>, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let result = act(&mut state, self.now());
        while let Some(output) = state.relay.poll_output() {
            match output {
                Output::Join { join, sides } => {
                    let streams = self.join(&mut state, join, sides);
                    state.relay.joined(join, streams);
                }
                Output::Part(join) => drop(state.joins.remove(&join)),
                Output::Answer(session, pair) => {
                    // Who takes no answers waits in vain.
                    let _ = state.sessions.get(&session).map(|session| session.answers.try_send(pair));
                }
            }
        }
        drop(state);
        self.changed.notify_one();
        result
    }

    /// Opens both streams of a meeting and joins them; their numbers.
    fn join(self: &Arc<Self>, state: &mut State, join: JoinId, sides: [(SessionId, u32); 2]) -> Option<[u32; 2]> {
        let [one, two] = sides.map(|side| self.open(state, side));
        let (one, two) = (one?, two?);
        one.relay_to(&two).and_then(|()| two.relay_to(&one)).ok()?;
        let (ids, grip) = ([one.id().0, two.id().0], one.grip());
        state.joins.insert(join, [one, two]);
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            grip.over().await;
            hub.act(|state, _| state.relay.parted(join));
        });
        Some(ids)
    }

    fn open(&self, state: &mut State, (session, stream): (SessionId, u32)) -> Option<UdxStream> {
        let State { sessions, meters, max_bytes_per_key, .. } = state;
        let Session { key, remote: Remote { socket, address, .. }, .. } = *sessions.get(&session)?;
        let meter = meters.get_or_insert(key, || Meter::new(*max_bytes_per_key)).clone();
        let opened = self.udp.open(self.udp.unused_id(), StreamOptions::default()).ok()?;
        opened.connect(Remote { socket, address, id: stream }, None).ok()?;
        opened.meter(meter);
        Some(opened)
    }
}

const BUFFER: usize = 4096;
/// Answers that wait for one session.
const ANSWERS: usize = 128;
/// Keys whose use is remembered.
const METERS: NonZeroUsize = NonZeroUsize::new(8192).expect("not 0");
const IDLE: Duration = Duration::from_secs(3600);
