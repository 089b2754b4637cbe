//! Seeded worlds: machines that do random things, lose connections and crash, and must agree with the writer in the
//! end. A failing seed is printed; the same seed makes the same run.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

mod virtual_link;

use bytes::Bytes;
use corestore_core::corestore::{DownloadRange, Event, GetOptions, OpenCore, Outcome, RequestId, SessionId};
use corestore_core::time::Duration;
use proptest::prelude::*;
use virtual_link::{Host, World};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Append { blocks: u8, size: u16 },
    Truncate { share: u8 },
    Get { reader: u8, share: u8 },
    CancelAll { reader: u8 },
    Download { reader: u8, share: u8, linear: bool },
    Clear { host: u8, share: u8, blocks: u8 },
    Connect { from: u8, to: u8 },
    Cut { link: u8 },
    Stall { host: u8 },
    Resume,
    Move { writes: u8 },
    Pass { millis: u16 },
    Full { reader: u8, full: bool },
    Crash { reader: u8, more: u8 },
    CrashWriter,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_u8..6, 0_u16..300).prop_map(|(blocks, size)| Step::Append { blocks, size }),
        1 => any::<u8>().prop_map(|share| Step::Truncate { share }),
        4 => any::<(u8, u8)>().prop_map(|(reader, share)| Step::Get { reader, share }),
        1 => any::<u8>().prop_map(|reader| Step::CancelAll { reader }),
        2 => any::<(u8, u8, bool)>().prop_map(|(reader, share, linear)| Step::Download { reader, share, linear }),
        1 => any::<(u8, u8, u8)>().prop_map(|(host, share, blocks)| Step::Clear { host, share, blocks }),
        3 => any::<(u8, u8)>().prop_map(|(from, to)| Step::Connect { from, to }),
        2 => any::<u8>().prop_map(|link| Step::Cut { link }),
        1 => any::<u8>().prop_map(|host| Step::Stall { host }),
        1 => Just(Step::Resume),
        6 => (1_u8..20).prop_map(|writes| Step::Move { writes }),
        2 => (0_u16..7000).prop_map(|millis| Step::Pass { millis }),
        1 => any::<(u8, bool)>().prop_map(|(reader, full)| Step::Full { reader, full }),
        1 => any::<(u8, u8)>().prop_map(|(reader, more)| Step::Crash { reader, more: more % 8 }),
        1 => Just(Step::CrashWriter),
    ]
}

/// Host 0 writes, the others read.
struct Story {
    world: World,
    sessions: Vec<SessionId>,
    /// Requests of each host that were not cancelled, with the block asked for.
    asked: Vec<Vec<(RequestId, Option<u64>)>>,
    links: Vec<usize>,
    key: corestore_core::crypto::CoreKey,
    log: Vec<Vec<u8>>,
    seeds: u8,
}

impl Story {
    fn new(hosts: u8) -> Self {
        let mut world = World::new(hosts);
        let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
        let mut sessions = vec![writer];
        for host in &mut world.hosts[1..] {
            sessions.push(host.open(OpenCore::key(info.key)).0);
        }
        let asked = vec![Vec::new(); usize::from(hosts)];
        Self { world, sessions, asked, links: Vec::new(), key: info.key, log: Vec::new(), seeds: 100 }
    }

    fn host(&self, number: u8) -> usize {
        usize::from(number) % self.world.hosts.len()
    }

    fn reader(&self, number: u8) -> usize {
        1 + usize::from(number) % (self.world.hosts.len() - 1)
    }

