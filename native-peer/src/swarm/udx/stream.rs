//! One stream: both directions, its link, its timers. [`super::stream_input`] takes packets, [`super::stream_output`]
//! makes them.

use super::config::Config;
use super::event::{CloseReason, Firewall, MessageError, Remote, StreamError};
use super::link::Link;
use super::meter::Meter;
use super::receive_buffer::ReceiveBuffer;
use super::sender::{End, Sender};
use bytes::Bytes;
use corestore_core::time::{Duration, Instant};
use std::collections::VecDeque;

/// How to open a stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamOptions {
    /// Number of the first packet sent; the peer has to know it when it is not 0.
    pub seq: u32,
    /// Who may send from a socket the stream is not connected on.
    pub firewall: Firewall,
    /// Ask the peer for a sign of life after so long a silence; never when `None`.
    pub keep_alive: Option<Duration>,
}

/// What a stream has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Datagrams and their bytes received, relayed ones included.
    pub packets_received: u64,
    /// Bytes of them.
    pub bytes_received: u64,
    /// Datagrams sent, relayed ones included.
    pub packets_sent: u64,
    /// Bytes of them.
    pub bytes_sent: u64,
    /// Ordered packets sent again.
    pub retransmits: u64,
    /// Smoothed round trip; `None` before the first acknowledgement.
    pub rtt: Option<Duration>,
    /// Congestion window in bytes.
    pub window: u64,
    /// Bytes in flight.
    pub in_flight: u64,
    /// Estimated bandwidth of the path in bytes a second.
    pub bandwidth: u64,
    /// Largest IP packet known to pass, in bytes.
    pub mtu: u16,
}

/// What the owner has to be told; each kind once until it acts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signals {
    pub(super) readable: Signal,
    pub(super) writable: Signal,
    pub(super) message: Signal,
    pub(super) finished: Signal,
    pub(super) remote_changed: Signal,
    pub(super) closed: Signal,
}

/// One kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Signal {
    #[default]
    Quiet,
    Raised,
    Told,
}

impl Signal {
    /// Raises it, unless it has been told.
    pub(super) fn raise(&mut self) {
        if *self == Self::Quiet {
            *self = Self::Raised;
        }
    }

    /// Whether it is to be told now.
    pub(super) fn take(&mut self) -> bool {
        let raised = *self == Self::Raised;
        if raised {
            *self = Self::Told;
        }
        raised
    }
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) link: Link,
    pub(super) sender: Sender,
    pub(super) receive: ReceiveBuffer,
    pub(super) signals: Signals,
    pub(super) closed: Option<CloseReason>,
    pub(super) stats: StreamStats,
    pub(super) messages_in: VecDeque<Bytes>,
    pub(super) messages_out: VecDeque<Bytes>,
    pub(super) ack_due: bool,
    pub(super) heartbeat_due: bool,
    pub(super) destroy_due: bool,
    /// Window last told to the peer.
    pub(super) advertised: u32,
    /// First packet number that belongs to the new remote, while packets to the former are in flight.
    pub(super) changing: Option<u64>,
    pub(super) relay_to: Option<u32>,
    /// What it passes on counts here.
    pub(super) meter: Option<Meter>,
    pub(super) timers: StreamTimers,
    /// Where the machine keeps this stream: in its queue of the ready, and in its list of deadlines.
    pub(super) queued: bool,
    pub(super) registered: Option<Instant>,
}

/// Timers beside those of the sender.
#[derive(Debug, Default)]
pub(super) struct StreamTimers {
    pub(super) keep_alive: Option<Duration>,
    pub(super) keep_alive_at: Option<Instant>,
    pub(super) window_probe_at: Option<Instant>,
    pub(super) window_probes: u32,
    pub(super) paced_until: Option<Instant>,
    /// When the peer is greeted again, and how often it was.
    pub(super) greet_at: Option<Instant>,
    pub(super) greetings: u8,
}

