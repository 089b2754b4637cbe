//! Proofs of a stored core, made, checked and stored elsewhere; seek, clear and truncate. The store is changed.

use crate::data::{check, sample};
use crate::job::{Failure, Job};
use clap::{Args, ValueEnum};
use corestore_peer::{CoreOptions, Corestore, Hypercore, Options, Proof, ProofRequest, RequestBlock, RequestUpgrade};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(crate) struct ProofsArguments {
    #[arg(long)]
    storage: PathBuf,
    #[arg(long)]
    op: Op,
    /// Operations.
    #[arg(long)]
    count: u64,
    /// Blocks in the core.
    #[arg(long)]
    length: u64,
    /// Bytes.
    #[arg(long)]
    block_size: usize,
    #[arg(long, default_value_t = 1)]
    seed: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Op {
    CreateBlock,
    CreateFull,
    VerifyFull,
    ApplyBlock,
    Seek,
    Clear,
    ClearRange,
    Truncate,
}

/// What was done: how long it took, how many operations, and what else is worth telling.
struct Done {
    spent: Duration,
    operations: u64,
    more: Value,
}

pub(crate) async fn run(arguments: ProofsArguments, job: Job) -> Result<(), Failure> {
    let store = Corestore::open(&arguments.storage, Options::default()).await?;
    let core = store.get("log").await?;
    if core.length() != arguments.length {
        return Err(format!("the store has {} blocks", core.length()).into());
    }
    let list = sample(arguments.length, arguments.count, arguments.seed);
    let run = Run { core, list, arguments: &arguments, job: &job };
    let Done { spent, operations, more } = match arguments.op {
        Op::CreateBlock | Op::CreateFull => run.create().await?,
        Op::VerifyFull => run.verify().await?,
        Op::ApplyBlock => run.apply().await?,
        Op::Seek => run.seek().await?,
        Op::Clear => run.clear().await?,
        Op::ClearRange => run.clear_range().await?,
        Op::Truncate => run.truncate().await?,
    };
    let mut result = json!({ "seconds": spent.as_secs_f64(), "ops": operations });
    if let (Some(result), Value::Object(more)) = (result.as_object_mut(), more) {
        result.extend(more);
    }
    job.result(result).await
}

struct Run<'a> {
    core: Hypercore,
    list: Vec<u64>,
    arguments: &'a ProofsArguments,
    job: &'a Job,
}

