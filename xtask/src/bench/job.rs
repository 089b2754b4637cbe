//! One process of a workload: started, told to go, looked at from outside, ended.

use crate::command::Running;
use crate::project;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Whose program runs a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Ours,
    Npm,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Npm => "npm",
        }
    }

    fn command(self) -> Command {
        match self {
            Self::Ours => Command::new(project::path("target/release/corestore-bench")),
            Self::Npm => {
                let mut node = Command::new("node");
                node.arg(project::path("tests/bench/job.mjs"));
                node
            }
        }
    }
}

/// A job that runs.
pub(crate) struct Job {
    stdin: Option<ChildStdin>,
    events: Receiver<Value>,
    before: Usage,
    name: String,
    running: Running,
}

/// What a process used between `go` and its result.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time of all threads, in seconds.
    pub(crate) cpu: f64,
    /// Peak resident memory, in MB.
    pub(crate) memory: f64,
}

impl Job {
    /// Starts `job` and waits until it is ready; gives what it says then.
    pub(crate) fn start(side: Side, job: &str, flags: &[(&str, String)]) -> Result<(Self, Value), String> {
        let mut command = side.command();
        command.arg(job).env("BENCH_JOB_LIMIT_S", LIMIT.as_secs().to_string());
        for (flag, value) in flags {
            command.arg(format!("--{flag}"));
            // A flag without a value is one of ours that the npm job reads as true.
            if !value.is_empty() {
                command.arg(value);
            }
        }
        let mut running = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let stdin = running.0.stdin.take();
        let stdout = running.0.stdout.take().ok_or("a job has no stdout")?;
        let (sender, events) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.filter_map(|line| serde_json::from_str(&line).ok()).try_for_each(|event| sender.send(event))
        });
        let name = format!("{job} of {}", side.name());
        let job = Self { stdin, events, before: Usage::default(), name, running };
        let ready = job.wait("ready")?;
        Ok((job, ready))
    }

    /// Runs a job that stands alone from start to end.
    pub(crate) fn run(side: Side, job: &str, flags: &[(&str, String)]) -> Result<Finished, String> {
        let (mut job, ready) = Self::start(side, job, flags)?;
        job.go()?;
        let result = job.wait("result")?;
        let usage = job.used();
        job.end();
        Ok(Finished { ready, result, usage })
    }

    /// Lets it begin.
    pub(crate) fn go(&mut self) -> Result<(), String> {
        // Memory used while preparing does not count, where the system can forget it.
        drop(std::fs::write(format!("/proc/{}/clear_refs", self.running.0.id()), "5"));
        self.before = self.probe();
        let stdin = self.stdin.as_mut().ok_or("the job was ended")?;
        stdin.write_all(b"go\n").map_err(|error| format!("{} does not listen: {error}", self.name))
    }

    /// Waits for an event.
    pub(crate) fn wait(&self, wanted: &str) -> Result<Value, String> {
        let until = Instant::now() + LIMIT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).map_err(|error| match error {
                RecvTimeoutError::Timeout => format!("{} gave no {wanted} in {} s", self.name, LIMIT.as_secs()),
                RecvTimeoutError::Disconnected => format!("{} ended before its {wanted}", self.name),
            })?;
            if event.get("event").and_then(Value::as_str) == Some(wanted) {
                return Ok(event);
            }
        }
    }

    /// What it used since it began.
    pub(crate) fn used(&self) -> Usage {
        let now = self.probe();
        Usage { cpu: now.cpu - self.before.cpu, memory: now.memory }
    }

    /// Asks it to end, and waits.
    pub(crate) fn end(mut self) {
        drop(self.stdin.take());
        // Its result is known; how it ends is no matter of the measurement.
        drop(self.running.wait(FAREWELL));
    }

    /// Zeros where the system does not tell.
    fn probe(&self) -> Usage {
        let read = |file| std::fs::read_to_string(format!("/proc/{}/{file}", self.running.0.id())).unwrap_or_default();
        let stat = read("stat");
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default().split_whitespace();
        let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        let status = read("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Usage { cpu: ticks / TICKS, memory: kilobytes.unwrap_or_default() * 1024.0 / 1e6 }
    }
}

/// A job from start to end.
pub(crate) struct Finished {
    pub(crate) ready: Value,
    pub(crate) result: Value,
    pub(crate) usage: Usage,
}

/// A number of a result.
pub(crate) fn number(value: &Value, field: &str) -> Result<f64, String> {
    value.get(field).and_then(Value::as_f64).ok_or_else(|| format!("a result lacks `{field}`: {value}"))
}

/// A text of a result.
pub(crate) fn text(value: &Value, field: &str) -> Result<String, String> {
    let text = value.get(field).and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(|| format!("a result lacks `{field}`: {value}"))
}

/// Clock ticks in a second of `/proc/PID/stat`, fixed on Linux.
const TICKS: f64 = 100.0;
const LIMIT: Duration = Duration::from_secs(600);
const FAREWELL: Duration = Duration::from_secs(20);
