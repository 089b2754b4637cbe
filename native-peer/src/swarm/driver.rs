//! The driver of a swarm: the [`Hyperswarm`] machine over a [`Member`] of HyperDHT. It holds no protocol.

use super::dht_rpc;
use super::hyperdht::{self, ConnectError, ConnectSettings, Event, NodeEvent, ServerId, ServerSettings};
use super::hyperswarm::{Admission, Config, Hyperswarm, JoinOptions, LinkId, Output, Status};
use super::member::{Member, MemberListener, MemberOptions};
use super::multicast_dns::{Heard, MulticastDns};
use super::udx_stream::Grip;
use super::wire::Wire;
use crate::corestore::Corestore;
use corestore_core::crypto::{DiscoveryKey, Hash, KeyPair, PublicKey, blake2b};
use corestore_core::dht::PeerRecord;
use corestore_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Whom the user lets in.
pub type AdmitPeer = Arc<dyn Fn(&PublicKey) -> bool + Send + Sync>;

/// How a swarm starts.
#[derive(Clone, Default)]
pub struct SwarmOptions {
    /// The member of HyperDHT below.
    pub member: MemberOptions,
    /// Limits.
    pub config: Config,
    /// Seed (32 bytes, a secret) of the key pair others see; random when not given.
    pub identity: Option<[u8; 32]>,
    /// The key of a blind relay, for peers that no hole leads to, and while our NAT shows every one another port.
    pub relay_through: Option<PublicKey>,
    /// Whom to let in, beside bans; everybody when not given.
    pub admit: Option<AdmitPeer>,
    /// Find peers on the local network too, by multicast DNS and without the DHT. It hears our public key, and how many
    /// topics we serve; which ones, only those who know them can tell.
    pub local_network: bool,
}

impl std::fmt::Debug for SwarmOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SwarmOptions").field("member", &self.member).finish_non_exhaustive()
    }
}

/// A swarm: finds peers by topic and connects to them. Clones share it; with the last one it ends.
#[derive(Clone, Debug)]
pub struct Swarm {
    member: Member,
    public_key: PublicKey,
    commands: mpsc::UnboundedSender<Command>,
}

/// The connections of a swarm, as they come about.
#[derive(Debug)]
pub struct Connections(mpsc::Receiver<SwarmConnection>);

/// A connection to a peer. Dropping the wire ends it.
#[derive(Debug)]
pub struct SwarmConnection {
    /// The bytes, not sealed yet: [`Corestore::replicate_wire`] takes it.
    pub wire: Wire,
    /// The peer.
    pub public_key: PublicKey,
    /// Topics under which it was found; none when it called us.
    pub topics: Vec<Hash>,
}

enum Command {
    Join(Hash, JoinOptions),
    Leave(Hash),
    JoinPeer(PublicKey),
    LeavePeer(PublicKey),
    Ban(PublicKey, bool),
    Suspend,
    Resume,
    Found(Hash, Vec<PeerRecord>),
    Refreshed(Hash),
    Heard(Heard),
    Made(LinkId, Result<Wire, ConnectError>),
    Closed(LinkId),
    Unannounced,
    Status(oneshot::Sender<Status>),
    Flush(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// Counters since the start, and figures of this moment, of every layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwarmStats {
    /// Topics, peers, connections.
    pub swarm: Status,
    /// Connections, stage by stage.
    pub dht: hyperdht::Stats,
    /// Requests and queries.
    pub node: dht_rpc::Stats,
    /// Events that somebody did not take in time.
    pub dropped_events: u64,
}

impl Swarm {
    /// Starts a swarm, inside a tokio runtime.
    ///
    /// # Errors
    /// What the system says to its sockets, or when it gives no random bytes.
    pub fn start(mut options: SwarmOptions) -> io::Result<(Self, Connections)> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
        let derived = |what: &[u8]| blake2b(&[what, &seed]).0;
        let key_pair = KeyPair::from_seed(&options.identity.unwrap_or_else(|| derived(b"identity")));
        let public_key = key_pair.public_key();
        let member = Member::start(options.member, derived(b"member"))?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let (made, connections) = mpsc::channel(BACKLOG);
        let local_network = match options.local_network {
            true => {
                let hearing = commands.downgrade();
                let hear = move |heard| tell(&hearing, Command::Heard(heard));
                Some(MulticastDns::start(public_key, member.port(), hear)?)
            }
            false => None,
        };
        options.config.nearby |= options.local_network;
        let driver = Driver {
            machine: Hyperswarm::new(options.config, public_key, derived(b"swarm")),
            member: member.clone(),
            key_pair,
            relay_through: options.relay_through,
            admit: options.admit.unwrap_or_else(|| Arc::new(|_| true)),
            banned: Arc::default(),
            commands: commands.downgrade(),
            local_network,
            made,
            epoch: std::time::Instant::now(),
            listener: None,
            links: BTreeMap::new(),
            queries: BTreeMap::new(),
            flushing: Vec::new(),
            unannouncing: 0,
            closing: Vec::new(),
        };
        tokio::spawn(driver.run(receiver));
        Ok((Self { member, public_key, commands }, Connections(connections)))
    }

