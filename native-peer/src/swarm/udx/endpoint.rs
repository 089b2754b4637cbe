//! The machine: streams by id over any number of sockets.

use super::config::Config;
use super::event::{CloseReason, Event, MessageError, OpenError, Remote, SocketId, StreamError, StreamId};
use super::linger::Lingering;
use super::outbox::Outbox;
use super::stream::{Stream, StreamOptions, StreamStats};
use bytes::Bytes;
use core::net::SocketAddr;
use corestore_core::entropy::Entropy;
use corestore_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A datagram to send, or several of one size to one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The socket to send from.
    pub socket: SocketId,
    /// Where to send.
    pub to: SocketAddr,
    /// Bytes put in the buffer.
    pub len: usize,
    /// Bytes of each datagram when there are several; the last may be shorter.
    pub segment_size: Option<usize>,
}

/// Reliable ordered streams and unordered messages over UDP, as udx-native speaks them.
///
/// A deterministic value: it does no I/O and reads no clock. Give it what happens
/// ([`handle_datagram`](Self::handle_datagram), [`handle_timeout`](Self::handle_timeout), the commands), then take
/// what comes of it: [`poll_transmit`](Self::poll_transmit) until `None`, [`poll_event`](Self::poll_event) until
/// `None`, and [`next_deadline`](Self::next_deadline) last. After any other call all three may have
/// something new. Several datagrams may be given before polling; they are then acknowledged together.
#[derive(Debug)]
pub struct Udx {
    pub(super) config: Config,
    entropy: Entropy,
    pub(super) streams: BTreeMap<u32, Stream>,
    pub(super) lingering: Lingering,
    pub(super) outbox: Outbox,
    /// Which streams (second) are relayed to which (first).
    pub(super) relays: BTreeSet<(u32, u32)>,
    ready: VecDeque<u32>,
    deadlines: BTreeSet<(Instant, u32)>,
    pub(super) events: VecDeque<Event>,
}

