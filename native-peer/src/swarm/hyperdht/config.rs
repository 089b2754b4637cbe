//! Every limit of a HyperDHT member, with its unit.

use corestore_core::time::Duration;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The nodes by which everybody joins the public network (`hyperdht/lib/constants.js`).
pub const BOOTSTRAP_NODES: [SocketAddrV4; 3] = [
    SocketAddrV4::new(Ipv4Addr::new(88, 99, 3, 86), 49_737),
    SocketAddrV4::new(Ipv4Addr::new(142, 93, 90, 113), 49_737),
    SocketAddrV4::new(Ipv4Addr::new(138, 68, 147, 8), 49_737),
];

/// How a member behaves beyond [`crate::swarm::dht_rpc::Config`]. The defaults are the reference's, except where a
/// field says otherwise.
#[derive(Clone, Debug)]
pub struct Config {
    /// Unix time of [`corestore_core::time::Instant::ZERO`], in ms: announcements may carry a date.
    pub unix_epoch: u64,
    /// Announcements kept for others.
    pub max_records: usize,
    /// Announcements kept under one target. The reference has no such limit.
    pub max_records_per_target: usize,
    /// How long an announcement is kept, at least two thirds and at most four thirds of this.
    pub record_age: Duration,
    /// Values kept for others, signed and plain each.
    pub max_values: usize,
    /// Bytes of values kept for others, signed and plain each. The reference has no such limit.
    pub max_value_bytes: usize,
    /// The largest value we keep, in bytes. The reference has no such limit.
    pub max_value: usize,
    /// How long a value is kept, as for announcements.
    pub value_age: Duration,
    /// How far in the future the date of an announcement may lie, in ms.
    pub max_bump_drift: u64,
    /// Requests of others passed on in a second. The reference has no such limit.
    pub max_relayed: u32,
    /// Handshakes of others answered in a second, all servers together. The reference has no such limit.
    pub max_handshakes: u32,
    /// Handshakes of others kept at once, all servers together. The reference has no such limit.
    pub max_incoming: usize,
    /// Callers followed in a second to the blind relay that they name. The reference has no such limit.
    pub max_relay_calls: u32,
    /// Callers met at once at blind relays that they name. The reference has no such limit.
    pub max_at_relay: usize,
    /// Connections being made at once.
    pub max_connecting: usize,
    /// How long a finished handshake is remembered, to answer its repetitions.
    pub handshake_memory: Duration,
    /// How long a peer may take from its handshake to its first packet or word on hole punching.
    pub handshake_timeout: Duration,
    /// How long a peer may take to be met at a blind relay.
    pub relay_timeout: Duration,
    /// How long a connection may take in all. The reference has no such limit.
    pub connect_timeout: Duration,
    /// Between two punches at a random NAT.
    pub random_punch_interval: Duration,
    /// Sockets opened to be hit by chance.
    pub birthday_sockets: usize,
    /// Pings to a server's relaying nodes.
    pub relay_ping_interval: Duration,
    /// Rounds of these pings until a server is announced anew.
    pub relay_pings: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            unix_epoch: 0,
            max_records: 65_536,
            max_records_per_target: 1024,
            record_age: Duration::from_secs(20 * 60),
            max_values: 32_768,
            max_value_bytes: 32 << 20,
            max_value: 2048,
            value_age: Duration::from_secs(48 * 60 * 60),
            max_bump_drift: 60_000,
            max_relayed: 2000,
            max_handshakes: 200,
            max_incoming: 1024,
            max_relay_calls: 8,
            max_at_relay: 64,
            max_connecting: 1024,
            handshake_memory: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            relay_timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(60),
            random_punch_interval: Duration::from_secs(20),
            birthday_sockets: 256,
            relay_ping_interval: Duration::from_secs(3),
            relay_pings: 100,
        }
    }
}
