//! `kill -9` at random moments while a core is appended to, truncated, cleared and replicated, with stores that keep
//! what the system was given and with stores that lose all that was not synced. Nothing acknowledged is missing, every
//! store opens, and no peer ever sees two histories.
//!
//! `CORESTORE_KILLS` sets how often (24 unless given), `CORESTORE_SEED` when.
#![allow(missing_docs, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod kill_support;
mod store_support;

use bytes::Bytes;
use corestore_peer::store::FileStore;
use corestore_peer::transport::Listener;
use corestore_peer::{CoreEvent, CoreKey, CoreOptions, Corestore, GetOptions, Hypercore, Options, keys};
use kill_support::child::{self, Kind, Level, MARK};
use kill_support::model::{Change, Model, block};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use store_support::Dice;

const NAME: &str = "killed_peers_lose_nothing_and_tell_one_history";
/// Rounds on one store before it begins anew.
const LIVES: u64 = 20;
/// Blocks that readers download.
const SERVED: u64 = 4000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_peers_lose_nothing_and_tell_one_history() {
    if let Ok(role) = std::env::var(child::ROLE) {
        child::run(&role).await;
        return;
    }
    let rounds = from_environment("CORESTORE_KILLS", 24);
    let seed = from_environment("CORESTORE_SEED", 0x9e37_79b9);
    println!("CORESTORE_SEED={seed}");
    let mut dice = Dice(seed);
    let folder = tempfile::tempdir().unwrap();
    let served = Served::new().await;
    let mut sites = Vec::new();
    for (kind, level) in [
        (Kind::Writer, Level::Process),
        (Kind::Reader, Level::Process),
        (Kind::Writer, Level::Power),
        (Kind::Reader, Level::Power),
    ] {
        sites.push(Site::new(kind, level, folder.path()));
    }
    for round in 0..rounds {
        let site = &mut sites[usize::try_from(round % 4).unwrap()];
        site.round(&mut dice, &served).await;
    }
    for site in &sites {
        println!("{site}");
    }
    if rounds >= 24 {
        assert!(sites.iter().all(|site| site.acknowledged > 0), "every kill came too early");
    }
    assert!(!served.core.info().frozen);
}

/// The core that readers download.
struct Served {
    core: Hypercore,
    listener: Listener,
    _store: Corestore,
}

impl Served {
    async fn new() -> Self {
        let store = Corestore::in_memory(&Options::default()).unwrap();
        let core = store.get("served").await.unwrap();
        core.append_batch((0..SERVED).map(block)).await.unwrap();
        let listener = store.listen_tcp("127.0.0.1:0").await.unwrap();
        Self { core, listener, _store: store }
    }
}

/// A store whose owner is killed again and again.
struct Site {
    kind: Kind,
    level: Level,
    root: PathBuf,
    folder: PathBuf,
    /// Of this store.
    rounds: u64,
    key: Option<CoreKey>,
    /// What a writer acknowledged.
    model: Model,
    witness: Option<Witness>,
    /// Blocks a reader had.
    had: u64,
    kills: u64,
    /// Changes, or blocks downloaded.
    acknowledged: u64,
}

impl std::fmt::Display for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, level, kills, acknowledged) = (self.kind, self.level, self.kills, self.acknowledged);
        let what = if kind == Kind::Writer { "changes" } else { "downloaded blocks" };
        write!(
            f,
            "{kind:?} at {level:?} level: {kills} kills, {acknowledged} {what} acknowledged, 0 lost, 0 stores that fail \
             to open, 0 conflicts"
        )
    }
}

impl Site {
    fn new(kind: Kind, level: Level, root: &Path) -> Self {
        Self {
            kind,
            level,
            root: root.join(format!("{kind:?} {level:?}")),
            folder: PathBuf::new(),
            rounds: LIVES,
            key: None,
            model: Model::default(),
            witness: None,
            had: 0,
            kills: 0,
            acknowledged: 0,
        }
    }

