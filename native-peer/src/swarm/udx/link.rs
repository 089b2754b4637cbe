//! Where a stream's packets go and from where they are taken.

use super::event::{Firewall, Remote, SocketId};
use core::net::SocketAddr;
use std::collections::VecDeque;

/// A stream's remote, its former remote, and its firewall.
#[derive(Debug)]
pub(super) struct Link {
    remote: Option<Remote>,
    former: Option<Remote>,
    /// Counts changes of the remote; packets remember which they went to.
    path: u32,
    firewall: Firewall,
    /// The present remote was heard from.
    heard: bool,
    admitted: VecDeque<(SocketId, SocketAddr)>,
    asked: Option<(SocketId, SocketAddr)>,
    held: VecDeque<Vec<u8>>,
    max_held: usize,
}

/// What to do with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Accept,
    Drop,
    /// It is held; the owner is to be asked.
    Ask,
}

impl Link {
    /// A link to nowhere.
    pub(super) fn new(firewall: Firewall, max_held: usize) -> Self {
        Self {
            remote: None,
            former: None,
            path: 0,
            firewall,
            heard: false,
            admitted: VecDeque::new(),
            asked: None,
            held: VecDeque::new(),
            max_held,
        }
    }

    /// Decides about a datagram.
    pub(super) fn admit(&mut self, socket: SocketId, from: SocketAddr, datagram: &[u8]) -> Admission {
        self.heard |= self.remote.is_some_and(|remote| (remote.socket, remote.address) == (socket, from));
        let own = [self.remote, self.former].into_iter().flatten().any(|remote| remote.socket == socket);
        if own || self.admitted.contains(&(socket, from)) {
            return Admission::Accept;
        }
        match self.firewall {
            Firewall::Accept => Admission::Accept,
            Firewall::Deny => Admission::Drop,
            Firewall::Ask if self.asked.is_some_and(|asked| asked != (socket, from)) => Admission::Drop,
            Firewall::Ask => {
                if self.held.len() < self.max_held {
                    self.held.push_back(datagram.to_vec());
                }
                if self.asked.replace((socket, from)).is_some() { Admission::Drop } else { Admission::Ask }
            }
        }
    }

    /// Takes the owner's answer; what was held of an admitted sender is given back.
    pub(super) fn answer(&mut self, admit: bool) -> VecDeque<Vec<u8>> {
        let held = core::mem::take(&mut self.held);
        match self.asked.take() {
            Some(sender) if admit => {
                self.admitted.push_back(sender);
                if self.admitted.len() > MAX_ADMITTED {
                    self.admitted.pop_front();
                }
                held
            }
            _ => VecDeque::new(),
        }
    }

    /// Sets the remote; the path number of packets that go there.
    pub(super) fn connect(&mut self, remote: Remote) -> u32 {
        self.former = self.remote.replace(remote);
        self.heard = false;
        self.path += u32::from(self.former.is_some());
        self.path
    }

    /// Forgets the former remote.
    pub(super) fn settle(&mut self) {
        self.former = None;
    }

    /// Where to send what belongs to `path`.
    pub(super) fn remote_of(&self, path: u32) -> Option<Remote> {
        if path == self.path { self.remote } else { self.former.or(self.remote) }
    }

    /// Whether the peer was heard from where we send to.
    pub(super) fn is_heard(&self) -> bool {
        self.heard
    }

    /// Where to send.
    pub(super) fn remote(&self) -> Option<Remote> {
        self.remote
    }
}

const MAX_ADMITTED: usize = 4;
