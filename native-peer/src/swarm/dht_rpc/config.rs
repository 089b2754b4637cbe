//! Every limit of a node, with its unit.

use corestore_core::time::Duration;
use std::net::SocketAddrV4;

/// How a node behaves. The defaults are the reference's, except where a field says otherwise.
#[derive(Clone, Debug)]
pub struct Config {
    /// Nodes to begin with, already resolved.
    pub bootstrap: Vec<SocketAddrV4>,
    /// Nodes known from an earlier run, best first.
    pub nodes: Vec<SocketAddrV4>,
    /// `Some(false)`: a lasting node as soon as its address is known. `Some(true)`: never one. `None`: once it was
    /// stable for some 20 minutes and its port is open.
    pub ephemeral: Option<bool>,
    /// False when the server socket is known to be reachable from anywhere.
    pub firewalled: bool,
    /// Finds out at the start whether the server socket is reachable, rather than after some 20 minutes.
    pub quick_check: bool,
    /// Our address, when it is known beforehand (a bootstrap node's).
    pub known_address: Option<SocketAddrV4>,
    /// The port the server socket is bound to.
    pub server_port: u16,
    /// Nodes in a bucket of the routing table, and results of a query.
    pub k: usize,
    /// Requests of one query that are under way at once.
    pub concurrency: usize,
    /// Requests sent within one slot of the window.
    pub max_window: usize,
    /// Length of a slot of the window.
    pub window_slot: Duration,
    /// After that a token secret is replaced: a token holds for one to two such spans.
    pub token_span: Duration,
    /// Requests that wait for the window, at most; more fail at once.
    pub max_waiting: usize,
    /// How often a request is sent again.
    pub retries: u32,
    /// How often a query's request is sent again.
    pub query_retries: u32,
    /// Nodes one query asks, at most: lying nodes cannot keep it busy for ever.
    pub max_visits: usize,
    /// Queries under way at once, at most.
    pub max_queries: usize,
    /// Time-out towards an address whose round trip is not known.
    pub timeout: Duration,
    /// Bounds of the time-out towards an address whose round trip is known.
    pub adaptive_timeout: (Duration, Duration),
    /// Addresses whose round trip is remembered.
    pub max_round_trips: usize,
    /// The longest delay a delayed ping may ask for.
    pub max_ping_delay: Duration,
    /// Delayed pings that wait at once, at most.
    pub max_delayed_pings: usize,
    /// Down hints sent in one tick, at most.
    pub max_down_hints: usize,
    /// Length of a tick.
    pub tick: Duration,
    /// A gap between two ticks that means that the machine slept.
    pub sleep: Duration,
    /// Ticks without trouble until a node tries to become a lasting one.
    pub stable_ticks: u64,
    /// Ticks until it tries again.
    pub more_stable_ticks: u64,
    /// Idle ticks until the table is refreshed.
    pub refresh_ticks: u64,
    /// A node heard of within so many ticks is recent.
    pub recent_ticks: u64,
    /// A node known for so many ticks is old.
    pub old_ticks: u64,
    /// The largest datagram we take, in bytes; larger ones are dropped.
    pub max_datagram: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bootstrap: Vec::new(),
            nodes: Vec::new(),
            ephemeral: None,
            firewalled: true,
            quick_check: true,
            known_address: None,
            server_port: 0,
            k: 20,
            concurrency: 10,
            max_window: 80,
            window_slot: Duration::from_millis(750),
            token_span: Duration::from_millis(7500),
            max_waiting: 4096,
            retries: 3,
            query_retries: 5,
            max_visits: 400,
            max_queries: 1024,
            timeout: Duration::from_secs(1),
            adaptive_timeout: (Duration::from_millis(300), Duration::from_secs(4)),
            max_round_trips: 4096,
            max_ping_delay: Duration::from_secs(10),
            max_delayed_pings: 1024,
            max_down_hints: 50,
            tick: Duration::from_secs(5),
            sleep: Duration::from_secs(15),
            stable_ticks: 240,
            more_stable_ticks: 720,
            refresh_ticks: 60,
            recent_ticks: 12,
            old_ticks: 360,
            max_datagram: 4096,
        }
    }
}

impl Config {
    /// A bootstrap node reachable at `address`.
    pub fn bootstrapper(address: SocketAddrV4) -> Self {
        Self {
            ephemeral: Some(false),
            firewalled: false,
            known_address: Some(address),
            server_port: address.port(),
            ..Self::default()
        }
    }
}
