//! `corestore lookup` and `corestore ping`: what a network knows of a core, and who answers.

use crate::address::Address;
use crate::failure::Failure;
use crate::output::{Output, short};
use crate::stop::Stop;
use crate::swarm::{member_options, socket_failure};
use corestore_core::crypto::{Hash, KeyPair, PublicKey, discovery_key};
use corestore_core::dht::PeerRecord;
use corestore_peer::swarm::hyperdht::{ConnectSettings, Event, Outcome};
use corestore_peer::swarm::member::Member;
use corestore_peer::{CoreKey, keys};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

#[derive(Debug, clap::Args)]
pub(crate) struct KnownArguments {
    /// The core's key, in hex or z-base-32.
    #[arg(value_name = "KEY", value_parser = core_key)]
    key: CoreKey,
    /// Nodes of the network to ask, in place of the public one.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    bootstrap: Vec<Address>,
    /// Leave with status 124 after so many seconds; 0 is no limit.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What a network knows of a core.
struct Known {
    member: Member,
    seed: [u8; 32],
    peers: BTreeMap<PublicKey, PeerRecord>,
    /// Nodes that answered.
    nodes: usize,
}

/// `corestore lookup`; status 1 when nobody is named.
pub(crate) async fn lookup(arguments: KnownArguments) -> Result<ExitCode, Failure> {
    let mut stop = Stop::new(arguments.timeout)?;
    let told = async {
        let known = Known::look_up(&arguments).await?;
        let output = Output::new(arguments.json);
        for (key, peer) in &known.peers {
            let relays: Vec<String> = peer.relay_addresses.iter().map(ToString::to_string).collect();
            let json = json!({ "publicKey": key.to_string(), "relayAddresses": relays });
            output.print(&json, || format!("peer {key}, reached through {}", relays.join(", ")))?;
        }
        known.summary(output)
    };
    tokio::select! {
        code = told => code,
        code = stop.wait() => Ok(code),
    }
}

/// `corestore ping`; status 1 when nobody answers.
pub(crate) async fn ping(arguments: KnownArguments) -> Result<ExitCode, Failure> {
    let mut stop = Stop::new(arguments.timeout)?;
    let told = async {
        let known = Known::look_up(&arguments).await?;
        let output = Output::new(arguments.json);
        let mut answered = false;
        for (key, peer) in &known.peers {
            answered |= known.connect(output, *key, peer).await?;
        }
        let code = known.summary(output)?;
        Ok(if answered { code } else { ExitCode::FAILURE })
    };
    tokio::select! {
        code = told => code,
        code = stop.wait() => Ok(code),
    }
}

impl Known {
    async fn look_up(arguments: &KnownArguments) -> Result<Self, Failure> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| Failure::sentence(format!("no random bytes: {error}")))?;
        let member = Member::start(member_options(&arguments.bootstrap, false).await?, seed).map_err(socket_failure)?;
        member.bootstrapped().await;
        let target = Hash(discovery_key(&arguments.key).0);
        let mut known = Self { member, seed, peers: BTreeMap::new(), nodes: 0 };
        let mut events = known.member.operate(|dht, now| dht.lookup(now, target));
        while let Some(event) = events.recv().await {
            match event {
                Event::Peers { peers, .. } => {
                    known.peers.extend(peers.into_iter().map(|peer| (peer.public_key, peer)));
                }
                Event::Done { outcome: Outcome::LookedUp { nodes }, .. } => known.nodes = nodes,
                _ => {}
            }
        }
        Ok(known)
    }

    /// Connects once; true when the peer answered.
    async fn connect(&self, output: Output, key: PublicKey, peer: &PeerRecord) -> Result<bool, Failure> {
        let relay_addresses = peer.relay_addresses.clone();
        let settings = ConnectSettings { relay_addresses, ..ConnectSettings::default() };
        let since = Instant::now();
        let elapsed = || u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let name = short(&key.0);
        let mut events = self.member.events();
        let connecting = self.member.start_connect(&KeyPair::from_seed(&self.seed), key, settings);
        let (ours, mut reached) = (connecting.connection(), None);
        let done = connecting.done();
        tokio::pin!(done);
        let made = loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => if let Event::Progress { connection, progress } = event
                    && connection == ours
                    && reached.replace(progress) != Some(progress)
                {
                    let (stage, ms) = (progress.to_string(), elapsed());
                    let json = json!({ "publicKey": key.to_string(), "stage": stage, "ms": ms });
                    output.print(&json, || format!("peer {name}: {stage} ({ms} ms)"))?;
                },
                made = &mut done => break made,
            }
        };
        let ms = elapsed();
        match &made {
            Ok(wire) => {
                let (path, at) = (wire.path.to_string(), wire.remote_address.to_string());
                let json = json!({ "publicKey": key.to_string(), "path": path, "address": at, "ms": ms });
                output.print(&json, || format!("peer {name} answered from {at} in {ms} ms ({path})"))?;
            }
            Err(error) => {
                let stage = reached.map(|progress| progress.to_string()).unwrap_or_default();
                let json =
                    json!({ "publicKey": key.to_string(), "error": error.to_string(), "while": stage, "ms": ms });
                output.print(&json, || format!("peer {name} was not reached, while {stage}: {error}"))?;
            }
        }
        Ok(made.is_ok())
    }

    fn summary(&self, output: Output) -> Result<ExitCode, Failure> {
        let (peers, nodes) = (self.peers.len(), self.nodes);
        let (dht, node) = self.member.act(|dht, _| (dht.stats(), dht.node().stats()));
        let ways = json!({
            "direct": dht.direct,
            "local": dht.local,
            "holePunched": dht.hole_punched,
            "relayed": dht.relayed,
            "failed": dht.failed,
        });
        let asked = json!({ "requests": node.requests, "responses": node.responses, "timeouts": node.timeouts });
        let json: Value = json!({ "event": "done", "peers": peers, "nodes": nodes, "ways": ways, "asked": asked });
        output.print(&json, || match (peers, nodes) {
            (_, 0) => "no node of the network answered; check --bootstrap and the connection".to_owned(),
            (0, _) => format!("{nodes} nodes answered, and none knows of anybody; is the writer online?"),
            _ => format!(
                "{peers} peers, named by {nodes} nodes; {} of {} requests were answered",
                node.responses, node.requests
            ),
        })?;
        Ok(if peers == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn core_key(text: &str) -> Result<CoreKey, keys::NotAKey> {
    keys::parse_core_key(text)
}
