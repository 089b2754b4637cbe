//! Requests that count on earlier answers: whatever order a peer answers in, and whatever it leaves out, every block
//! arrives, its whole path of uncles is stored with it, and only a peer that lied is blamed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

mod virtual_link;

use bytes::Bytes;
use corestore_core::corestore::{DownloadRange, Event, GetOptions, OpenCore, Outcome, SessionId};
use corestore_core::crypto::CoreKey;
use corestore_core::merkle::{Proof, ProofRequest, RequestBlock};
use corestore_core::replication::{Data, Message, Request};
use corestore_core::time::Duration;
use proptest::prelude::*;
use virtual_link::puppet::Puppet;
use virtual_link::{Host, World};

/// A writer, a reader that knows its length and holds nothing, and a puppet that speaks for the writer.
struct Pair {
    writer: (Host, SessionId),
    reader: (Host, SessionId),
    key: CoreKey,
    length: u64,
    puppet: Puppet,
}

impl Pair {
    fn new(length: u8) -> Self {
        let mut world = World::new(2);
        let (writing, info) = world.hosts[0].open(OpenCore::name("core-1"));
        (0..length).for_each(|i| world.hosts[0].append(writing, &[&[i]]));
        let (reading, _) = world.hosts[1].open(OpenCore::key(info.key));
        let link = world.connect(1, 0);
        world.run();
        world.cut(link);
        let mut reader = world.hosts.pop().unwrap();
        let writer = world.hosts.pop().unwrap();
        let mut puppet = Puppet::dial(&mut reader, 1, info.key);
        puppet.claim(&mut reader, 0, length.into(), length.into());
        puppet.heard.clear();
        let length = length.into();
        Self { writer: (writer, writing), reader: (reader, reading), key: info.key, length, puppet }
    }

    fn download(&mut self) {
        let range = DownloadRange::Range { start: 0, end: Some(self.length), linear: true };
        self.reader.0.machine.download(self.reader.1, range);
        self.puppet.pump(&mut self.reader.0);
    }

    /// What an honest peer answers.
    fn proof(&mut self, request: &Request) -> Proof {
        prove(&mut self.writer.0, self.writer.1, &request.proof).unwrap()
    }

    fn answer(&mut self, request: &Request) {
        let proof = self.proof(request);
        let data = Data { request: request.id, proof, manifest: None };
        self.puppet.say(&mut self.reader.0, &Message::Data(data));
    }

    fn answer_all(&mut self) -> usize {
        let mut asked = 0;
        for _ in 0..100 {
            let requests = self.puppet.requests();
            if requests.is_empty() {
                break;
            }
            asked += requests.len();
            requests.iter().for_each(|request| self.answer(request));
        }
        asked
    }

    fn pass(&mut self, millis: u64) {
        self.reader.0.pass(Duration::from_millis(millis));
        self.puppet.pump(&mut self.reader.0);
    }

    fn stored(&self) -> u64 {
        self.reader.0.info(self.reader.1).stored_blocks
    }

    fn is_blamed(&self) -> bool {
        self.reader.0.events.iter().any(|event| matches!(event, Event::VerificationFailed { .. }))
    }

    /// Every stored block is true, and all that proves it is stored too.
    fn assert_whole(&mut self) {
        let (host, session) = (&mut self.reader.0, self.reader.1);
        for index in (0..self.length).filter(|index| host.machine.has(session, *index)).collect::<Vec<u64>>() {
            assert_eq!(host.block(session, index), [index as u8][..]);
            let nodes = path(index, self.length);
            let block = Some(RequestBlock { index, nodes });
            let proof = prove(host, session, &ProofRequest { block, ..ProofRequest::default() });
            assert!(proof.is_some(), "the path of block {index} is not stored");
        }
    }
}

