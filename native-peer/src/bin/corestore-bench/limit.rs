//! What this machine can do at all, with the libraries this crate links: hashes, signatures, seals, files, sockets.

use crate::job::{Failure, Job};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use corestore_core::crypto::{KeyPair, blake2b, leaf_hashes, verify_signature};
use corestore_core::stream::Seal;
use serde_json::json;
use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(crate) struct LimitArguments {
    #[arg(long)]
    limit: Limit,
    /// Bytes of one operation.
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// How long to go on.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// A folder for files.
    #[arg(long)]
    storage: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Limit {
    /// BLAKE2b-256, one message after the other.
    Hash,
    /// BLAKE2b-256, many messages at once.
    HashMany,
    /// Ed25519.
    Sign,
    /// Ed25519.
    Verify,
    /// The stream's cipher.
    Seal,
    /// The stream's cipher, the other way.
    Unseal,
    /// A copy in memory.
    Memory,
    /// Sequential writes nobody waits for.
    Write,
    /// Reads at random places of a file in the page cache.
    Read,
    /// Sequential writes, `fsync` after each.
    Fsync,
    /// Sequential writes, `fdatasync` after each.
    Fdatasync,
    /// Loopback TCP, from another thread.
    Tcp,
    /// One small message to another thread and back over TCP.
    Pingpong,
}

pub(crate) async fn run(arguments: LimitArguments, job: Job) -> Result<(), Failure> {
    job.ready(json!({})).await?;
    let size = arguments.size;
    let mut meter = Meter { enough: Duration::from_secs_f64(arguments.seconds), each: Vec::new() };
    let (operations, spent) = match arguments.limit {
        Limit::Hash => hash(&meter, size),
        Limit::HashMany => hash_many(&meter, size),
        Limit::Sign => sign(&meter),
        Limit::Verify => verify(&meter),
        Limit::Seal => seal(&meter, size),
        Limit::Unseal => unseal(&meter, size),
        Limit::Memory => memory(&meter, size),
        Limit::Read => read(&meter, &arguments)?,
        Limit::Write => write(&mut meter, &arguments, |_| Ok(()))?,
        Limit::Fsync => write(&mut meter, &arguments, File::sync_all)?,
        Limit::Fdatasync => write(&mut meter, &arguments, File::sync_data)?,
        Limit::Tcp => tcp(&meter, size)?,
        Limit::Pingpong => pingpong(&meter, size)?,
    };
    let sized = !matches!(arguments.limit, Limit::Sign | Limit::Verify | Limit::Pingpong);
    let bytes = if sized { operations.saturating_mul(u64::try_from(size)?) } else { 0 };
    meter.each.sort_unstable();
    let result = json!({
        "seconds": spent.as_secs_f64(), "ops": operations, "bytes": bytes,
        "p50_ms": meter.at(50), "p99_ms": meter.at(99),
    });
    job.result(result).await
}

/// Repeats something long enough.
struct Meter {
    enough: Duration,
    each: Vec<Duration>,
}

impl Meter {
    /// Repeats `round`, which does `count` operations; how many there were and how long it took.
    fn repeat(&self, count: usize, mut round: impl FnMut()) -> (u64, Duration) {
        round();
        let count = u64::try_from(count).unwrap_or(0);
        let (start, mut operations) = (Instant::now(), 0_u64);
        while start.elapsed() < self.enough {
            round();
            operations = operations.saturating_add(count);
        }
        (operations, start.elapsed())
    }

    fn at(&self, percent: usize) -> Option<f64> {
        let place = self.each.len().saturating_mul(percent) / 100;
        self.each.get(place).map(|time| time.as_secs_f64() * 1000.0)
    }
}

/// Bytes that do not compress, from memory rather than the cache.
fn filler(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(size).collect()
}

fn blocks(size: usize) -> Vec<Bytes> {
    let all = Bytes::from(filler(SPREAD.max(size)));
    let starts = (0..=all.len().saturating_sub(size)).step_by(size.max(1));
    starts.map(|start| all.slice(start..start.saturating_add(size))).collect()
}

fn hash(meter: &Meter, size: usize) -> (u64, Duration) {
    let blocks = blocks(size);
    meter.repeat(blocks.len(), || {
        blocks.iter().for_each(|block| {
            black_box(blake2b(&[block]));
        });
    })
}

fn hash_many(meter: &Meter, size: usize) -> (u64, Duration) {
    let blocks = blocks(size);
    meter.repeat(blocks.len(), || drop(black_box(leaf_hashes(&blocks))))
}

fn sign(meter: &Meter) -> (u64, Duration) {
    let pair = KeyPair::from_seed(&[7; 32]);
    meter.repeat(1, || {
        black_box(pair.sign(&SIGNABLE));
    })
}

fn verify(meter: &Meter) -> (u64, Duration) {
    let pair = KeyPair::from_seed(&[7; 32]);
    let (key, signature) = (pair.public_key(), pair.sign(&SIGNABLE));
    meter.repeat(1, || {
        black_box(verify_signature(&key, &SIGNABLE, &signature));
    })
}

fn seal(meter: &Meter, size: usize) -> (u64, Duration) {
    let mut seal = Seal::new(&[7; 32], &[9; 24]);
    let message = filler(size);
    let mut out = Vec::new();
    meter.repeat(1, || {
        out.clear();
        seal.seal(&message, &mut out);
    })
}

fn unseal(meter: &Meter, size: usize) -> (u64, Duration) {
    let count = (SPREAD / 4).checked_div(size).unwrap_or(1).max(256);
    let message = filler(size);
    let mut seal = Seal::new(&[7; 32], &[9; 24]);
    let sealed: Vec<Vec<u8>> = std::iter::repeat_with(|| {
        let mut out = Vec::new();
        seal.seal(&message, &mut out);
        out
    })
    .take(count)
    .collect();
    let mut work = sealed.clone();
    let (mut spent, mut operations) = (Duration::ZERO, 0_u64);
    // Opened where they lie, so each round needs them afresh; copying them is not timed.
    while spent < meter.enough {
        work.iter_mut().zip(&sealed).for_each(|(to, from)| to.copy_from_slice(from));
        let mut open = Seal::new(&[7; 32], &[9; 24]);
        let start = Instant::now();
        for message in &mut work {
            black_box(open.open_in_place(message));
        }
        spent += start.elapsed();
        operations = operations.saturating_add(u64::try_from(count).unwrap_or(0));
    }
    (operations, spent)
}

fn memory(meter: &Meter, size: usize) -> (u64, Duration) {
    let from = filler(size);
    let mut to = vec![0; size];
    meter.repeat(1, || black_box(&mut to).copy_from_slice(black_box(&from)))
}

fn write(
    meter: &mut Meter,
    arguments: &LimitArguments,
    then: impl Fn(&File) -> std::io::Result<()>,
) -> Result<(u64, Duration), Failure> {
    let mut file = tempfile(arguments)?;
    let message = filler(arguments.size);
    let mut left = 0_usize;
    let (start, mut operations) = (Instant::now(), 0_u64);
    while start.elapsed() < meter.enough {
        if left < arguments.size {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            left = MOST_WRITTEN;
        }
        left = left.saturating_sub(arguments.size);
        let begun = Instant::now();
        file.write_all(&message)?;
        then(&file)?;
        meter.each.push(begun.elapsed());
        operations = operations.saturating_add(1);
    }
    Ok((operations, start.elapsed()))
}

fn read(meter: &Meter, arguments: &LimitArguments) -> Result<(u64, Duration), Failure> {
    let mut file = tempfile(arguments)?;
    file.write_all(&filler(SPREAD))?;
    let mut message = vec![0; arguments.size];
    let places = u64::try_from(SPREAD.checked_div(arguments.size).unwrap_or(1))?;
    let size = u64::try_from(arguments.size)?;
    let mut at = 0_u64;
    let mut failed = None;
    let measured = meter.repeat(1, || {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = (at >> 33).checked_rem(places).unwrap_or(0).saturating_mul(size);
        failed = file.read_exact_at(&mut message, place).err().or_else(|| failed.take());
    });
    failed.map_or(Ok(measured), |error| Err(error.into()))
}

/// A file without a name: it goes away with its handle.
fn tempfile(arguments: &LimitArguments) -> Result<File, Failure> {
    let folder = arguments.storage.clone().unwrap_or_else(std::env::temp_dir);
    let path = folder.join(format!("limit-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn tcp(meter: &Meter, size: usize) -> Result<(u64, Duration), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let enough = meter.enough;
    let sender = thread::spawn(move || -> std::io::Result<u64> {
        let mut stream = TcpStream::connect(address)?;
        let message = vec![7; size];
        let (start, mut sent) = (Instant::now(), 0_u64);
        while start.elapsed() < enough {
            stream.write_all(&message)?;
            sent = sent.saturating_add(1);
        }
        Ok(sent)
    });
    let (mut stream, _) = listener.accept()?;
    let start = Instant::now();
    let mut buffer = vec![0; 256 << 10];
    while stream.read(&mut buffer)? > 0 {}
    let spent = start.elapsed();
    Ok((sender.join().map_err(|_| "the sender failed")??, spent))
}

fn pingpong(meter: &Meter, size: usize) -> Result<(u64, Duration), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let echo = thread::spawn(move || {
        let mut message = vec![0; size];
        while far.read_exact(&mut message).is_ok() && far.write_all(&message).is_ok() {}
    });
    let mut message = vec![7; size];
    let (start, mut operations) = (Instant::now(), 0_u64);
    while start.elapsed() < meter.enough {
        near.write_all(&message)?;
        near.read_exact(&mut message)?;
        operations = operations.saturating_add(1);
    }
    let spent = start.elapsed();
    drop(near);
    echo.join().map_err(|_| "the echo failed")?;
    Ok((operations, spent))
}

const SPREAD: usize = 64 << 20;
/// A file is written anew before it fills the disk.
const MOST_WRITTEN: usize = 512 << 20;
/// An upgrade's signable has 112 bytes.
const SIGNABLE: [u8; 112] = [1; 112];
