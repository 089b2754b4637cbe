//! What comes out of a swarm, and the names it gives.

use super::nearby::Tag;
use crate::crypto::{Hash, PublicKey};
use alloc::vec::Vec;
use core::net::SocketAddrV4;

/// Names a connection, from its first try to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(super) u64);

/// Something the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Look the topic up, tell what is found by [`super::Hyperswarm::found`], and the end by [`super::Hyperswarm::refreshed`].
    Lookup(Hash),
    /// The same, and announce it.
    Announce(Hash),
    /// Take the announcement back.
    Unannounce(Hash),
    /// Tell the local network these tags in place of earlier ones; nothing when there are none.
    TellNearby(Vec<Tag>),
    /// Connect; [`super::Hyperswarm::connected`] or [`super::Hyperswarm::closed`] follows.
    Connect {
        /// Its name.
        link: LinkId,
        /// To whom.
        peer: PublicKey,
        /// Nodes that may reach it; itself, when it was heard of on the local network.
        relay_addresses: Vec<SocketAddrV4>,
        /// No hole could be punched before: use a blind relay.
        relay: bool,
    },
    /// End a connection, or stop trying. No [`super::Hyperswarm::closed`] is expected.
    Close(LinkId),
}

/// What becomes of a peer's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Take it.
    Admitted(LinkId),
    /// There is a connection to this peer that stays.
    Duplicate,
    /// It is unwanted.
    Refused,
}

/// Figures of this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Topics joined.
    pub topics: usize,
    /// Connections that stand.
    pub connections: usize,
    /// Connections being made.
    pub connecting: usize,
    /// Peers that wait to be dialled.
    pub queued: usize,
    /// Peers known.
    pub known: usize,
    /// Nothing is under way: every topic was looked up, and every peer found was tried.
    pub settled: bool,
}