fn prove(host: &mut Host, session: SessionId, wanted: &ProofRequest) -> Option<Proof> {
    let request = host.machine.prove(session, wanted);
    match host.answer(request) {
        Some(Ok(Outcome::Proof(proof))) => Some(*proof),
        _ => None,
    }
}

/// Steps from a block to its root.
fn path(index: u64, length: u64) -> u64 {
    corestore_core::merkle::missing_nodes(corestore_core::merkle::TreeIndex::leaf(index), length, &mut |_| false)
}

fn counts(requests: &[Request]) -> Vec<(u64, u64)> {
    requests.iter().filter_map(|request| request.proof.block).map(|block| (block.index, block.nodes)).collect()
}

#[test]
fn no_uncle_is_asked_for_twice() {
    let mut pair = Pair::new(8);
    pair.download();
    let requests = pair.puppet.requests();
    assert_eq!(counts(&requests), [(0, 3), (1, 0), (2, 1), (3, 0), (4, 2), (5, 0), (6, 1), (7, 0)]);
    requests.iter().for_each(|request| pair.answer(request));
    assert_eq!((pair.stored(), pair.puppet.requests().len()), (8, 0));
    pair.assert_whole();
}

#[test]
fn what_somebody_waits_for_does_not_wait_for_the_rest() {
    let mut pair = Pair::new(16);
    let range = DownloadRange::Range { start: 0, end: Some(4), linear: true };
    pair.reader.0.machine.download(pair.reader.1, range);
    for index in [6, 5] {
        pair.reader.0.machine.get(pair.reader.1, index, GetOptions::default());
    }
    pair.puppet.pump(&mut pair.reader.0);
    let requests = pair.puppet.requests();
    assert_eq!(counts(&requests), [(0, 4), (1, 0), (2, 1), (3, 0), (6, 4), (5, 1)]);
    pair.answer(&requests[4]);
    assert!(pair.reader.0.machine.has(pair.reader.1, 6));
}

#[test]
fn blocks_that_counted_on_a_refused_one_are_asked_for_with_all_they_need() {
    let mut pair = Pair::new(4);
    pair.download();
    let requests = pair.puppet.requests();
    pair.answer(&requests[1]);
    assert_eq!(pair.stored(), 0);
    pair.puppet.say(&mut pair.reader.0, &Message::NoData { request: requests[0].id, reason: 7 });
    assert_eq!(counts(&pair.puppet.requests()), [(1, 2)]);
    assert!(!pair.is_blamed());
}

#[test]
fn an_answer_waits_for_an_earlier_one_only_so_long() {
    let mut pair = Pair::new(4);
    pair.download();
    let requests = pair.puppet.requests();
    pair.answer(&requests[1]);
    pair.pass(400);
    assert_eq!(pair.puppet.requests(), []);
    pair.pass(200);
    let again = pair.puppet.requests();
    assert_eq!(counts(&again), [(1, 2)]);
    pair.answer(&again[0]);
    assert_eq!(pair.stored(), 1);
    pair.assert_whole();
}

#[test]
fn a_proof_that_was_asked_for_with_all_it_needs_and_lacks_it_is_blamed() {
    let mut pair = Pair::new(4);
    pair.reader.0.machine.get(pair.reader.1, 1, GetOptions::default());
    pair.puppet.pump(&mut pair.reader.0);
    let mut request = pair.puppet.requests()[0];
    request.proof.block = Some(RequestBlock { index: 1, nodes: 0 });
    pair.answer(&request);
    assert!(pair.is_blamed());
}

