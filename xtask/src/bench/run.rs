//! Rounds: every workload once by everybody, then every workload again.

use super::limits::Limits;
use super::stores::Stores;
use super::table::{self, Row};
use super::workload::{Measured, WORKLOADS, Workload};
use crate::command::run as run_command;
use crate::install::npm;
use crate::project;
use serde_json::json;
use std::process::Command;

/// What was asked for.
struct Wanted {
    json: bool,
    rounds: usize,
    /// Counts are divided by this.
    scale: u64,
    workloads: Vec<Workload>,
}

/// Runs what `words` name, everything by default. False when a check failed.
pub(crate) fn run(words: &[&str]) -> Result<bool, String> {
    let wanted = parse(words)?;
    npm::ensure(&project::path("tests/js"), "the npm stack runs beside ours")?;
    let build = ["build", "--release", "--quiet", "--package", "corestore-peer", "--bin", "corestore-bench"];
    run_command(Command::new("cargo").args(build).current_dir(project::root()))?;

    let mut stores = Stores::new()?;
    let mut limits = Limits::default();
    let mut rows: Vec<Row> = wanted.workloads.iter().map(|workload| Row::new(*workload, wanted.scale)).collect();
    let mut right = true;
    for round in 1..=wanted.rounds {
        eprintln!("round {round} of {}", wanted.rounds);
        limits.measure()?;
        for row in rows.iter_mut().filter(|row| round == 1 || !row.kind.once()) {
            right &= round_of(row, &mut stores, round, wanted.json);
        }
    }
    if wanted.json {
        for (limit, size, each) in limits.all() {
            println!("{}", json!({ "limit": limit, "size": size, "seconds_each": each }));
        }
    } else {
        table::print(&rows, &limits);
    }
    Ok(right)
}

/// One workload once by everybody; false when a check failed.
fn round_of(row: &mut Row, stores: &mut Stores, round: usize, lines: bool) -> bool {
    let (workload, kind) = (row.workload, row.kind);
    let mut right = true;
    let mut digests: Vec<String> = Vec::new();
    for (writer, reader, runs) in &mut row.runs {
        let who = format!("{}: {}, {} → {}", workload.name, workload.what, writer.name(), reader.name());
        match kind.run(stores, *writer, *reader) {
            Ok(run) => {
                if lines {
                    println!("{}", table::line(&workload, &kind, (*writer, *reader), round, &run));
                } else {
                    eprintln!("{who}: {} per s", table::short(run.operations / run.seconds));
                }
                digests.push(run.digest.clone());
                runs.push(run);
            }
            Err(error) => {
                right = false;
                eprintln!("{who}: FAILED: {error}");
            }
        }
    }
    digests.dedup();
    if digests.len() > 1 {
        right = false;
        eprintln!("{}: {}: FAILED: the two stacks came to different data: {digests:?}", workload.name, workload.what);
    }
    right
}

impl Row {
    fn new(workload: Workload, scale: u64) -> Self {
        let kind = (workload.kind)(scale);
        let sides = kind.sides().iter();
        let runs = sides.map(|(writer, reader)| (*writer, *reader, Vec::<Measured>::new())).collect();
        Self { workload, kind, runs }
    }
}

fn parse(words: &[&str]) -> Result<Wanted, String> {
    let mut wanted = Wanted { json: false, rounds: 5, scale: 1, workloads: Vec::new() };
    let mut names: Vec<&str> = Vec::new();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        match word {
            "--json" => wanted.json = true,
            "--quick" => wanted.scale = 10,
            "--rounds" => {
                let rounds = words.next().and_then(|word| word.parse().ok()).filter(|rounds| *rounds > 0);
                wanted.rounds = rounds.ok_or("--rounds takes a number above 0")?;
            }
            name if WORKLOADS.iter().any(|workload| workload.name == name) => names.push(name),
            other => {
                let mut known: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
                known.dedup();
                return Err(format!("there is no workload `{other}`; there are: {}", known.join(" ")));
            }
        }
    }
    let picked = WORKLOADS.iter().filter(|workload| names.is_empty() || names.contains(&workload.name));
    wanted.workloads = picked.copied().collect();
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_run_does_a_tenth_of_the_work_in_every_row() {
        for workload in WORKLOADS {
            let (whole, tenth) = (format!("{:?}", (workload.kind)(1)), format!("{:?}", (workload.kind)(10)));
            assert_ne!(whole, tenth, "{}: {}", workload.name, workload.what);
        }
    }

    #[test]
    fn words_pick_workloads() {
        let wanted = parse(&["get", "--rounds", "2", "--json"])
            .ok()
            .map(|wanted| (wanted.rounds, wanted.json, wanted.workloads.len()));
        assert_eq!(wanted, Some((2, true, 5)));
        assert_eq!(parse(&[]).ok().map(|wanted| wanted.workloads.len()), Some(WORKLOADS.len()));
        assert!(parse(&["gets"]).is_err());
        assert!(parse(&["--rounds", "0"]).is_err());
    }
}