impl Stream {
    /// A stream that is not connected.
    pub(super) fn new(options: StreamOptions, now: Instant, config: &Config, first_cycle: usize) -> Self {
        Self {
            link: Link::new(options.firewall, config.max_held_datagrams),
            sender: Sender::new(u64::from(options.seq), now, config, first_cycle),
            receive: ReceiveBuffer::new(0, config.receive_window, config.max_reordered_packets),
            signals: Signals::default(),
            closed: None,
            stats: StreamStats::default(),
            messages_in: VecDeque::new(),
            messages_out: VecDeque::new(),
            ack_due: false,
            heartbeat_due: false,
            destroy_due: false,
            advertised: config.receive_window,
            changing: None,
            relay_to: None,
            meter: None,
            timers: StreamTimers { keep_alive: options.keep_alive, ..StreamTimers::default() },
            queued: false,
            registered: None,
        }
    }

    /// Connects to `remote`, whose first packet has number `seq`.
    pub(super) fn connect(
        &mut self,
        now: Instant,
        remote: Remote,
        seq: Option<u32>,
        config: &Config,
    ) -> Result<(), StreamError> {
        self.check_open()?;
        if self.link.remote().is_some() {
            return Err(StreamError::AlreadyConnected);
        }
        if remote.address.port() == 0 {
            return Err(StreamError::NoPort(remote.address));
        }
        if let Some(seq) = seq {
            self.receive.start_at(u64::from(seq));
            self.sender.window_from.0 = u64::from(seq);
        }
        let path = self.link.connect(remote);
        self.sender.change_path(path, remote.address.is_ipv6(), config);
        self.rearm_keep_alive(now);
        Ok(())
    }

    /// Shows the peer that we are here, until it is heard.
    pub(super) fn greet(&mut self, now: Instant) -> Result<(), StreamError> {
        self.check_open()?;
        if self.link.remote().is_none() {
            return Err(StreamError::NotConnected);
        }
        if self.stats.packets_received == 0 {
            self.heartbeat_due = true;
            self.timers.greet_at = Some(now.after(self.sender.rtt.rto()));
        }
        Ok(())
    }

    /// Greets the peer again when it is time; false when it never answered.
    fn greet_again(&mut self, now: Instant, config: &Config) -> bool {
        if self.timers.greet_at.take_if(|at| *at <= now).is_none() || self.stats.packets_received > 0 {
            return true;
        }
        self.heartbeat_due = true;
        self.timers.greetings = self.timers.greetings.saturating_add(1);
        let wait = self.sender.rtt.rto() * 2u32.saturating_pow(u32::from(self.timers.greetings));
        self.timers.greet_at = Some(now.after(wait.min(config.max_rto)));
        self.timers.greetings < config.max_timeouts
    }

    /// Sends to another remote from now on; what is in flight to the former is still repeated there.
    pub(super) fn change_remote(&mut self, remote: Remote, config: &Config) -> Result<(), StreamError> {
        self.check_open()?;
        if self.link.remote().is_none() {
            return Err(StreamError::NotConnected);
        }
        if remote.address.port() == 0 {
            return Err(StreamError::NoPort(remote.address));
        }
        let path = self.link.connect(remote);
        self.sender.change_path(path, remote.address.is_ipv6(), config);
        self.signals.remote_changed = Signal::Quiet;
        self.changing = Some(self.sender.ledger.next());
        // The peer may know us only by the former address: let it see the new one at once.
        self.heartbeat_due = true;
        Ok(())
    }

    /// Takes what fits of `bytes`; how much that is.
    pub(super) fn write(&mut self, now: Instant, bytes: &mut Bytes, config: &Config) -> Result<usize, StreamError> {
        self.check_open()?;
        if self.sender.end != End::Open {
            return Err(StreamError::Ended);
        }
        let length = bytes.len().min(config.unsent_limit.saturating_sub(self.sender.buffer.unsent()));
        self.sender.write(bytes.split_to(length));
        if self.sender.buffer.unsent() >= config.unsent_limit {
            self.signals.writable = Signal::Quiet;
        }
        self.probe_closed_window(now);
        Ok(length)
    }

    /// Ends the sending direction after what has been written.
    pub(super) fn end(&mut self) -> Result<(), StreamError> {
        self.check_open()?;
        if self.sender.end != End::Open {
            return Err(StreamError::Ended);
        }
        self.sender.end = End::Queued;
        Ok(())
    }

    /// Queues a message.
    pub(super) fn send_message(&mut self, message: Bytes, config: &Config) -> Result<(), MessageError> {
        self.check_open()?;
        if self.link.remote().is_none() {
            return Err(StreamError::NotConnected.into());
        }
        let limit = self.sender.mtu.payload();
        if message.len() > limit {
            return Err(MessageError::TooLarge { size: message.len(), limit });
        }
        if self.messages_out.len() >= config.max_messages {
            return Err(MessageError::QueueFull);
        }
        self.messages_out.push_back(message);
        Ok(())
    }

