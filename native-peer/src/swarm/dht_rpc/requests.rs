//! Requests of ours that wait for an answer, and those that wait for their turn.

use super::nodes::Node;
use super::output::{QueryId, RequestId, SocketId};
use super::window::Window;
use bytes::Bytes;
use corestore_core::crypto::Hash;
use corestore_core::entropy::Entropy;
use corestore_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddrV4;

/// Why a request was made: who is told of its answer.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The layer above asked.
    User(RequestId),
    /// A query visits a node.
    Query(QueryId),
    /// Is this node still there? `seen` is the tick it was heard of before.
    Check { id: Hash, seen: u64 },
    /// As `Check`; if not, `new` takes its place.
    Swap { old: Hash, new: Box<Node>, seen: u64 },
    /// Is our server socket reachable?
    FirewallProbe,
    /// The same, asked once while we bootstrap.
    BootstrapProbe,
    /// Nobody waits for the answer.
    Hint,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) to: SocketAddrV4,
    pub(super) to_id: Option<Hash>,
    pub(super) socket: SocketId,
    pub(super) bytes: Bytes,
    /// Sendings beyond the first.
    pub(super) retries: u32,
    /// Given by the caller, not by what is known of the address.
    pub(super) timeout: Option<Duration>,
    pub(super) sent: u32,
    pub(super) created: Instant,
    /// It was not answered within its first time-out.
    pub(super) slow: bool,
    pub(super) purpose: Purpose,
    waiting: bool,
    deadline: Option<Instant>,
}

/// Every request under way, by the number that comes back in the answer.
#[derive(Debug)]
pub(super) struct Requests {
    by_tid: BTreeMap<u16, InFlight>,
    deadlines: BTreeSet<(Instant, u16)>,
    waiting: VecDeque<u16>,
    max_waiting: usize,
    window: Window,
}

impl InFlight {
    pub(super) fn new(to: SocketAddrV4, to_id: Option<Hash>, socket: SocketId, now: Instant, purpose: Purpose) -> Self {
        Self {
            to,
            to_id,
            socket,
            bytes: Bytes::new(),
            retries: 0,
            timeout: None,
            sent: 0,
            created: now,
            slow: false,
            purpose,
            waiting: false,
            deadline: None,
        }
    }
}

impl Requests {
    pub(super) fn new(max_window: usize, max_waiting: usize) -> Self {
        Self {
            by_tid: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            waiting: VecDeque::new(),
            max_waiting,
            window: Window::new(max_window),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_tid.len()
    }

    /// A number no request under way has, not to be foretold; `None` when there are far too many.
    pub(super) fn free_tid(&self, entropy: &mut Entropy) -> Option<u16> {
        if self.by_tid.len() >= MAX_IN_FLIGHT {
            return None;
        }
        let [low, high] = entropy.array();
        let first = u16::from_le_bytes([low, high]);
        (0..=u16::MAX).map(|step| first.wrapping_add(step)).find(|tid| !self.by_tid.contains_key(tid))
    }

    pub(super) fn insert(&mut self, tid: u16, request: InFlight) {
        self.by_tid.insert(tid, request);
    }

    pub(super) fn get_mut(&mut self, tid: u16) -> Option<&mut InFlight> {
        self.by_tid.get_mut(&tid)
    }

    /// True when the request may be sent now; else it waits for [`Requests::next_waiting`], or fails at its deadline,
    /// which is now, when too many wait already.
    pub(super) fn may_send(&mut self, now: Instant, tid: u16) -> bool {
        if !self.window.is_full() {
            return true;
        }
        if self.waiting.len() < self.max_waiting {
            if let Some(request) = self.by_tid.get_mut(&tid) {
                request.waiting = true;
                self.waiting.push_back(tid);
            }
        } else {
            if let Some(request) = self.by_tid.get_mut(&tid) {
                // That we are busy is no fault of the node's.
                (request.retries, request.sent, request.to_id) = (0, 1, None);
            }
            self.set_deadline(tid, now);
        }
        false
    }

    /// Counts a sending whose answer is due at `deadline`.
    pub(super) fn sent(&mut self, tid: u16, deadline: Instant) {
        self.window.sent();
        self.set_deadline(tid, deadline);
    }

    fn set_deadline(&mut self, tid: u16, deadline: Instant) {
        let Some(request) = self.by_tid.get_mut(&tid) else { return };
        if let Some(old) = request.deadline.replace(deadline) {
            self.deadlines.remove(&(old, tid));
        }
        self.deadlines.insert((deadline, tid));
    }

    /// The request with this number, if it was sent to `from`.
    pub(super) fn answered(&mut self, tid: u16, from: &SocketAddrV4) -> Option<InFlight> {
        self.by_tid.get(&tid).filter(|request| request.to == *from && request.sent > 0)?;
        self.remove(tid)
    }

    pub(super) fn remove(&mut self, tid: u16) -> Option<InFlight> {
        let request = self.by_tid.remove(&tid)?;
        if let Some(deadline) = request.deadline {
            self.deadlines.remove(&(deadline, tid));
        }
        if request.sent > 0 {
            self.window.answered();
        }
        Some(request)
    }

    /// Numbers of the requests made for something.
    pub(super) fn find(&self, wanted: impl Fn(&Purpose) -> bool) -> Vec<u16> {
        self.by_tid.iter().filter(|(_, request)| wanted(&request.purpose)).map(|(tid, _)| *tid).collect()
    }

    /// Removes every request.
    pub(super) fn drain(&mut self) -> Vec<InFlight> {
        self.deadlines.clear();
        self.waiting.clear();
        std::mem::take(&mut self.by_tid).into_values().collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// A request whose time is over, its deadline taken away.
    pub(super) fn expired(&mut self, now: Instant) -> Option<u16> {
        let (at, tid) = self.deadlines.first().copied().filter(|(at, _)| *at <= now)?;
        self.deadlines.remove(&(at, tid));
        if let Some(request) = self.by_tid.get_mut(&tid) {
            request.deadline = None;
        }
        Some(tid)
    }

    /// True while the window counts something or a request waits for it.
    pub(super) fn needs_slots(&self) -> bool {
        !self.waiting.is_empty() || !self.window.is_empty()
    }

    /// Begins the next slot of the window.
    pub(super) fn turn_window(&mut self) {
        self.window.turn();
    }

    /// A request whose turn to be sent has come.
    pub(super) fn next_waiting(&mut self) -> Option<u16> {
        while !self.window.is_full() {
            let tid = self.waiting.pop_front()?;
            if let Some(request) = self.by_tid.get_mut(&tid).filter(|request| request.waiting) {
                request.waiting = false;
                return Some(tid);
            }
        }
        None
    }
}

/// Numbers are 16 bits, and must stay easy to find and hard to guess.
const MAX_IN_FLIGHT: usize = 32 * 1024;