    async fn round(&mut self, dice: &mut Dice, served: &Served) {
        if self.rounds == LIVES || self.had == SERVED {
            self.begin_anew();
        }
        self.rounds += 1;
        self.kills += 1;
        let (port, key) = (served.listener.local_addr().port(), served.core.key().to_string());
        let role = child::role(self.kind, self.level, dice.below(u64::MAX), port, &key, &self.folder);
        let (mut process, lines) = start(&role);
        let mut said = Vec::new();
        // One kill in four may come while the store opens.
        if dice.below(4) > 0 {
            let first =
                tokio::task::block_in_place(|| lines.recv_timeout(Duration::from_secs(60)).expect("no sign of life"));
            if let (Kind::Writer, Some((key, port))) = (self.kind, opened(&first)) {
                let witness = self.witness.get_or_insert(Witness::new(key).await);
                witness.store.connect_tcp(format!("127.0.0.1:{port}")).await.unwrap();
            }
            said.push(first);
        }
        tokio::time::sleep(Duration::from_micros(dice.below(80_000))).await;
        process.kill().unwrap();
        process.wait().unwrap();
        said.extend(tokio::task::block_in_place(|| lines.iter().collect::<Vec<String>>()));
        match self.kind {
            Kind::Writer => self.check_writer(&said).await,
            Kind::Reader => self.check_reader(&said, served).await,
        }
    }

    fn begin_anew(&mut self) {
        // The one before has served its purpose.
        drop(std::fs::remove_dir_all(&self.folder));
        self.folder = self.root.join(self.kills.to_string());
        std::fs::create_dir_all(&self.folder).unwrap();
        (self.rounds, self.key, self.witness, self.had) = (0, None, None, 0);
        self.model = Model::default();
    }

    async fn check_writer(&mut self, said: &[String]) {
        let (mut model, mut pending) = (self.model.clone(), None);
        for line in said {
            if let Some((key, _)) = opened(line) {
                let before = self.key.replace(key).unwrap_or(key);
                assert_eq!(before, key, "{}: another key", self.what());
            } else if let Some(change) = line.strip_prefix("try ") {
                pending = Some(Change::parse(change).unwrap());
            } else {
                model.apply(pending.take().unwrap());
                self.acknowledged += 1;
            }
        }
        if self.key.is_none() {
            return;
        }
        let mut candidates = vec![model];
        if let Some(change) = pending {
            let mut further = candidates[0].clone();
            further.apply(change);
            candidates.push(further);
        }
        let held = self.look().await;
        let found = candidates.iter().position(|candidate| holds(&held, candidate));
        let Some(found) = found else {
            let (fork, length) = (held.fork, held.blocks.len());
            let due: Vec<_> = candidates.iter().map(|model| (model.fork, model.blocks.len())).collect();
            panic!("{}: fork {fork} with {length} blocks; fork and length due: {due:?}", self.what());
        };
        self.model = candidates.swap_remove(found);
        if let Some(witness) = &mut self.witness {
            witness.check(&self.model, &format!("{:?} {:?} {}", self.kind, self.level, self.kills)).await;
        }
    }

    /// What the store holds; it opens, and everything in it is as it was signed.
    async fn look(&self) -> Held {
        let mut options = child::options(self.level);
        options.read_only = self.rounds.is_multiple_of(2);
        let files = FileStore::open(&self.folder, &options);
        let files = files.unwrap_or_else(|error| panic!("{}: {error}", self.what()));
        let store = Corestore::over_files(files, &Options::default()).unwrap();
        let core = store.get(CoreOptions::key(self.key.unwrap()).must_exist()).await;
        let core = core.unwrap_or_else(|error| panic!("{}: {error}", self.what()));
        let audit = core.audit().await.unwrap();
        assert_eq!(audit.faults_found, 0, "{}: {:?}", self.what(), audit.faults);
        let blocks = stored(&core).await;
        let held = Held { fork: core.fork(), blocks };
        assert!(!core.info().frozen, "{}: a conflict", self.what());
        store.close().await.unwrap();
        held
    }

