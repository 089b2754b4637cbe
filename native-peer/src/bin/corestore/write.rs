//! `corestore write`: the Corestore guide's writer.

use crate::address::Address;
use crate::batches::Batches;
use crate::failure::Failure;
use crate::filler;
use crate::follow::sentence;
use crate::input::{Input, Mode};
use crate::output::{Output, short};
use crate::selection::{Durable, Secret, secret};
use crate::stop::Stop;
use crate::swarm::SwarmArguments;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use corestore_peer::swarm::Swarm;
use corestore_peer::transport::Listener;
use corestore_peer::{CoreOptions, Corestore, Hypercore, StoreEvent};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::OnceCell;

#[derive(Debug, clap::Args)]
pub(crate) struct WriteArguments {
    /// The store's directory; made when there is none.
    #[arg(long, value_name = "DIR")]
    storage: PathBuf,
    #[command(flatten)]
    durable: Durable,
    /// Accept peers over TCP; port 0 is any.
    #[arg(long, value_name = "[HOST:]PORT")]
    tcp: Option<Address>,
    /// Accept peers over WebSocket; port 0 is any.
    #[arg(long, value_name = "[HOST:]PORT")]
    ws: Option<Address>,
    /// Prepare the store and leave.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    swarm: SwarmArguments,
    /// Append so many blocks of filler first.
    #[arg(long, value_name = "N", default_value_t = 0)]
    append: u64,
    /// Bytes of each block of filler.
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    block_size: usize,
    /// Append the blocks of a file first: JSON lines {"value": base64}.
    #[arg(long, value_name = "FILE")]
    preload_file: Option<PathBuf>,
    /// Encrypt all three cores with this key of 32 bytes, in hex or z-base-32.
    #[arg(long, value_name = "KEY", value_parser = secret)]
    encryption_key: Option<Secret>,
    /// What becomes of standard input.
    #[arg(long, value_enum, default_value_t = Mode::Line)]
    stdin: Mode,
    /// Truncate a core before serving, as in core-2:7.
    #[arg(long, value_name = "CORE:LENGTH")]
    truncate: Option<String>,
    /// Leave when standard input ends.
    #[arg(long)]
    exit_on_eof: bool,
    /// Leave with status 124 after so many seconds; 0 is no limit.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    timeout: u64,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

struct Writer {
    store: Corestore,
    cores: [Hypercore; 3],
    output: Output,
    swarm: OnceCell<Swarm>,
}

/// What one piece of input asks for.
enum Piece {
    Block(Bytes),
    Truncate(usize, u64),
}

pub(crate) async fn run(arguments: WriteArguments) -> Result<ExitCode, Failure> {
    let serves = arguments.tcp.is_some() || arguments.ws.is_some() || arguments.swarm.is_wanted();
    if !serves && !arguments.offline {
        return Err(Failure::sentence(
            "with --no-swarm give --tcp or --ws to serve peers, or --offline to prepare the store only",
        ));
    }
    if let Some(path) = &arguments.preload_file {
        // All of it is looked at before anything is appended.
        preload(path)?.try_for_each(|block| block.map(drop))?;
    }
    let truncate = arguments.truncate.as_deref().map(parse_truncate).transpose()?;
    let mut stop = Stop::new(arguments.timeout)?;
    let writer = Writer::open(&arguments).await?;
    let result = tokio::select! {
        result = writer.work(&arguments, truncate) => result,
        code = stop.wait() => Ok(code),
    };
    // Whatever happened, what was acknowledged stays; a first failure is the one to tell.
    let closed = writer.store.close().await;
    if let Some(swarm) = writer.swarm.into_inner() {
        swarm.close().await;
    }
    let code = result?;
    closed?;
    Ok(code)
}

impl Writer {
    async fn open(arguments: &WriteArguments) -> Result<Self, Failure> {
        let store = Corestore::open(&arguments.storage, arguments.durable.options()).await?;
        let key = arguments.encryption_key.as_ref().map(|secret| secret.0);
        let [one, two, three] = NAMES.map(|name| store.get(CoreOptions::name(name).encryption_key(key)));
        let cores = [one.await?, two.await?, three.await?];
        Ok(Self { store, cores, output: Output::new(arguments.json), swarm: OnceCell::new() })
    }