    /// The key others see.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// The member of HyperDHT below.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Joins a core's topic, or joins it in another way.
    pub fn join(&self, core: DiscoveryKey, options: JoinOptions) {
        self.tell(Command::Join(Hash(core.0), options));
    }

    /// Leaves a core's topic; connections stay.
    pub fn leave(&self, core: DiscoveryKey) {
        self.tell(Command::Leave(Hash(core.0)));
    }

    /// Keeps a connection to this peer.
    pub fn join_peer(&self, key: PublicKey) {
        self.tell(Command::JoinPeer(key));
    }

    /// Ends what [`Self::join_peer`] began; a connection stays.
    pub fn leave_peer(&self, key: PublicKey) {
        self.tell(Command::LeavePeer(key));
    }

    /// Has nothing to do with this peer, or has again.
    pub fn ban(&self, key: PublicKey, banned: bool) {
        self.tell(Command::Ban(key, banned));
    }

    /// Ends every connection and is silent until [`Self::resume`].
    pub fn suspend(&self) {
        self.tell(Command::Suspend);
    }

    /// Goes on.
    pub fn resume(&self) {
        self.tell(Command::Resume);
    }

    /// Figures of this moment.
    pub async fn status(&self) -> Status {
        self.ask(Command::Status).await.unwrap_or_default()
    }

    /// Counters and figures of every layer.
    pub async fn stats(&self) -> SwarmStats {
        let swarm = self.status().await;
        let (dht, node) = self.member.act(|dht, _| (dht.stats(), dht.node().stats()));
        SwarmStats { swarm, dht, node, dropped_events: self.member.dropped_events() }
    }

    /// Waits until every topic was looked up and every peer found was tried.
    pub async fn flush(&self) {
        self.ask(Command::Flush).await;
    }

    /// Takes every announcement back and ends every connection, in 2 s at most.
    pub async fn close(self) {
        let _ = tokio::time::timeout(PARTING, self.ask(Command::Close)).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        self.tell(command(sender));
        answer.await.ok()
    }

    /// The driver outlives every handle.
    fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}

impl Connections {
    /// The next connection; `None` when the swarm ended.
    pub async fn next(&mut self) -> Option<SwarmConnection> {
        self.0.recv().await
    }

    /// Replicates `store` over every connection from now on.
    pub fn replicate(mut self, store: Corestore) -> JoinHandle<()> {
        tokio::spawn(async move {
            while let Some(connection) = self.next().await {
                if store.replicate_wire(connection.wire).is_err() {
                    return;
                }
            }
        })
    }
}

struct Driver {
    machine: Hyperswarm,
    member: Member,
    key_pair: KeyPair,
    relay_through: Option<PublicKey>,
    admit: AdmitPeer,
    banned: Arc<Mutex<BTreeSet<PublicKey>>>,
    commands: mpsc::WeakUnboundedSender<Command>,
    local_network: Option<MulticastDns>,
    made: mpsc::Sender<SwarmConnection>,
    epoch: std::time::Instant,
    listener: Option<(MemberListener, watch::Receiver<bool>)>,
    /// What ends a connection, or the trying.
    links: BTreeMap<LinkId, Hold>,
    queries: BTreeMap<Hash, JoinHandle<()>>,
    flushing: Vec<oneshot::Sender<()>>,
    unannouncing: usize,
    closing: Vec<oneshot::Sender<()>>,
}

enum Hold {
    Trying(JoinHandle<()>),
    Open(Grip),
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.queries.values().for_each(JoinHandle::abort);
        std::mem::take(&mut self.links).into_values().for_each(Hold::end);
    }
}

impl Hold {
    fn end(self) {
        match self {
            Self::Trying(task) => task.abort(),
            Self::Open(grip) => grip.destroy(),
        }
    }
}