    async fn check_reader(&mut self, said: &[String], served: &Served) {
        let mut opened_once = false;
        let mut had = 0;
        for line in said {
            opened_once |= opened(line).is_some();
            if let Some(count) = line.strip_prefix("have ") {
                had = count.parse().unwrap();
            }
        }
        self.key = self.key.or(opened_once.then(|| served.core.key()));
        if self.key.is_none() {
            return;
        }
        let held = self.look().await;
        for (index, found) in held.blocks.iter().enumerate() {
            assert!(found.as_ref().is_none_or(|found| *found == block(index as u64)), "{}: block {index}", self.what());
        }
        let has = held.blocks.iter().take_while(|found| found.is_some()).count() as u64;
        if self.level == Level::Process {
            assert!(has >= had, "{}: {has} blocks, {had} were downloaded", self.what());
        }
        self.acknowledged += has.saturating_sub(self.had);
        self.had = has;
    }

    fn what(&self) -> String {
        format!("{:?} at {:?} level, kill {}", self.kind, self.level, self.kills)
    }
}

/// What a store holds of a log.
struct Held {
    fork: u64,
    blocks: Vec<Option<Bytes>>,
}

fn holds(held: &Held, model: &Model) -> bool {
    held.fork == model.fork
        && held.blocks.len() == model.blocks.len()
        && held
            .blocks
            .iter()
            .zip(&model.blocks)
            .all(|(found, (block, stored))| found.as_ref() == stored.then_some(block))
}

async fn stored(core: &Hypercore) -> Vec<Option<Bytes>> {
    let options = GetOptions { wait: false, ..GetOptions::default() };
    let mut blocks = Vec::new();
    for index in 0..core.length() {
        blocks.push(core.get_with(index, options).await.unwrap());
    }
    blocks
}

/// A peer that outlives the writer: what it was told must stay true.
struct Witness {
    store: Corestore,
    core: Hypercore,
    _download: corestore_peer::Download,
    events: corestore_peer::Subscription<CoreEvent>,
}

impl Witness {
    async fn new(key: CoreKey) -> Self {
        let store = Corestore::in_memory(&Options::default()).unwrap();
        let core = store.get(key).await.unwrap();
        let (events, download) = (core.subscribe(), core.download(..));
        Self { store, core, _download: download, events }
    }

    /// It holds nothing the writer does not, unless of a fork before.
    async fn check(&mut self, model: &Model, what: &str) {
        for _ in 0..2000 {
            if self.store.connections().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        while let Some(event) = self.events.try_next_event() {
            let wrong = matches!(event, CoreEvent::Conflicted { .. } | CoreEvent::VerificationFailed { .. });
            assert!(!wrong, "{what}: {event:?}");
        }
        let info = self.core.info();
        assert!(!info.frozen, "{what}: a conflict");
        let told = info.fork < model.fork || (info.fork == model.fork && info.length <= model.blocks.len() as u64);
        assert!(told, "{what}: a peer has fork {} with {} blocks", info.fork, info.length);
        if info.fork == model.fork {
            for (index, (found, (block, _))) in stored(&self.core).await.iter().zip(&model.blocks).enumerate() {
                assert!(found.as_ref().is_none_or(|found| found == block), "{what}: a peer has another block {index}");
            }
        }
    }
}

/// A child and the lines it says.
fn start(role: &str) -> (Child, mpsc::Receiver<String>) {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(child::ROLE, role)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, lines) = mpsc::channel();
    let output = process.stdout.take().unwrap();
    std::thread::spawn(move || listen(output, &sender));
    (process, lines)
}

fn listen(output: ChildStdout, sender: &mpsc::Sender<String>) {
    let mut output = BufReader::new(output);
    let mut line = String::new();
    while output.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
        // The test library's own words come before on the same line.
        if let (Some((_, said)), true) = (line.split_once(MARK), line.ends_with('\n'))
            && sender.send(said.trim_end().to_owned()).is_err()
        {
            return;
        }
        line.clear();
    }
}

/// Key and port of the line that says that a peer is open.
fn opened(line: &str) -> Option<(CoreKey, u16)> {
    let (key, port) = line.strip_prefix("open ")?.split_once(' ')?;
    Some((keys::parse(key).map(CoreKey).ok()?, port.parse().ok()?))
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}