#[test]
fn a_peer_that_answers_nothing_in_order_is_not_counted_on_any_more() {
    let mut pair = Pair::new(200);
    let mut asked = 0;
    for _ in 0..20 {
        for index in 0..200 {
            pair.reader.0.machine.get(pair.reader.1, index, GetOptions::default());
        }
        pair.puppet.pump(&mut pair.reader.0);
        // Only what counts on others is answered, and never with the rest.
        for request in pair.puppet.requests() {
            asked += 1;
            let block = request.proof.block.unwrap();
            if block.nodes < path(block.index, 200) {
                pair.answer(&request);
            } else {
                pair.puppet.say(&mut pair.reader.0, &Message::NoData { request: request.id, reason: 7 });
            }
        }
        pair.pass(600);
        pair.puppet.claim(&mut pair.reader.0, 0, 200, 200);
    }
    pair.assert_whole();
    assert!(!pair.is_blamed());
    assert!(asked < 20 * 200 + 400, "asked {asked} times");
}

#[test]
fn answers_that_wait_are_bounded() {
    let mut pair = Pair::new(200);
    pair.download();
    let requests = pair.puppet.requests();
    let (first, rest) = requests.split_first().unwrap();
    rest.iter().rev().for_each(|request| pair.answer(request));
    pair.answer(first);
    pair.answer_all();
    assert_eq!(pair.stored(), 200);
    assert!(!pair.is_blamed());
    pair.assert_whole();
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    Refused,
    Lost,
    Lie,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![8 => Just(Fate::Answered), 1 => Just(Fate::Refused), 1 => Just(Fate::Lost), 1 => Just(Fate::Lie)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_order_stores_every_block_with_one_request_each(order in (1_u8..65).prop_flat_map(|length| {
        Just((0..usize::from(length)).collect::<Vec<usize>>()).prop_shuffle()
    })) {
        let mut pair = Pair::new(order.len() as u8);
        pair.download();
        let requests = pair.puppet.requests();
        prop_assert_eq!(requests.len(), order.len());
        for place in order {
            pair.answer(&requests[place]);
        }
        prop_assert_eq!(pair.stored(), pair.length);
        prop_assert_eq!(pair.puppet.requests(), []);
        prop_assert!(!pair.is_blamed());
        pair.assert_whole();
    }

    #[test]
    fn whatever_is_refused_lost_or_untrue_the_next_peer_makes_up_for(
        answers in prop::collection::vec((fate(), any::<prop::sample::Index>()), 1..60),
        length in 1_u8..60,
        gets in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..8),
    ) {
        let mut pair = Pair::new(length);
        pair.download();
        let mut lied = false;
        let mut open = Vec::new();
        for (index, cancelled) in gets {
            let index = index.index(length.into()) as u64;
            let get = pair.reader.0.machine.get(pair.reader.1, index, GetOptions::default());
            pair.puppet.pump(&mut pair.reader.0);
            if cancelled {
                pair.reader.0.machine.cancel(get);
            }
        }
        for (fate, place) in answers {
            open.extend(pair.puppet.requests());
            if open.is_empty() {
                break;
            }
            let request = open.swap_remove(place.index(open.len()));
            match fate {
                Fate::Answered => pair.answer(&request),
                Fate::Refused => {
                    pair.puppet.say(&mut pair.reader.0, &Message::NoData { request: request.id, reason: 7 });
                }
                Fate::Lost => pair.pass(100),
                Fate::Lie => {
                    let mut proof = pair.proof(&request);
                    if let Some(block) = &mut proof.block {
                        block.value = Bytes::from_static(b"lie");
                    }
                    lied = true;
                    let data = Data { request: request.id, proof, manifest: None };
                    pair.puppet.say(&mut pair.reader.0, &Message::Data(data));
                }
            }
            pair.assert_whole();
        }
        prop_assert!(lied || !pair.is_blamed());
        let next = Puppet::dial(&mut pair.reader.0, 2, pair.key);
        core::mem::replace(&mut pair.puppet, next).hang_up(&mut pair.reader.0);
        pair.puppet.claim(&mut pair.reader.0, 0, length.into(), length.into());
        for _ in 0..4 {
            pair.answer_all();
            pair.pass(600);
        }
        prop_assert_eq!(pair.stored(), u64::from(length));
        pair.assert_whole();
    }
}