    async fn work(&self, arguments: &WriteArguments, truncate: Option<(usize, u64)>) -> Result<ExitCode, Failure> {
        let mut events = self.store.events();
        self.prepare(arguments, truncate).await?;
        let tcp = match arguments.tcp.as_ref().filter(|_| !arguments.offline) {
            Some(address) => Some(self.store.listen_tcp(address.to_string()).await?),
            None => None,
        };
        let ws = match arguments.ws.as_ref().filter(|_| !arguments.offline) {
            Some(address) => Some(self.store.listen_websocket(address.to_string()).await?),
            None => None,
        };
        let [one, ..] = &self.cores;
        let swarm = match arguments.offline {
            true => None,
            false => arguments.swarm.join(&self.store, one.discovery_key(), &arguments.storage).await?,
        };
        if let Some(swarm) = swarm {
            let swarm = self.swarm.get_or_init(|| async { swarm }).await;
            if arguments.swarm.is_private() {
                // Whoever is told the key finds us from then on.
                let _ = tokio::time::timeout(ANNOUNCING, swarm.flush()).await;
            }
        }
        self.introduce(tcp.as_ref(), ws.as_ref())?;
        if arguments.offline {
            return Ok(ExitCode::SUCCESS);
        }
        let mut input = Input::start(arguments.stdin);
        loop {
            tokio::select! {
                Some(event) = events.next_event() => self.tell(&event)?,
                pieces = input.next(), if !input.is_over() => {
                    self.take(pieces.unwrap_or_default(), arguments.stdin).await?;
                    if input.is_over() {
                        self.output.print(&json!({ "event": "eof" }), String::new)?;
                        if arguments.exit_on_eof {
                            return Ok(ExitCode::SUCCESS);
                        }
                    }
                }
            }
        }
    }

    /// Everything that comes before serving.
    async fn prepare(&self, arguments: &WriteArguments, truncate: Option<(usize, u64)>) -> Result<(), Failure> {
        let [one, two, three] = &self.cores;
        let others = json!({ "otherKeys": [two.key().to_string(), three.key().to_string()] });
        if one.length() == 0 {
            one.append(others.to_string()).await?;
        } else if serde_json::from_slice::<Value>(&one.get(0).await.map_err(sentence)?).ok() != Some(others) {
            let key = one.key();
            return Err(Failure::sentence(format!(
                "block 0 of core {key} does not name this store's cores: the encryption key is not the one it was \
                 written with"
            )));
        }
        let from = two.length().saturating_add(three.length());
        let mut filled = Batches::new(self.core_for(arguments.block_size).1);
        for at in from..from.saturating_add(arguments.append) {
            filled.push(Bytes::from(filler::bytes(&format!("block-{at}"), arguments.block_size))).await?;
        }
        filled.finish().await?;
        if let Some(path) = &arguments.preload_file {
            let mut batches = [two, three].map(Batches::new);
            for block in preload(path)? {
                let block = block?;
                let [short, long] = &mut batches;
                let batch = if block.len() < SHORT { short } else { long };
                batch.push(block).await?;
            }
            let [short, long] = batches;
            short.finish().await?;
            long.finish().await?;
        }
        if let Some((core, length)) = truncate {
            self.cores.get(core).unwrap_or(one).truncate(length).await?;
        }
        Ok(())
    }

    /// The first line: keys, lengths and the ports in use.
    fn introduce(&self, tcp: Option<&Listener>, ws: Option<&Listener>) -> Result<(), Failure> {
        let [one, two, three] = &self.cores;
        let port = |listener: Option<&Listener>| listener.map(|listener| listener.local_addr().port());
        let by_name = |what: fn(&Hypercore) -> u64| {
            let entry = |(name, core): (&str, &Hypercore)| (name.to_owned(), Value::from(what(core)));
            Value::Object(NAMES.into_iter().zip(&self.cores).map(entry).collect())
        };
        let json = json!({
            "key": one.key().to_string(),
            "discoveryKey": one.discovery_key().to_string(),
            "otherKeys": [two.key().to_string(), three.key().to_string()],
            "lengths": by_name(Hypercore::length),
            "forks": by_name(Hypercore::fork),
            "tcp": port(tcp),
            "ws": port(ws),
        });
        self.output.print(&json, || self.introduction(tcp, ws))
    }

    fn introduction(&self, tcp: Option<&Listener>, ws: Option<&Listener>) -> String {
        let [one, ..] = &self.cores;
        let mut text = format!("key {}\n    {}", one.key(), one.key().to_z32());
        for (name, core) in NAMES.iter().zip(&self.cores) {
            let (blocks, fork) = (core.length(), core.fork());
            text.push_str(&format!("\n{name}  {}  {blocks} blocks, fork {fork}", short(&core.key().0)));
        }
        if let Some(listener) = tcp {
            text.push_str(&format!("\nTCP on {}", listener.local_addr()));
        }
        if let Some(listener) = ws {
            text.push_str(&format!("\nWebSocket on ws://{}", listener.local_addr()));
        }
        text
    }

    fn tell(&self, event: &StoreEvent) -> Result<(), Failure> {
        let StoreEvent::Connected { public_key, .. } = event else { return Ok(()) };
        let json = json!({ "event": "connection", "remotePublicKey": public_key.to_string() });
        self.output.print(&json, || format!("peer {} connected", short(&public_key.0)))
    }

    fn core_for(&self, size: usize) -> (usize, &Hypercore) {
        let [_, two, three] = &self.cores;
        if size < SHORT { (1, two) } else { (2, three) }
    }

    /// Stores what came in, in few batches, and acknowledges every block in the order it came.
    async fn take(&self, pieces: Vec<Bytes>, mode: Mode) -> Result<(), Failure> {
        let mut blocks = Vec::new();
        for piece in pieces {
            match parse(piece, mode) {
                Piece::Block(block) => blocks.push(block),
                Piece::Truncate(core, length) => {
                    self.store(std::mem::take(&mut blocks)).await?;
                    self.truncate(core, length).await?;
                }
            }
        }
        self.store(blocks).await
    }