impl Driver {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut events = self.member.events();
        if self.local_network.is_none() {
            self.member.bootstrapped().await;
        }
        loop {
            self.carry_out();
            let idle = self.machine.deadline().map_or(IDLE, |at| at.since(self.now()));
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                Some(event) = events.recv() => self.hear(&event),
                wire = accept(&mut self.listener) => match wire {
                    Some(wire) => self.called(wire),
                    None => self.listener = None,
                },
                () = tokio::time::sleep(idle) => self.machine.handle_deadline(self.now()),
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Another network, or one that answers again: whoever was not found before may be found now.
    fn hear(&mut self, event: &Event) {
        if matches!(event, Event::Node(NodeEvent::NetworkChanged | NodeEvent::Online(true))) {
            self.machine.refresh_all();
        }
    }

    fn obey(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Join(topic, options) => self.machine.join(topic, options),
            Command::Leave(topic) => {
                self.queries.remove(&topic).into_iter().for_each(|query| query.abort());
                self.machine.leave(topic);
            }
            Command::JoinPeer(key) => self.machine.join_peer(key),
            Command::LeavePeer(key) => self.machine.leave_peer(&key),
            Command::Ban(key, banned) => {
                let mut keys = self.banned.lock().unwrap_or_else(PoisonError::into_inner);
                match banned {
                    true => keys.insert(key),
                    false => keys.remove(&key),
                };
                drop(keys);
                self.machine.ban(key, banned);
            }
            Command::Suspend => {
                self.machine.suspend();
                self.carry_out();
                self.member.act(|dht, now| dht.suspend(now));
            }
            Command::Resume => {
                self.member.act(|dht, now| dht.resume(now));
                self.machine.resume();
            }
            Command::Found(topic, peers) => self.machine.found(topic, peers),
            Command::Heard(Heard::Found(nearby)) => self.machine.found_nearby(now, nearby),
            Command::Heard(Heard::Lost(key)) => self.machine.lost_nearby(&key),
            Command::Refreshed(topic) => self.machine.refreshed(now, topic),
            Command::Made(link, Ok(wire)) => self.connected(link, wire),
            Command::Made(link, Err(error)) if self.relay_through.is_some() && error.wants_relay() => {
                self.links.remove(&link);
                self.machine.unpunchable(now, link);
            }
            Command::Made(link, Err(_)) | Command::Closed(link) => {
                self.links.remove(&link);
                self.machine.closed(now, link);
            }
            Command::Unannounced => self.unannouncing = self.unannouncing.saturating_sub(1),
            Command::Status(answer) => drop(answer.send(self.machine.status())),
            Command::Flush(answer) => self.flushing.push(answer),
            Command::Close(answer) => {
                self.queries.values().for_each(JoinHandle::abort);
                self.machine.suspend();
                self.closing.push(answer);
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Lookup(topic) => self.query(topic, false),
                Output::Announce(topic) => self.query(topic, true),
                Output::Unannounce(topic) => self.unannounce(topic),
                Output::TellNearby(tags) => self.local_network.iter_mut().for_each(|network| network.tell(&tags)),
                Output::Connect { link, peer, relay_addresses, relay } => {
                    let randomized = || self.member.act(|dht, _| dht.node().is_randomized());
                    let relay_through = self.relay_through.filter(|_| relay || randomized());
                    self.connect(link, peer, ConnectSettings { relay_addresses, relay_through, ..Default::default() });
                }
                Output::Close(link) => self.links.remove(&link).into_iter().for_each(Hold::end),
            }
        }
        if self.machine.status().settled {
            for waiting in self.flushing.drain(..) {
                let _ = waiting.send(());
            }
        }
        if self.unannouncing == 0 {
            for waiting in self.closing.drain(..) {
                let _ = waiting.send(());
            }
        }
    }

    fn query(&mut self, topic: Hash, announce: bool) {
        let listening = announce.then(|| self.listen()).flatten();
        let (member, commands, key_pair) = (self.member.clone(), self.commands.clone(), self.key_pair.clone());
        let task = tokio::spawn(async move {
            member.bootstrapped().await;
            let mut relay_addresses = Vec::new();
            if let Some((server, mut announced)) = listening {
                let _ = tokio::time::timeout(ANNOUNCING, announced.wait_for(|announced| *announced)).await;
                relay_addresses = member.act(|dht, _| dht.relay_addresses(server).to_vec());
            }
            let mut events = member.operate(|dht, now| match announce {
                true => dht.announce(now, topic, &key_pair, relay_addresses, true, 0),
                false => dht.lookup(now, topic),
            });
            while let Some(Event::Peers { peers, .. }) = events.recv().await {
                tell(&commands, Command::Found(topic, peers));
            }
            tell(&commands, Command::Refreshed(topic));
        });
        self.queries.insert(topic, task).into_iter().for_each(|earlier| earlier.abort());
    }