    /// A block index, past the end at times.
    fn index(&self, share: u8) -> u64 {
        (self.log.len() as u64 + 3) * u64::from(share) / 255
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Append { blocks, size } => {
                let first = self.log.len();
                let blocks: Vec<Vec<u8>> =
                    (0..usize::from(blocks)).map(|i| vec![(first + i) as u8; usize::from(size) * (i % 2)]).collect();
                self.world.hosts[0].append(self.sessions[0], &blocks.iter().map(Vec::as_slice).collect::<Vec<_>>());
                self.log.extend(blocks);
            }
            Step::Truncate { share } => {
                let length = (self.log.len() as u64 * u64::from(share) / 255).max(1).min(self.log.len() as u64);
                self.world.hosts[0].truncate(self.sessions[0], length);
                self.log.truncate(length as usize);
            }
            Step::Get { reader, share } => {
                let (reader, index) = (self.reader(reader), self.index(share));
                let get = self.world.hosts[reader].machine.get(self.sessions[reader], index, GetOptions::default());
                self.asked[reader].push((get, Some(index)));
            }
            Step::CancelAll { reader } => {
                let reader = self.reader(reader);
                for (request, _) in std::mem::take(&mut self.asked[reader]) {
                    self.world.hosts[reader].machine.cancel(request);
                }
            }
            Step::Download { reader, share, linear } => {
                let (reader, start) = (self.reader(reader), self.index(share));
                let range = DownloadRange::Range { start, end: Some(start + 20), linear };
                let request = self.world.hosts[reader].machine.download(self.sessions[reader], range);
                self.asked[reader].push((request, None));
            }
            Step::Clear { host, share, blocks } => {
                let (host, start) = (self.reader(host), self.index(share));
                self.world.hosts[host].machine.clear(self.sessions[host], start..start + u64::from(blocks % 9));
            }
            Step::Connect { from, to } => {
                let (from, to) = (self.host(from), self.host(to));
                if from != to && self.links.len() < 6 {
                    let link = self.world.connect(from, to);
                    self.links.push(link);
                }
            }
            Step::Cut { link } => {
                if !self.links.is_empty() {
                    let place = usize::from(link) % self.links.len();
                    let link = self.links.remove(place);
                    self.world.cut(link);
                }
            }
            Step::Stall { host } => drop(self.world.stalled.insert(self.host(host))),
            Step::Resume => self.world.stalled.clear(),
            Step::Move { writes } => self.world.run_some(usize::from(writes)),
            Step::Pass { millis } => self.world.pass(Duration::from_millis(millis.into())),
            Step::Full { reader, full } => {
                let reader = self.reader(reader);
                self.world.hosts[reader].full = full;
            }
            Step::Crash { reader, more } => self.crash(self.reader(reader), usize::from(more)),
            Step::CrashWriter => self.crash(0, 0),
        }
    }

    /// A host dies and comes back with what its store kept.
    fn crash(&mut self, host: usize, more: usize) {
        for link in std::mem::take(&mut self.links) {
            self.world.cut(link);
        }
        let store = self.world.hosts[host].crashed(more);
        self.seeds += 1;
        let now = self.world.hosts[host].now();
        let mut again = Host::with_store(self.seeds, store);
        again.pass(now.since(corestore_core::time::Instant::ZERO));
        self.sessions[host] = again.open(OpenCore::key(self.key)).0;
        self.asked[host].clear();
        self.world.hosts[host] = again;
    }

    /// With the writer at hand, nobody waits for a block that exists.
    fn check_gets(&mut self) {
        for (host, asked) in self.world.hosts.iter_mut().zip(&self.asked) {
            for (request, index) in asked {
                if index.is_some_and(|index| index < self.log.len() as u64) {
                    assert!(host.answer(*request).is_some(), "block {index:?} was asked for and never came");
                }
            }
        }
    }

    /// Everyone gets connected, has time, and then holds what the writer wrote.
    fn end(mut self) {
        self.world.stalled.clear();
        for host in 0..self.world.hosts.len() {
            self.world.hosts[host].full = false;
            if host > 0 {
                self.world.connect(host, 0);
            }
        }
        self.world.run();
        self.world.pass(Duration::from_secs(12));
        self.check_gets();
        for host in 0..self.world.hosts.len() {
            let range = DownloadRange::Range { start: 0, end: None, linear: false };
            self.world.hosts[host].machine.download(self.sessions[host], range);
            if host > 0 {
                self.world.connect(host, host - 1);
            }
        }
        self.world.run();
        self.world.pass(Duration::from_secs(12));
        let length = self.log.len() as u64;
        for host in 0..self.world.hosts.len() {
            let session = self.sessions[host];
            let info = self.world.hosts[host].info(session);
            if length > 0 {
                assert_eq!((info.length, info.contiguous_length, info.frozen), (length, length, false), "host {host}");
            }
            for (index, block) in self.log.iter().enumerate() {
                assert_eq!(self.world.hosts[host].block(session, index as u64), Bytes::copy_from_slice(block));
            }
            let audit = self.world.hosts[host].machine.audit(session);
            let Some(Ok(Outcome::Audited(audit))) = self.world.hosts[host].answer(audit) else { panic!("an audit") };
            assert_eq!(audit.faults, [], "host {host}");
            let wrong = |event: &&Event| matches!(event, Event::VerificationFailed { .. } | Event::Conflicted { .. });
            assert_eq!(self.world.hosts[host].events.iter().find(wrong).map(|event| format!("{event:?}")), None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_every_reader_ends_with_what_was_written(
        hosts in 2_u8..5,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut story = Story::new(hosts);
        for step in &steps {
            story.take(step);
        }
        story.end();
    }
}