    /// Closes the stream from this side.
    pub(super) fn destroy(&mut self) {
        if self.closed.is_none() {
            self.destroy_due = self.link.remote().is_some() && self.relay_to.is_none();
            self.close(CloseReason::Destroyed);
        }
    }

    /// Closes the stream; what has arrived in order stays.
    pub(super) fn close(&mut self, reason: CloseReason) {
        if self.closed.is_none() {
            self.closed = Some(reason);
            self.sender.clear();
            self.receive.clear_ahead();
            self.messages_out.clear();
            self.heartbeat_due = false;
            self.timers = StreamTimers::default();
            self.signals.closed.raise();
            self.signals.readable.raise();
            self.signals.writable.raise();
        }
    }

    /// Bytes were taken by the reader: tells the peer when the window has grown much.
    pub(super) fn after_read(&mut self) {
        let (window, full) = (self.receive.window(), self.receive.full_window());
        if self.closed.is_none() && window.saturating_sub(self.advertised) >= full / 2 {
            self.ack_due = true;
        }
        if self.receive.readable() == 0 && !self.receive.is_complete() && self.closed.is_none() {
            self.signals.readable = Signal::Quiet;
        }
    }

    /// Lets time pass.
    pub(super) fn on_time(&mut self, now: Instant, config: &Config) {
        if self.closed.is_some() {
            return;
        }
        if !self.sender.on_time(now, config) || !self.greet_again(now, config) {
            self.close(CloseReason::TimedOut);
            return;
        }
        if self.timers.window_probe_at.take_if(|at| *at <= now).is_some() && self.sender.is_window_closed() {
            self.heartbeat_due = true;
            self.timers.window_probes += 1;
            let wait =
                (self.sender.rtt.rto() * 2u32.saturating_pow(self.timers.window_probes.min(5))).min(config.max_rto);
            self.timers.window_probe_at = Some(now.after(wait));
        }
        if self.timers.keep_alive_at.take_if(|at| *at <= now).is_some() {
            self.heartbeat_due |= self.sender.ledger.is_empty();
            self.rearm_keep_alive(now);
        }
        self.timers.paced_until.take_if(|at| *at <= now);
    }

    /// When [`Stream::on_time`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let StreamTimers { keep_alive_at, window_probe_at, paced_until, greet_at, .. } = self.timers;
        let own = [keep_alive_at, window_probe_at, paced_until, greet_at];
        own.into_iter().chain([self.sender.timers.next()]).flatten().min()
    }

    /// Starts the wait for the next keep-alive again.
    pub(super) fn rearm_keep_alive(&mut self, now: Instant) {
        self.timers.keep_alive_at = self.timers.keep_alive.map(|wait| now.after(wait));
    }

    /// Starts to probe when the peer's window is closed, and stops when it is open.
    pub(super) fn probe_closed_window(&mut self, now: Instant) {
        if !self.sender.is_window_closed() {
            (self.timers.window_probe_at, self.timers.window_probes) = (None, 0);
        } else if self.timers.window_probe_at.is_none() {
            self.timers.window_probe_at = Some(now.after(self.sender.rtt.rto()));
        }
    }

    /// Forgets the former remote when nothing in flight belongs to it and the peer speaks from the new one.
    pub(super) fn settle_remote(&mut self) {
        let left = self.changing.is_some_and(|first| self.sender.ledger.first() >= first);
        if left && self.link.is_heard() {
            self.changing = None;
            self.link.settle();
            self.signals.remote_changed.raise();
        }
    }

    /// Figures of this moment.
    pub(super) fn stats(&self) -> StreamStats {
        StreamStats {
            retransmits: self.sender.retransmits,
            rtt: self.sender.rtt.smoothed(),
            window: self.sender.bbr.window(),
            in_flight: self.sender.ledger.in_flight(),
            bandwidth: self.sender.bbr.bandwidth(),
            mtu: self.sender.mtu.size(),
            ..self.stats
        }
    }

    pub(super) fn check_open(&self) -> Result<(), StreamError> {
        self.closed.map_or(Ok(()), |reason| Err(StreamError::Closed(reason)))
    }
}