    async fn store(&self, blocks: Vec<Bytes>) -> Result<(), Failure> {
        let mut next = [0_u64; 3];
        let (short, long): (Vec<Bytes>, Vec<Bytes>) = blocks.iter().cloned().partition(|block| block.len() < SHORT);
        for batch in [short, long] {
            let Some(first) = batch.first() else { continue };
            let (number, core) = self.core_for(first.len());
            let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            let appended = core.append_batch(batch).await?;
            if let Some(next) = next.get_mut(number) {
                *next = appended.length.saturating_sub(count);
            }
        }
        let mut lines = String::new();
        for block in &blocks {
            let (number, core) = self.core_for(block.len());
            let Some(next) = next.get_mut(number) else { continue };
            lines.push_str(&self.acknowledgement(number, core, *next, block));
            *next = next.saturating_add(1);
        }
        self.output.raw(lines.as_bytes())
    }

    fn acknowledgement(&self, number: usize, core: &Hypercore, seq: u64, block: &Bytes) -> String {
        let name = NAMES.get(number).copied().unwrap_or_default();
        if !self.output.is_json() {
            return format!("{name} {seq}: {} bytes stored\n", block.len());
        }
        let json = json!({
            "event": "append",
            "core": name,
            "key": core.key().to_string(),
            "seq": seq,
            "bytes": block.len(),
            "sha256": filler::sha256(block),
        });
        self.output.line(&json, String::new)
    }

    async fn truncate(&self, number: usize, length: u64) -> Result<(), Failure> {
        let (Some(core), Some(name)) = (self.cores.get(number), NAMES.get(number)) else { return Ok(()) };
        core.truncate(length).await?;
        let (length, fork) = (core.length(), core.fork());
        let json = json!({ "event": "truncate", "core": name, "length": length, "fork": fork });
        self.output.print(&json, || format!("{name} cut to {length} blocks, fork {fork}"))
    }
}

/// `!truncate core-2 3` truncates; everything else is data.
fn parse(piece: Bytes, mode: Mode) -> Piece {
    let command = (mode == Mode::Line).then(|| std::str::from_utf8(&piece).ok()?.strip_prefix("!truncate ")).flatten();
    let parsed = command.and_then(|command| {
        let (name, length) = command.split_once(' ')?;
        let number = NAMES.iter().position(|known| *known == name)?;
        let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        Some((number, digits.then(|| length.parse().ok()).flatten()?))
    });
    parsed.map_or(Piece::Block(piece), |(number, length)| Piece::Truncate(number, length))
}

fn parse_truncate(text: &str) -> Result<(usize, u64), Failure> {
    let parsed = text
        .split_once(':')
        .and_then(|(name, length)| Some((NAMES.iter().position(|known| *known == name)?, length.parse().ok()?)));
    parsed.ok_or_else(|| Failure::sentence(format!("`{text}` is not a truncation; give one like core-2:7")))
}

/// The blocks of a preload file.
fn preload(path: &Path) -> Result<impl Iterator<Item = Result<Bytes, Failure>>, Failure> {
    let unreadable = |error: io::Error, path: &Path| {
        Failure::sentence(format!("cannot read the preload file {}: {error}", path.display()))
    };
    let file = File::open(path).map_err(|error| unreadable(error, path))?;
    let path = path.to_owned();
    let lines = BufReader::new(file).lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.as_ref().is_ok_and(|line| line.trim().is_empty()));
    Ok(lines.map(move |(number, line)| {
        let line = line.map_err(|error| unreadable(error, &path))?;
        preloaded(&line).ok_or_else(|| {
            let (number, path) = (number.saturating_add(1), path.display());
            Failure::sentence(format!("line {number} of {path} is not {{\"value\": base64}}; nothing was appended"))
        })
    }))
}

fn preloaded(line: &str) -> Option<Bytes> {
    let value = serde_json::from_str::<Value>(line).ok()?;
    BASE64.decode(value.get("value")?.as_str()?).ok().map(Bytes::from)
}

/// The key is told after so long, whether we are announced or not.
const ANNOUNCING: Duration = Duration::from_secs(10);
const NAMES: [&str; 3] = ["core-1", "core-2", "core-3"];
/// Blocks with fewer bytes go to core-2.
const SHORT: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_truncate_line_is_a_command() {
        let parse = |text: &'static str, mode| match parse(Bytes::from_static(text.as_bytes()), mode) {
            Piece::Block(_) => None,
            Piece::Truncate(core, length) => Some((core, length)),
        };
        assert_eq!(parse("!truncate core-2 3", Mode::Line), Some((1, 3)));
        for text in
            ["!truncate core-4 3", "!truncate core-2 3 ", "!truncate core-2 +3", "!truncate core-2 ", "truncate"]
        {
            assert_eq!(parse(text, Mode::Line), None, "{text}");
        }
        assert_eq!(parse("!truncate core-2 3", Mode::Chunk), None);
    }
}
