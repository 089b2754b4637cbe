//! The protocol between a job and whoever measures it: JSON lines out, `go` and the end of input in.

use corestore_peer::Hypercore;
use serde_json::{Value, json};
use std::future::Future;
use std::io::{BufRead, Write};
use std::time::Duration;
use tokio::sync::watch;

/// Whatever ended a job early, in words.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// This process as seen by whoever started it.
pub(crate) struct Job {
    input: watch::Receiver<Input>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Input {
    Nothing,
    Go,
    End,
}

impl Job {
    /// Listens to standard input. The process ends when it runs past `BENCH_JOB_LIMIT_S` seconds.
    pub(crate) fn start() -> Self {
        let (sender, input) = watch::channel(Input::Nothing);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if line == "go" {
                    sender.send_replace(Input::Go);
                }
            }
            sender.send_replace(Input::End);
        });
        let limit = std::env::var("BENCH_JOB_LIMIT_S").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(limit));
            eprintln!("corestore-bench: the job ran past {limit} s");
            std::process::exit(1);
        });
        Self { input }
    }

    /// Says that everything is prepared, and waits for the word to begin.
    pub(crate) async fn ready(&self, data: Value) -> Result<(), Failure> {
        emit("ready", data)?;
        self.reached(Input::Go).await;
        Ok(())
    }

    /// Reports, then stays until standard input closes, so that the process can be looked at.
    pub(crate) async fn result(&self, data: Value) -> Result<(), Failure> {
        emit("result", data)?;
        self.end().await;
        Ok(())
    }

    /// Waits until standard input closes.
    pub(crate) async fn end(&self) {
        self.reached(Input::End).await;
    }

    async fn reached(&self, least: Input) {
        let mut input = self.input.clone();
        // The sender stays until the end of input.
        let _ = input.wait_for(|input| *input >= least).await;
    }
}

/// Prints one line.
pub(crate) fn emit(event: &str, data: Value) -> Result<(), Failure> {
    let mut line = json!({ "event": event });
    if let (Some(line), Value::Object(data)) = (line.as_object_mut(), data) {
        line.extend(data);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// What the core's signature covers, in hex.
pub(crate) fn tree_hash(core: &Hypercore) -> Option<String> {
    core.tree_hash().map(|hash| hash.to_string())
}

/// Does `work` for every number below `count`, `in_flight` at a time.
pub(crate) async fn each<F: Future<Output = Result<(), Failure>>>(
    count: usize,
    in_flight: usize,
    work: impl Fn(usize) -> F,
) -> Result<(), Failure> {
    let next = std::cell::Cell::new(0_usize);
    let (next, work) = (&next, &work);
    let workers = (0..in_flight.clamp(1, count.max(1))).map(|_| async move {
        while next.get() < count {
            let at = next.replace(next.get().saturating_add(1));
            work(at).await?;
        }
        Ok(())
    });
    futures_util::future::try_join_all(workers).await.map(|_: Vec<()>| ())
}