impl Run<'_> {
    async fn create(&self) -> Result<Done, Failure> {
        let start = self.start().await?;
        let mut nodes = 0_usize;
        for index in &self.list {
            let request = match self.arguments.op {
                Op::CreateFull => self.full(*index),
                _ => block_request(*index, 3),
            };
            let proof = self.core.proof(request).await?;
            let block = proof.block.ok_or("the proof has no block")?;
            nodes = nodes.saturating_add(block.nodes.len());
            check(&block.value, *index, self.arguments.block_size)?;
        }
        Ok(self.each_done(start.elapsed(), json!({ "nodes": nodes })))
    }

    async fn verify(&self) -> Result<Done, Failure> {
        let clone = self.clone_core().await?;
        let mut proofs: Vec<Proof> = Vec::new();
        for index in &self.list {
            proofs.push(self.core.proof(self.full(*index)).await?);
        }
        let start = self.start().await?;
        for proof in &proofs {
            let length = clone.verify_proof(proof).await?;
            if length != self.arguments.length {
                return Err(format!("the proof proves {length} blocks").into());
            }
        }
        Ok(self.each_done(start.elapsed(), json!({ "signatures": proofs.len() })))
    }

    async fn apply(&self) -> Result<Done, Failure> {
        let clone = self.clone_core().await?;
        let upgrade = RequestUpgrade { start: 0, length: self.arguments.length };
        let request = ProofRequest { upgrade: Some(upgrade), ..ProofRequest::default() };
        clone.apply_proof(&self.core.proof(request).await?).await?;
        self.start().await?;
        let (mut spent, mut paused, mut worked) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        for index in &self.list {
            let making = Instant::now();
            let proof = self.core.proof(block_request(*index, clone.missing_nodes(*index))).await?;
            paused += making.elapsed();
            let (storing, working) = (Instant::now(), processor_time());
            clone.apply_proof(&proof).await?;
            spent += storing.elapsed();
            worked += processor_time().saturating_sub(working);
        }
        for index in &self.list {
            check(&clone.get(*index).await?, *index, self.arguments.block_size)?;
        }
        Ok(self.each_done(spent, json!({ "paused_s": paused.as_secs_f64(), "cpu_s": worked.as_secs_f64() })))
    }

    async fn seek(&self) -> Result<Done, Failure> {
        let size = u64::try_from(self.arguments.block_size)?;
        let start = self.start().await?;
        for index in &self.list {
            let found = self.core.seek(index.saturating_mul(size).saturating_add(7)).await?;
            if found != Some((*index, 7)) {
                return Err(format!("the seek for block {index} went to {found:?}").into());
            }
        }
        Ok(self.each_done(start.elapsed(), json!({})))
    }

    async fn clear(&self) -> Result<Done, Failure> {
        let start = self.start().await?;
        for index in &self.list {
            self.core.clear(*index..index.saturating_add(1)).await?;
        }
        let spent = start.elapsed();
        match self.list.iter().find(|index| self.core.has(**index)) {
            Some(index) => Err(format!("block {index} was not cleared").into()),
            None => Ok(self.each_done(spent, json!({}))),
        }
    }

    async fn clear_range(&self) -> Result<Done, Failure> {
        let start = self.start().await?;
        let end = FIRST_CLEARED.saturating_add(self.arguments.count);
        self.core.clear(FIRST_CLEARED..end).await?;
        let spent = start.elapsed();
        let around = self.core.has(FIRST_CLEARED.saturating_sub(1)) && self.core.has(end);
        if self.core.count(FIRST_CLEARED..end) > 0 || !around {
            return Err("the wrong blocks were cleared".into());
        }
        Ok(Done { spent, operations: self.arguments.count, more: json!({}) })
    }

    async fn truncate(&self) -> Result<Done, Failure> {
        let start = self.start().await?;
        for cut in 1..=self.arguments.count {
            self.core.truncate(self.arguments.length.saturating_sub(cut)).await?;
        }
        let spent = start.elapsed();
        if self.core.length() != self.arguments.length.saturating_sub(self.arguments.count) {
            return Err(format!("the core has {} blocks after truncating", self.core.length()).into());
        }
        Ok(self.each_done(spent, json!({})))
    }

    async fn start(&self) -> Result<Instant, Failure> {
        self.job.ready(json!({})).await?;
        Ok(Instant::now())
    }

    fn each_done(&self, spent: Duration, more: Value) -> Done {
        Done { spent, operations: u64::try_from(self.list.len()).unwrap_or(0), more }
    }

    fn full(&self, index: u64) -> ProofRequest {
        let upgrade = RequestUpgrade { start: 0, length: self.arguments.length };
        ProofRequest { upgrade: Some(upgrade), ..block_request(index, 0) }
    }

    /// The same core, empty, in a store of its own.
    async fn clone_core(&self) -> Result<Hypercore, Failure> {
        let mut storage = self.arguments.storage.clone().into_os_string();
        storage.push("-reader");
        let store = Corestore::open(storage, Options::default()).await?;
        let manifest = self.core.manifest().ok_or("the core has no manifest")?;
        Ok(store.get(CoreOptions::manifest(manifest, None)).await?)
    }
}

/// What all threads of this process worked so far.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn block_request(index: u64, nodes: u64) -> ProofRequest {
    ProofRequest { block: Some(RequestBlock { index, nodes }), ..ProofRequest::default() }
}

/// Where the cleared range begins.
const FIRST_CLEARED: u64 = 1000;
