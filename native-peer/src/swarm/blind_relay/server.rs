//! The relay: two sides that name the same token are joined.

use super::config::Config;
use corestore_core::crypto::{Hash, PublicKey};
use corestore_core::dht::Pair;
use corestore_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Names a connection to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

/// Names a meeting that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JoinId(u64);

/// Something the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open two UDX streams, connect each to the session's address and the number given, relay both ways, and tell
    /// [`BlindRelay::joined`].
    Join {
        /// Its name.
        join: JoinId,
        /// Both sides, and their UDX streams.
        sides: [(SessionId, u32); 2],
    },
    /// Close both streams of a meeting.
    Part(JoinId),
    /// Send the session a word.
    Answer(SessionId, Pair),
}

/// Counters since the start, and figures of this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayStats {
    /// Connections at this moment.
    pub sessions: usize,
    /// Meetings that wait for their other side at this moment.
    pub waiting: usize,
    /// Meetings that run at this moment.
    pub joined: usize,
    /// Meetings that came about.
    pub met: u64,
    /// Connections and meetings refused because of a limit.
    pub refused: u64,
    /// Meetings whose other side did not come.
    pub expired: u64,
}

/// A relay. It never sees what passes: both sides have keys of their own.
///
/// Tell it what happens, then do what [`BlindRelay::poll_output`] says, and come back at [`BlindRelay::deadline`].
#[derive(Debug)]
pub struct BlindRelay {
    config: Config,
    sessions: BTreeMap<SessionId, Session>,
    keys: BTreeMap<PublicKey, Use>,
    waiting: BTreeMap<Hash, Waiting>,
    expiries: BTreeSet<(Instant, Hash)>,
    joins: BTreeMap<JoinId, Join>,
    outputs: VecDeque<Output>,
    next: u64,
    stats: RelayStats,
}

#[derive(Debug)]
struct Session {
    key: PublicKey,
    waiting: BTreeSet<Hash>,
    joins: BTreeMap<Hash, JoinId>,
}

/// What one key uses.
#[derive(Debug, Default)]
struct Use {
    sessions: usize,
    meetings: usize,
}

#[derive(Clone, Copy, Debug)]
struct Side {
    session: SessionId,
    stream: u32,
}

#[derive(Debug)]
struct Waiting {
    initiator: bool,
    side: Side,
    until: Instant,
}

#[derive(Debug)]
struct Join {
    token: Hash,
    /// The initiator's last, as in the reference.
    sides: [Side; 2],
}

