//! `corestore read`: the Corestore guide's reader.

use crate::address::Address;
use crate::failure::Failure;
use crate::filler::sha256;
use crate::follow::{News, follow, sentence};
use crate::output::{Output, preview, short};
use crate::progress::Progress;
use crate::selection::{Durable, Secret, secret};
use crate::stop::Stop;
use crate::swarm::SwarmArguments;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use corestore_peer::swarm::Swarm;
use corestore_peer::transport::{DialState, Dialer, Listener};
use corestore_peer::{
    ConnectionId, CoreKey, CoreOptions, Corestore, Download, Hypercore, ReadError, Role, StoreEvent, keys,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::sync::mpsc;

#[derive(Debug, clap::Args)]
pub(crate) struct ReadArguments {
    /// The key of the core whose first block names the others, in hex or z-base-32.
    #[arg(value_name = "KEY", value_parser = core_key, required_unless_present = "key_option")]
    key: Option<CoreKey>,
    /// The same, as an option.
    #[arg(long = "key", id = "key_option", value_name = "KEY", value_parser = core_key, conflicts_with = "key")]
    key_option: Option<CoreKey>,
    /// The store's directory; made when there is none.
    #[arg(long, value_name = "DIR")]
    storage: PathBuf,
    #[command(flatten)]
    durable: Durable,
    /// Dial a peer over TCP; may be given several times.
    #[arg(long, value_name = "[HOST:]PORT")]
    tcp: Vec<Address>,
    /// Dial a peer over WebSocket, ws://HOST:PORT; may be given several times.
    #[arg(long, value_name = "URL")]
    ws: Vec<String>,
    /// Pass the store on over TCP; port 0 is any.
    #[arg(long, value_name = "[HOST:]PORT")]
    serve: Option<Address>,
    /// Pass the store on over WebSocket; port 0 is any.
    #[arg(long, value_name = "[HOST:]PORT")]
    serve_ws: Option<Address>,
    #[command(flatten)]
    swarm: SwarmArguments,
    /// Ask for whole ranges rather than block by block.
    #[arg(long, value_enum)]
    download: Option<Downloading>,
    /// Leave with status 0 after so many blocks of the cores followed.
    #[arg(long, value_name = "N")]
    exit_after: Option<u64>,
    /// Start with this block of each core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    from_seq: u64,
    /// Print the SHA-256 of each block in place of its value.
    #[arg(long)]
    quiet_values: bool,
    /// The cores' encryption key of 32 bytes, in hex or z-base-32.
    #[arg(long, value_name = "KEY", value_parser = secret)]
    encryption_key: Option<Secret>,
    /// Leave with status 124 after so many seconds; 0 is no limit.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    timeout: u64,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Downloading {
    All,
}

struct Reader {
    store: Corestore,
    arguments: ReadArguments,
    output: Output,
    progress: Progress,
    /// Connections we dialled that finished their handshake.
    dialled: BTreeSet<ConnectionId>,
    swarm: Option<Swarm>,
}

pub(crate) async fn run(arguments: ReadArguments) -> Result<ExitCode, Failure> {
    let dials = !arguments.tcp.is_empty() || !arguments.ws.is_empty();
    let swarm = arguments.swarm.is_wanted();
    if !dials && !swarm && arguments.serve.is_none() && arguments.serve_ws.is_none() {
        let sentence = "with --no-swarm give a peer to read from (--tcp HOST:PORT or --ws URL), or a port for peers \
                        to dial (--serve PORT)";
        return Err(Failure::sentence(sentence));
    }
    let mut stop = Stop::new(arguments.timeout)?;
    let store = Corestore::open(&arguments.storage, arguments.durable.options()).await?;
    let output = Output::new(arguments.json);
    let progress = Progress::new(!arguments.json && std::io::stderr().is_terminal());
    let mut reader =
        Reader { store: store.clone(), arguments, output, progress, dialled: BTreeSet::new(), swarm: None };
    let result = tokio::select! {
        result = reader.work() => result,
        code = stop.wait() => Ok(code),
    };
    let closed = store.close().await;
    if let Some(swarm) = reader.swarm.take() {
        swarm.close().await;
    }
    let code = result?;
    closed?;
    Ok(code)
}

impl Reader {
    async fn work(&mut self) -> Result<ExitCode, Failure> {
        let mut events = self.store.events();
        let key = self.arguments.key.or(self.arguments.key_option);
        let Some(key) = key else { return Err(Failure::sentence("give the key of a core")) };
        let first = self.open(key).await?;
        let _listeners = self.serve().await?;
        let _dialers = self.dial();
        self.swarm = self.arguments.swarm.join(&self.store, first.discovery_key(), &self.arguments.storage).await?;
        let others = self.named_in(&first, &mut events).await?;
        let json: Vec<Value> = others.iter().map(|key| Value::from(key.to_string())).collect();
        let json = json!({ "event": "otherKeys", "otherKeys": json });
        self.print(&json, || format!("following {} cores named by {}", others.len(), short(&key.0)))?;
        let (news, mut incoming) = mpsc::channel(NEWS);
        let mut downloads = Vec::new();
        for key in others {
            downloads.extend(self.follow(key, &news).await?);
        }
        drop(news);
        let limit = self.arguments.exit_after.unwrap_or(u64::MAX);
        let mut seen = 0;
        while seen < limit {
            tokio::select! {
                biased;
                Some(event) = events.next_event() => self.connection_event(&event)?,
                Some(news) = incoming.recv() => {
                    seen = seen.saturating_add(u64::from(matches!(news, News::Block { .. })));
                    self.tell(news)?;
                }
                else => return Ok(ExitCode::SUCCESS),
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn open(&self, key: CoreKey) -> Result<Hypercore, Failure> {
        let secret = self.arguments.encryption_key.as_ref().map(|secret| secret.0);
        Ok(self.store.get(CoreOptions::key(key).encryption_key(secret)).await?)
    }

    async fn serve(&self) -> Result<Vec<Listener>, Failure> {
        let mut listeners = Vec::new();
        if let Some(address) = &self.arguments.serve {
            let listener = self.store.listen_tcp(address.to_string()).await?;
            let at = listener.local_addr();
            self.print(&json!({ "event": "serving", "tcp": at.port() }), || format!("TCP on {at}"))?;
            listeners.push(listener);
        }
        if let Some(address) = &self.arguments.serve_ws {
            let listener = self.store.listen_websocket(address.to_string()).await?;
            let at = listener.local_addr();
            self.print(&json!({ "event": "serving", "ws": at.port() }), || format!("WebSocket on ws://{at}"))?;
            listeners.push(listener);
        }
        Ok(listeners)
    }

    fn dial(&self) -> Vec<Dialer> {
        let tcp = self.arguments.tcp.iter().map(|address| self.store.dial_tcp(address.to_string()));
        let ws = self.arguments.ws.iter().map(|url| self.store.dial_websocket(url.clone()));
        let dialers: Vec<Dialer> = tcp.chain(ws).collect();
        if !self.output.is_json() {
            dialers.iter().for_each(complain_once);
        }
        dialers
    }

    /// The keys in a core's first block; connections are told of while waiting for it.
    async fn named_in(
        &mut self,
        core: &Hypercore,
        events: &mut corestore_peer::Subscription<StoreEvent>,
    ) -> Result<Vec<CoreKey>, Failure> {
        let mut block = std::pin::pin!(core.get(0));
        let block = loop {
            tokio::select! {
                biased;
                Some(event) = events.next_event() => self.connection_event(&event)?,
                block = &mut block => break block.map_err(sentence)?,
            }
        };
        other_keys(&block).ok_or_else(|| {
            let key = core.key();
            Failure::sentence(match self.arguments.encryption_key {
                Some(_) => format!("block 0 of core {key} names no cores: the encryption key is wrong"),
                None => format!("block 0 of core {key} names no cores: is it encrypted? then give --encryption-key"),
            })
        })
    }

    async fn follow(&self, key: CoreKey, news: &mpsc::Sender<News>) -> Result<Option<Download>, Failure> {
        let core = self.open(key).await?;
        self.progress.watch(core.clone());
        let from = self.arguments.from_seq;
        let download = self.arguments.download.map(|Downloading::All| core.download(..));
        tokio::spawn(follow(core, from, news.clone()));
        Ok(download)
    }

    fn connection_event(&mut self, event: &StoreEvent) -> Result<(), Failure> {
        match event {
            StoreEvent::Connected { connection, public_key } => {
                let known = self.store.connections();
                let ours = known.iter().any(|info| info.connection == *connection && info.role == Role::Initiator);
                if ours || self.arguments.swarm.is_wanted() {
                    self.dialled.insert(*connection);
                    let json = json!({ "event": "connection", "remotePublicKey": public_key.to_string() });
                    self.print(&json, || format!("connected to peer {}", short(&public_key.0)))?;
                }
            }
            StoreEvent::Disconnected { connection, .. } if self.dialled.remove(connection) => {
                self.print(&json!({ "event": "disconnect" }), || {
                    "connection lost; looking for a peer again".to_owned()
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    fn tell(&self, news: News) -> Result<(), Failure> {
        match news {
            News::Block { core, seq, block, fork } => self.block(core, seq, &block, fork),
            News::Truncated { core, length, fork } => {
                let json = json!({ "event": "truncate", "core": core.to_string(), "length": length, "fork": fork });
                self.print(&json, || format!("{} was cut to {length} blocks, fork {fork}", short(&core.0)))
            }
            News::Refused { core, reason } => {
                let json = json!({ "event": "verification-error", "core": core.to_string(), "message": reason });
                self.print(&json, || format!("{}: a peer's data was refused: {reason}", short(&core.0)))
            }
            News::Failed { core, seq, error } => self.failed(core, seq, error),
        }
    }

    fn block(&self, core: CoreKey, seq: u64, block: &Bytes, fork: u64) -> Result<(), Failure> {
        let core_text = core.to_string();
        let json = match (self.output.is_json(), self.arguments.quiet_values) {
            (false, _) => Value::Null,
            (true, true) => {
                json!({ "core": core_text, "seq": seq, "sha256": sha256(block), "bytes": block.len(), "fork": fork })
            }
            (true, false) => json!({ "core": core_text, "seq": seq, "value": BASE64.encode(block), "fork": fork }),
        };
        self.print(&json, || match self.arguments.quiet_values {
            true => format!("{} {seq}  {} ({} bytes)", short(&core.0), sha256(block), block.len()),
            false => format!("{} {seq}  {}", short(&core.0), preview(block)),
        })
    }

    fn failed(&self, core: CoreKey, seq: u64, error: ReadError) -> Result<(), Failure> {
        if self.output.is_json() {
            let (core, message) = (core.to_string(), error.to_string());
            let json = json!({ "event": "error", "core": core, "seq": seq, "code": null, "message": message });
            self.print(&json, String::new)?;
        }
        Err(sentence(error))
    }

    fn print(&self, json: &Value, human: impl FnOnce() -> String) -> Result<(), Failure> {
        self.progress.beside(|| self.output.print(json, human))
    }
}

/// Says on standard error why a peer cannot be reached, once per silence.
fn complain_once(dialer: &Dialer) {
    let mut state = dialer.state();
    tokio::spawn(async move {
        let mut told = false;
        while state.changed().await.is_ok() {
            match &*state.borrow_and_update() {
                DialState::Failed(error) if !told => {
                    told = true;
                    eprintln!("{error}; trying again until it answers");
                }
                DialState::Connected(_) => told = false,
                _ => {}
            }
        }
    });
}

pub(crate) fn other_keys(block: &[u8]) -> Option<Vec<CoreKey>> {
    let value: Value = serde_json::from_slice(block).ok()?;
    let keys = value.get("otherKeys")?.as_array()?;
    keys.iter().map(|key| keys::parse_core_key(key.as_str()?).ok()).collect()
}

fn core_key(text: &str) -> Result<CoreKey, keys::NotAKey> {
    keys::parse_core_key(text)
}

/// News that may wait to be printed; the cores wait when it is full.
const NEWS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lists_of_keys_name_cores() {
        let key = "ab".repeat(32);
        let named = other_keys(format!("{{\"otherKeys\":[\"{key}\"]}}").as_bytes());
        assert_eq!(named, Some(vec![CoreKey([0xab; 32])]));
        for block in ["", "{}", "{\"otherKeys\":[\"x\"]}", "{\"otherKeys\":[1]}", "[]"] {
            assert_eq!(other_keys(block.as_bytes()), None, "{block}");
        }
    }
}
