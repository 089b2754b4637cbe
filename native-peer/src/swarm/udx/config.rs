//! Every number a UDX machine obeys, in one place. Defaults are the reference's where the reference has one
//! (libudx `include/udx.h`, `src/udx.c`).

use corestore_core::time::Duration;

/// Limits and timings of one [`Udx`](super::Udx) machine and of each of its streams.
#[derive(Clone, Debug)]
pub struct Config {
    /// Streams open at once, lingering ones not counted.
    pub max_streams: usize,
    /// Bytes a stream keeps for its reader; advertised to the peer as the receive window.
    pub receive_window: u32,
    /// Packets a stream keeps that arrived ahead of a missing one.
    pub max_reordered_packets: usize,
    /// Bytes a stream takes from its writer before the first of them is sent; above this [`write`](super::Udx::write)
    /// takes nothing.
    pub unsent_limit: usize,
    /// Bytes a stream may have sent and not yet seen acknowledged, whatever the peer advertises.
    pub max_in_flight: u64,
    /// Packets a stream may have sent and not yet seen acknowledged.
    pub max_in_flight_packets: usize,
    /// Unordered messages queued per stream and direction.
    pub max_messages: usize,
    /// Datagrams held back per stream while its owner has not yet answered
    /// [`Event::Firewall`](super::Event::Firewall).
    pub max_held_datagrams: usize,
    /// Datagrams queued for all streams together by relaying and by closed streams.
    pub max_outbox: usize,
    /// Closed streams that still answer the peer's retransmissions.
    pub max_lingering: usize,
    /// How long they do.
    pub linger: Duration,
    /// IP packet size assumed to pass everywhere, in bytes, IP and UDP headers included.
    pub base_mtu: u16,
    /// Largest IP packet size probed for, in bytes.
    pub max_mtu: u16,
    /// Datagrams of one size handed out in one [`Transmit`](super::Transmit); 1 where the system cannot split them.
    pub max_segments: usize,
    /// First congestion window, in packets.
    pub initial_window_packets: u64,
    /// Shortest retransmission time-out.
    pub min_rto: Duration,
    /// Longest retransmission time-out.
    pub max_rto: Duration,
    /// Retransmission time-outs of one packet after which the stream is closed.
    pub max_timeouts: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_streams: 65_536,
            receive_window: 4 * 1024 * 1024,
            max_reordered_packets: 16_384,
            unsent_limit: 512 * 1024,
            max_in_flight: 16 * 1024 * 1024,
            max_in_flight_packets: 32_768,
            max_messages: 256,
            max_held_datagrams: 32,
            max_outbox: 1024,
            max_lingering: 4096,
            linger: Duration::from_secs(15),
            base_mtu: 1200,
            max_mtu: 1500,
            max_segments: 1,
            initial_window_packets: 10,
            min_rto: Duration::from_secs(1),
            max_rto: Duration::from_secs(30),
            max_timeouts: 6,
        }
    }
}
