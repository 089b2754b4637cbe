//! One topic that was joined (`hyperswarm/lib/peer-discovery.js`).

use crate::time::Instant;

/// How a topic is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinOptions {
    /// Be found by others.
    pub server: bool,
    /// Find others.
    pub client: bool,
    /// Connect to at most so many peers of the topic by ourselves.
    pub limit: usize,
}

impl Default for JoinOptions {
    fn default() -> Self {
        Self { server: true, client: true, limit: usize::MAX }
    }
}

/// A joined topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) options: JoinOptions,
    /// A lookup or an announcement is under way.
    pub(super) refreshing: bool,
    /// Another one is due as soon as it is over.
    pub(super) again: bool,
    /// It was announced, so that leaving takes it back.
    pub(super) announced: bool,
    pub(super) refresh_at: Option<Instant>,
    /// Refreshes in a row that ended without a connection to its peers.
    pub(super) alone: u32,
}

impl Topic {
    pub(super) fn new(options: JoinOptions) -> Self {
        Self { options, refreshing: false, again: false, announced: false, refresh_at: None, alone: 0 }
    }
}