impl Udx {
    /// A machine without streams. `seed` decides the stream ids it proposes and staggers bandwidth probes.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            lingering: Lingering::new(config.max_lingering),
            outbox: Outbox::new(config.max_outbox),
            config,
            entropy: Entropy::from_seed(seed),
            streams: BTreeMap::new(),
            relays: BTreeSet::new(),
            ready: VecDeque::new(),
            deadlines: BTreeSet::new(),
            events: VecDeque::new(),
        }
    }

    /// A random id that no stream has.
    pub fn unused_id(&mut self) -> StreamId {
        loop {
            let id = u32::from_le_bytes(self.entropy.array());
            if !self.streams.contains_key(&id) {
                return StreamId(id);
            }
        }
    }

    /// Opens a stream under an id of the caller's choice.
    ///
    /// # Errors
    /// [`OpenError`] when the id is taken or there are too many streams.
    pub fn open(&mut self, now: Instant, id: StreamId, options: StreamOptions) -> Result<(), OpenError> {
        if self.streams.len() >= self.config.max_streams {
            return Err(OpenError::TooManyStreams(self.config.max_streams));
        }
        if self.streams.contains_key(&id.0) {
            return Err(OpenError::InUse(id));
        }
        self.lingering.remove(id.0);
        let first_cycle = usize::from(self.entropy.array::<1>()[0]);
        self.streams.insert(id.0, Stream::new(options, now, &self.config, first_cycle));
        Ok(())
    }

    /// Connects a stream. `seq` is the number of the peer's first packet when it is not 0.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn connect(&mut self, now: Instant, id: StreamId, remote: Remote, seq: Option<u32>) -> Result<(), StreamError> {
        self.with(id, |stream, config| stream.connect(now, remote, seq, config))
    }

    /// Shows the peer of a connected stream that we are here, again and again until something is heard of it: it may
    /// wait for our first packet, and the stream's owner may have nothing to say. A peer that never answers is given up
    /// as one that acknowledges nothing ([`CloseReason::TimedOut`]).
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn greet(&mut self, now: Instant, id: StreamId) -> Result<(), StreamError> {
        self.with(id, |stream, _| stream.greet(now))
    }

    /// Moves a connected stream to another address or socket. [`Event::RemoteChanged`] tells when nothing is under
    /// way to the former one, and the peer speaks from the new one.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn change_remote(&mut self, id: StreamId, remote: Remote) -> Result<(), StreamError> {
        self.with(id, |stream, config| stream.change_remote(remote, config))
    }

    /// Takes as many of `bytes` as there is room for and leaves the rest in it; how many were taken. When that fills
    /// the room, [`Event::Writable`] tells when half of it is free again.
    ///
    /// # Errors
    /// [`StreamError`] when the stream is closed or ended.
    pub fn write(&mut self, now: Instant, id: StreamId, bytes: &mut Bytes) -> Result<usize, StreamError> {
        self.with(id, |stream, config| stream.write(now, bytes, config))
    }

    /// Bytes that [`write`](Self::write) would take now; 0 for a closed or unknown stream.
    pub fn writable(&self, id: StreamId) -> usize {
        let open = self.streams.get(&id.0).filter(|stream| stream.closed.is_none());
        open.map_or(0, |stream| self.config.unsent_limit.saturating_sub(stream.sender.buffer.unsent()))
    }

    /// Ends the sending direction after what has been written. [`Event::Finished`] tells when the peer has it all.
    ///
    /// # Errors
    /// [`StreamError`] when the stream is closed or ended already.
    pub fn end(&mut self, id: StreamId) -> Result<(), StreamError> {
        self.with(id, |stream, _| stream.end())
    }

    /// Queues an unordered, unreliable message: one datagram.
    ///
    /// # Errors
    /// [`MessageError`]; then nothing is sent.
    pub fn send_message(&mut self, id: StreamId, message: Bytes) -> Result<(), MessageError> {
        let stream = self.streams.get_mut(&id.0).ok_or(StreamError::Unknown(id))?;
        stream.send_message(message, &self.config)?;
        self.touch(id.0);
        Ok(())
    }

    /// The next message that has arrived.
    pub fn receive_message(&mut self, id: StreamId) -> Option<Bytes> {
        let stream = self.streams.get_mut(&id.0)?;
        let message = stream.messages_in.pop_front();
        if message.is_none() {
            stream.signals.message = super::stream::Signal::Quiet;
        }
        message
    }

    /// Copies bytes that have arrived in order to `out`; how many. 0 means none now, or, when
    /// [`is_ended`](Self::is_ended), none any more. Reading reopens the window for the peer.
    pub fn read(&mut self, id: StreamId, out: &mut [u8]) -> usize {
        let Some(stream) = self.streams.get_mut(&id.0) else { return 0 };
        let length = stream.receive.read(out);
        stream.after_read();
        if stream.ack_due {
            self.touch(id.0);
        }
        length
    }

    /// The next bytes in order, uncopied; else as [`read`](Self::read).
    pub fn read_chunk(&mut self, id: StreamId) -> Option<Bytes> {
        let stream = self.streams.get_mut(&id.0)?;
        let chunk = stream.receive.read_chunk();
        stream.after_read();
        if stream.ack_due {
            self.touch(id.0);
        }
        chunk
    }

    /// Whether the peer has ended its direction and everything of it has been read.
    pub fn is_ended(&self, id: StreamId) -> bool {
        let stream = self.streams.get(&id.0);
        stream.is_some_and(|stream| stream.receive.is_complete() && stream.receive.readable() == 0)
    }

    /// Whether the peer has everything that was written, and the end.
    pub fn is_finished(&self, id: StreamId) -> bool {
        let finished = |stream: &Stream| stream.sender.is_finished() || stream.closed == Some(CloseReason::Finished);
        self.streams.get(&id.0).is_some_and(finished)
    }

    /// Why a stream is closed; `None` while it is open or unknown.
    pub fn close_reason(&self, id: StreamId) -> Option<CloseReason> {
        self.streams.get(&id.0)?.closed
    }

    /// Where a stream sends to, once connected.
    pub fn remote(&self, id: StreamId) -> Option<Remote> {
        self.streams.get(&id.0)?.link.remote()
    }

    /// Figures of a stream.
    pub fn stats(&self, id: StreamId) -> Option<StreamStats> {
        self.streams.get(&id.0).map(Stream::stats)
    }

    /// Resets a stream. What has arrived can still be read until [`release`](Self::release).
    pub fn destroy(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id.0) {
            stream.destroy();
            self.close_relays(id.0);
            self.touch(id.0);
        }
    }

    /// Forgets a stream; one that is not closed is destroyed. No event of it comes after this.
    pub fn release(&mut self, now: Instant, id: StreamId) {
        self.destroy(id);
        let mut out = Vec::new();
        let Some(mut stream) = self.streams.remove(&id.0) else { return };
        if let Some(deadline) = stream.registered {
            self.deadlines.remove(&(deadline, id.0));
        }
        if let Some(other) = stream.relay_to {
            self.relays.remove(&(other, id.0));
        }
        while let Some(batch) = stream.transmit(now, &self.config, &mut out) {
            self.outbox.push(batch.remote.socket, batch.remote.address, Bytes::copy_from_slice(&out));
            out.clear();
        }
        if let Some(entry) = stream.last_word(now.after(self.config.linger)) {
            self.lingering.insert(id.0, entry);
        }
    }

    /// Changes how many datagrams of one size a [`Transmit`] may hold.
    pub fn set_max_segments(&mut self, segments: usize) {
        self.config.max_segments = segments.max(1);
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.lingering.expire(now);
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.pop_first();
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.registered = None;
            stream.on_time(now, &self.config);
            if stream.closed.is_some() {
                self.close_relays(id);
            }
            self.touch(id);
        }
    }

    /// The next datagram, or several of one size, written to `buffer`, which is cleared first. Poll until `None`.
    #[must_use = "what is not sent is lost"]
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Transmit> {
        buffer.clear();
        if let Some(transmit) = self.outbox.poll(self.config.max_segments, buffer) {
            return Some(transmit);
        }
        while let Some(id) = self.ready.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            let batch = stream.transmit(now, &self.config, buffer);
            stream.queued = false;
            self.settle(id, batch.is_some());
            if let Some(batch) = batch {
                let Remote { socket, address, .. } = batch.remote;
                return Some(Transmit { socket, to: address, len: buffer.len(), segment_size: batch.segment });
            }
        }
        None
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) may have something.
    pub fn has_transmits(&self) -> bool {
        !self.ready.is_empty() || !self.outbox.is_empty()
    }

    /// The next event. Poll until `None`.
    #[must_use = "events tell what to do next"]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called at the latest. Ask after everything else has
    /// been polled.
    pub fn next_deadline(&self) -> Option<Instant> {
        let streams = self.deadlines.first().map(|&(deadline, _)| deadline);
        [streams, self.lingering.deadline()].into_iter().flatten().min()
    }

    /// Applies `change` to a stream and takes note of what comes of it.
    fn with<T>(
        &mut self,
        id: StreamId,
        change: impl FnOnce(&mut Stream, &Config) -> Result<T, StreamError>,
    ) -> Result<T, StreamError> {
        let stream = self.streams.get_mut(&id.0).ok_or(StreamError::Unknown(id))?;
        let result = change(stream, &self.config)?;
        self.touch(id.0);
        Ok(result)
    }

    /// Takes note of what a change of a stream brought: events, deadlines, perhaps datagrams.
    pub(super) fn touch(&mut self, id: u32) {
        self.settle(id, true);
    }

    fn settle(&mut self, id: u32, ready: bool) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if ready && !stream.queued {
            stream.queued = true;
            self.ready.push_back(id);
        }
        if let Some(deadline) = stream.deadline()
            && stream.registered.is_none_or(|registered| deadline < registered)
        {
            if let Some(former) = stream.registered.replace(deadline) {
                self.deadlines.remove(&(former, id));
            }
            self.deadlines.insert((deadline, id));
        }
        tell(stream, StreamId(id), &mut self.events);
    }
}

fn tell(stream: &mut Stream, id: StreamId, events: &mut VecDeque<Event>) {
    let signals = &mut stream.signals;
    let raised = [
        (signals.readable.take(), Event::Readable(id)),
        (signals.writable.take(), Event::Writable(id)),
        (signals.message.take(), Event::Message(id)),
        (signals.finished.take(), Event::Finished(id)),
        (signals.remote_changed.take(), Event::RemoteChanged(id)),
    ];
    events.extend(raised.into_iter().filter(|(raised, _)| *raised).map(|(_, event)| event));
    if signals.closed.take()
        && let Some(reason) = stream.closed
    {
        events.push_back(Event::Closed(id, reason));
    }
}