    /// Listens, unless we do; gives the server and whether others find it.
    fn listen(&mut self) -> Option<(ServerId, watch::Receiver<bool>)> {
        if self.listener.is_none() {
            let events = self.member.events();
            let (admit, banned) = (Arc::clone(&self.admit), Arc::clone(&self.banned));
            let lets_in = move |key: &PublicKey| {
                !banned.lock().unwrap_or_else(PoisonError::into_inner).contains(key) && admit(key)
            };
            let settings = ServerSettings {
                admit: Box::new(move |key, _, _| lets_in(key)),
                relay_through: self.relay_through,
                relay_only_if_random: true,
                ..Default::default()
            };
            let listener = self.member.listen(&self.key_pair, settings)?;
            let (sender, announced) = watch::channel(false);
            tokio::spawn(watch_announcing(events, listener.id(), sender));
            self.listener = Some((listener, announced));
        }
        self.listener.as_ref().map(|(listener, announced)| (listener.id(), announced.clone()))
    }

    fn unannounce(&mut self, topic: Hash) {
        let (member, commands, key_pair) = (self.member.clone(), self.commands.clone(), self.key_pair.clone());
        self.unannouncing = self.unannouncing.saturating_add(1);
        tokio::spawn(async move {
            let taken = member.outcome(|dht, now| dht.unannounce(now, topic, &key_pair));
            let _ = tokio::time::timeout(ANNOUNCING, taken).await;
            tell(&commands, Command::Unannounced);
        });
    }

    fn connect(&mut self, link: LinkId, peer: PublicKey, settings: ConnectSettings) {
        if !(self.admit)(&peer) {
            self.machine.ban(peer, true);
            return;
        }
        let connecting = self.member.start_connect(&self.key_pair, peer, settings);
        let commands = self.commands.clone();
        let task = tokio::spawn(async move {
            let made = connecting.done().await;
            tell(&commands, Command::Made(link, made));
        });
        self.links.insert(link, Hold::Trying(task));
    }

    fn connected(&mut self, link: LinkId, wire: Wire) {
        // A wire that is not wanted any more is dropped, and with it the connection ends.
        if self.machine.connected(self.now(), link) {
            self.hand_out(link, wire);
        }
    }

    fn called(&mut self, wire: Wire) {
        let Some(key) = wire.split.as_ref().map(|split| split.remote) else { return };
        let (now, links) = (self.now(), &self.links);
        let spoke = |link| matches!(links.get(&link), Some(Hold::Open(grip)) if grip.spoke());
        if let Admission::Admitted(link) = self.machine.called(now, key, spoke) {
            self.carry_out();
            self.hand_out(link, wire);
        }
    }

    fn hand_out(&mut self, link: LinkId, mut wire: Wire) {
        let Some(public_key) = wire.split.as_ref().map(|split| split.remote) else { return };
        self.links.insert(link, Hold::Open(wire.stream().grip()));
        let commands = self.commands.clone();
        wire.on_drop(move || tell(&commands, Command::Closed(link)));
        let topics = self.machine.topics_of(&public_key);
        // When nobody takes them, further connections are dropped.
        let _ = self.made.try_send(SwarmConnection { wire, public_key, topics });
    }
}

/// After the last handle nobody is left to tell.
fn tell(commands: &mpsc::WeakUnboundedSender<Command>, command: Command) {
    if let Some(commands) = commands.upgrade() {
        let _ = commands.send(command);
    }
}

async fn accept(listener: &mut Option<(MemberListener, watch::Receiver<bool>)>) -> Option<Wire> {
    match listener {
        Some((listener, _)) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn watch_announcing(mut events: mpsc::Receiver<Event>, ours: ServerId, sender: watch::Sender<bool>) {
    while let Some(event) = events.recv().await {
        if matches!(event, Event::Announced { server, .. } if server == ours) {
            sender.send_replace(true);
            return;
        }
    }
}

/// Connections that wait to be taken.
const BACKLOG: usize = 128;
/// How long an announcement may take.
const ANNOUNCING: Duration = Duration::from_secs(10);
const PARTING: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(3600);