impl BlindRelay {
    /// A relay nobody knows yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            sessions: BTreeMap::new(),
            keys: BTreeMap::new(),
            waiting: BTreeMap::new(),
            expiries: BTreeSet::new(),
            joins: BTreeMap::new(),
            outputs: VecDeque::new(),
            next: 0,
            stats: RelayStats::default(),
        }
    }

    /// Somebody with this key connected; `None` when there are too many, and the connection is to be dropped.
    pub fn open(&mut self, key: PublicKey) -> Option<SessionId> {
        let room = self.sessions.len() < self.config.max_sessions;
        let used = self.keys.get(&key).map_or(0, |used| used.sessions);
        if !room || used >= self.config.max_sessions_per_key {
            self.refuse();
            return None;
        }
        self.keys.entry(key).or_default().sessions = used.saturating_add(1);
        let id = SessionId(self.number());
        self.sessions.insert(id, Session { key, waiting: BTreeSet::new(), joins: BTreeMap::new() });
        Some(id)
    }

    /// A session asks for a meeting. A repetition changes nothing.
    pub fn handle_pair(&mut self, now: Instant, id: SessionId, pair: &Pair) {
        let Ok(stream) = u32::try_from(pair.stream) else { return self.refuse() };
        let Some(session) = self.sessions.get(&id) else { return };
        let side = Side { session: id, stream };
        let other = self.waiting.get(&pair.token).map(|other| other.initiator);
        if other == Some(pair.initiator) || session.joins.contains_key(&pair.token) {
            return;
        }
        let used = self.keys.get(&session.key).map_or(0, |used| used.meetings);
        let full = other.is_some() && self.joins.len() >= self.config.max_joined;
        if used >= self.config.max_meetings_per_key || full {
            return self.refuse();
        }
        self.count(id, 1);
        match other {
            Some(_) => self.join(pair, side),
            None => self.wait(now, pair, side),
        }
    }

    fn wait(&mut self, now: Instant, pair: &Pair, side: Side) {
        let until = now.after(self.config.patience);
        self.waiting.insert(pair.token, Waiting { initiator: pair.initiator, side, until });
        self.expiries.insert((until, pair.token));
        self.sessions.get_mut(&side.session).into_iter().for_each(|session| {
            session.waiting.insert(pair.token);
        });
    }

    fn join(&mut self, pair: &Pair, side: Side) {
        let Some(other) = self.forget(&pair.token) else { return };
        let sides = if pair.initiator { [other, side] } else { [side, other] };
        let join = JoinId(self.number());
        for side in sides {
            if let Some(session) = self.sessions.get_mut(&side.session) {
                session.joins.insert(pair.token, join);
            }
        }
        self.joins.insert(join, Join { token: pair.token, sides });
        let sides = sides.map(|side| (side.session, side.stream));
        self.outputs.push_back(Output::Join { join, sides });
    }

    /// Both streams of a meeting stand, with these numbers in the order of [`Output::Join`]; `None` when they could
    /// not be opened.
    pub fn joined(&mut self, id: JoinId, streams: Option<[u32; 2]>) {
        let Some(streams) = streams else { return self.parted(id) };
        let Some(join) = self.joins.get(&id) else { return };
        self.stats.met = self.stats.met.saturating_add(1);
        for ((side, stream), initiator) in join.sides.iter().zip(streams).zip([false, true]) {
            let answer = Pair { initiator, token: join.token, stream: u64::from(stream), seq: 0 };
            self.outputs.push_back(Output::Answer(side.session, answer));
        }
    }

    /// A stream of a meeting closed.
    pub fn parted(&mut self, id: JoinId) {
        let Some(join) = self.joins.remove(&id) else { return };
        for side in join.sides {
            self.count(side.session, -1);
            if let Some(session) = self.sessions.get_mut(&side.session) {
                session.joins.remove(&join.token);
            }
        }
        self.outputs.push_back(Output::Part(id));
    }

    /// A session wants no meeting any more. It may only end its own.
    pub fn handle_unpair(&mut self, id: SessionId, token: &Hash) {
        let Some(session) = self.sessions.get(&id) else { return };
        if session.waiting.contains(token) {
            self.forget(token).into_iter().for_each(|side| self.count(side.session, -1));
        } else if let Some(join) = session.joins.get(token).copied() {
            self.parted(join);
        }
    }

    /// A session is over: its meetings are too.
    pub fn close(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let (key, joins) = (session.key, session.joins.values().copied().collect::<Vec<_>>());
        for token in session.waiting.clone() {
            self.forget(&token).into_iter().for_each(|side| self.count(side.session, -1));
        }
        joins.into_iter().for_each(|join| self.parted(join));
        self.sessions.remove(&id);
        if let Some(used) = self.keys.get_mut(&key) {
            used.sessions = used.sessions.saturating_sub(1);
            if used.sessions == 0 {
                self.keys.remove(&key);
            }
        }
    }

    /// Gives up meetings whose other side does not come.
    pub fn handle_deadline(&mut self, now: Instant) {
        while let Some((until, token)) = self.expiries.first().copied().filter(|(until, _)| *until <= now) {
            self.expiries.remove(&(until, token));
            self.stats.expired = self.stats.expired.saturating_add(1);
            self.forget(&token).into_iter().for_each(|side| self.count(side.session, -1));
        }
    }

    /// When [`BlindRelay::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.expiries.first().map(|(until, _)| *until)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Counters and figures.
    pub fn stats(&self) -> RelayStats {
        let (sessions, waiting, joined) = (self.sessions.len(), self.waiting.len(), self.joins.len());
        RelayStats { sessions, waiting, joined, ..self.stats }
    }

    /// Takes a meeting out of those that wait.
    fn forget(&mut self, token: &Hash) -> Option<Side> {
        let waiting = self.waiting.remove(token)?;
        self.expiries.remove(&(waiting.until, *token));
        if let Some(session) = self.sessions.get_mut(&waiting.side.session) {
            session.waiting.remove(token);
        }
        Some(waiting.side)
    }

    fn count(&mut self, session: SessionId, change: isize) {
        let key = self.sessions.get(&session).map(|session| session.key);
        if let Some(used) = key.and_then(|key| self.keys.get_mut(&key)) {
            used.meetings = used.meetings.saturating_add_signed(change);
        }
    }

    fn refuse(&mut self) {
        self.stats.refused = self.stats.refused.saturating_add(1);
    }

    fn number(&mut self) -> u64 {
        self.next = self.next.saturating_add(1);
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corestore_core::time::Duration;

    const TOKEN: Hash = Hash([7; 32]);

    fn key(number: u8) -> PublicKey {
        PublicKey([number; 32])
    }

    fn pair(initiator: bool, stream: u64) -> Pair {
        Pair { initiator, token: TOKEN, stream, seq: 0 }
    }

    fn relay(config: Config) -> (BlindRelay, SessionId, SessionId) {
        let mut relay = BlindRelay::new(config);
        let (one, two) = (relay.open(key(1)).unwrap(), relay.open(key(2)).unwrap());
        (relay, one, two)
    }

    fn outputs(relay: &mut BlindRelay) -> Vec<Output> {
        std::iter::from_fn(|| relay.poll_output()).collect()
    }

    #[test]
    fn two_sides_of_one_token_meet_and_each_is_told_its_own_stream() {
        let (mut relay, one, two) = relay(Config::default());
        relay.handle_pair(Instant::ZERO, one, &pair(true, 11));
        assert!(outputs(&mut relay).is_empty());
        relay.handle_pair(Instant::ZERO, two, &pair(false, 12));
        let [Output::Join { join, sides }] = outputs(&mut relay)[..] else { panic!("they meet") };
        assert_eq!(sides, [(two, 12), (one, 11)]);
        relay.joined(join, Some([21, 22]));
        let told = [Output::Answer(two, pair(false, 21)), Output::Answer(one, pair(true, 22))];
        assert_eq!(outputs(&mut relay), told);
        relay.handle_pair(Instant::ZERO, one, &pair(true, 11));
        assert!(outputs(&mut relay).is_empty(), "a repetition is no new meeting");
        relay.close(two);
        assert_eq!(outputs(&mut relay), [Output::Part(join)]);
        let RelayStats { sessions, waiting, joined, met, .. } = relay.stats();
        assert_eq!((sessions, waiting, joined, met), (1, 0, 0, 1));
    }

    #[test]
    fn one_side_twice_is_no_meeting_and_a_stranger_ends_none() {
        let (mut relay, one, two) = relay(Config::default());
        relay.handle_pair(Instant::ZERO, one, &pair(true, 11));
        relay.handle_pair(Instant::ZERO, two, &pair(true, 12));
        relay.handle_unpair(two, &TOKEN);
        relay.handle_pair(Instant::ZERO, two, &pair(false, 1 << 40));
        assert!(outputs(&mut relay).is_empty());
        assert_eq!(relay.stats().waiting, 1);
        relay.handle_unpair(one, &TOKEN);
        assert_eq!(relay.stats().waiting, 0);
    }

    #[test]
    fn who_waits_in_vain_is_forgotten() {
        let (mut relay, one, two) = relay(Config::default());
        relay.handle_pair(Instant::ZERO, one, &pair(true, 11));
        let at = relay.deadline().unwrap();
        relay.handle_deadline(at);
        assert_eq!((relay.stats().waiting, relay.stats().expired, relay.deadline()), (0, 1, None));
        relay.handle_pair(at, two, &pair(false, 12));
        assert!(outputs(&mut relay).is_empty());
    }

    #[test]
    fn nobody_takes_more_than_its_share() {
        let config = Config { max_sessions_per_key: 2, max_meetings_per_key: 3, ..Config::default() };
        let (mut relay, one, two) = relay(config);
        assert!(relay.open(key(1)).is_some());
        assert!(relay.open(key(1)).is_none());
        let mut now = Instant::ZERO;
        for number in 0..10_000_u64 {
            let mut token = [0; 32];
            token[..8].copy_from_slice(&number.to_le_bytes());
            relay.handle_pair(now, one, &Pair { token: Hash(token), ..pair(true, 11) });
            assert!(relay.stats().waiting <= 3);
            now = now.after(Duration::from_millis(1));
        }
        assert_eq!(relay.stats().refused, 1 + 9_997);
        // The others go on.
        relay.handle_pair(now, two, &pair(true, 12));
        assert_eq!(relay.stats().waiting, 4);
        relay.close(one);
        relay.close(two);
        assert!(relay.waiting.is_empty() && relay.expiries.is_empty());
        let again = relay.open(key(1)).unwrap();
        relay.handle_pair(now, again, &pair(true, 11));
        assert_eq!(relay.stats().waiting, 1, "what was given back can be used again");
    }

    #[test]
    fn a_meeting_whose_streams_cannot_be_opened_or_that_is_one_too_many_leaves_nothing() {
        let (mut relay, one, two) = relay(Config { max_joined: 1, ..Config::default() });
        for token in [TOKEN, Hash([8; 32])] {
            relay.handle_pair(Instant::ZERO, one, &Pair { token, ..pair(true, 11) });
            relay.handle_pair(Instant::ZERO, two, &Pair { token, ..pair(false, 12) });
        }
        let [Output::Join { join, .. }] = outputs(&mut relay)[..] else { panic!("one") };
        relay.joined(join, None);
        assert_eq!(outputs(&mut relay), [Output::Part(join)]);
        assert_eq!((relay.stats().joined, relay.stats().met), (0, 0));
    }
}
