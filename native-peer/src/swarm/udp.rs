//! The UDP driver: sockets, clock and tasks around the [`Udx`] machine. It holds no protocol.
//!
//! Datagrams that are not UDX's go to whoever holds the [`Receiver`](mpsc::Receiver) made with the driver; he answers
//! with [`Udp::send`]. One task a socket receives, one task keeps the time; all of them share the machine under a
//! lock that is never held across an await.

use super::udp_socket::{ReceiveMemory, Socket};
use super::udx::{CloseReason, Config, Event, OpenError, SocketId, StreamId, StreamOptions, Transmit, Udx};
use super::udx_stream::UdxStream;
use bytes::Bytes;
use corestore_core::time::Instant;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// A datagram that is not UDX's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The socket it came in on.
    pub socket: SocketId,
    /// Who sent it; an IPv4 address is never in its IPv6 form.
    pub from: SocketAddr,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Handle of the driver. Clones share it; when the last one and the last stream are gone, its tasks end.
#[derive(Clone, Debug)]
pub struct Udp {
    pub(super) shared: Arc<Shared>,
    /// Ends the tasks when the last handle goes.
    _alive: Arc<Alive>,
}

/// What handles and tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    epoch: std::time::Instant,
    /// Wakes the time-keeper: something is to be sent, or a deadline came nearer.
    changed: Notify,
}

/// The machine and what the tasks know beside it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) udx: Udx,
    pub(super) waiting: BTreeMap<u32, Waiting>,
    sockets: BTreeMap<u32, Arc<Socket>>,
    next_socket: u32,
    datagrams: mpsc::Sender<Datagram>,
    dropped: u64,
    memory: ReceiveMemory,
    buffer: Vec<u8>,
    /// A datagram that a socket had no room for; until it has, nothing else is sent.
    blocked: Option<(Transmit, Vec<u8>)>,
    /// Deadline the time-keeper sleeps until.
    armed: Option<Instant>,
    closed: bool,
}

/// Who waits for what of one stream.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    pub(super) others: Vec<Waker>,
    pub(super) question: Option<(SocketId, SocketAddr)>,
    /// The stream runs by another way than before.
    pub(super) moved: bool,
}

#[derive(Debug)]
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.sockets.values().for_each(|socket| socket.close());
        self.0.changed.notify_one();
    }
}

impl Udp {
    /// A driver without sockets, inside a tokio runtime, and the datagrams that are not UDX's. When more than
    /// `backlog` of them wait, further ones are dropped. `seed` is fresh randomness.
    pub fn new(config: Config, seed: [u8; 32], backlog: usize) -> (Self, mpsc::Receiver<Datagram>) {
        let (sender, receiver) = mpsc::channel(backlog.max(1));
        let state = State {
            udx: Udx::new(config, seed),
            waiting: BTreeMap::new(),
            sockets: BTreeMap::new(),
            next_socket: 0,
            datagrams: sender,
            dropped: 0,
            memory: ReceiveMemory::default(),
            buffer: Vec::new(),
            blocked: None,
            armed: None,
            closed: false,
        };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), epoch: std::time::Instant::now(), changed: Notify::new() });
        tokio::spawn(keep_time(Arc::clone(&shared)));
        let alive = Arc::new(Alive(Arc::clone(&shared)));
        (Self { shared, _alive: alive }, receiver)
    }

    /// Binds a socket; port 0 asks for any. `[::]` takes IPv4 too.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(&self, address: SocketAddr) -> io::Result<(SocketId, SocketAddr)> {
        let id = SocketId(self.shared.lock().next_socket);
        Ok((id, self.bind_as(id, address)?))
    }

    /// Binds a socket under a number of the caller's choice, which no open one has.
    ///
    /// # Errors
    /// What the system says; `AlreadyExists` when the number is taken.
    pub fn bind_as(&self, id: SocketId, address: SocketAddr) -> io::Result<SocketAddr> {
        let mut state = self.shared.lock();
        if state.sockets.contains_key(&id.0) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let socket = Arc::new(Socket::bind(id, address)?);
        let local = socket.local_address()?;
        state.next_socket = state.next_socket.max(id.0.saturating_add(1));
        let segments = state.sockets.values().chain([&socket]).map(|socket| socket.max_segments()).min();
        state.udx.set_max_segments(segments.unwrap_or(1));
        state.sockets.insert(id.0, Arc::clone(&socket));
        tokio::spawn(receive(Arc::clone(&self.shared), socket));
        Ok(local)
    }

    /// Closes a socket. Streams that send from it get no answer any more.
    pub fn close(&self, socket: SocketId) {
        if let Some(socket) = self.shared.lock().sockets.remove(&socket.0) {
            socket.close();
        }
    }

    /// Sends a datagram that is not UDX's, with another time to live when one is given. It is lost, not queued, when
    /// the socket has no room.
    ///
    /// # Errors
    /// What the system says; `NotFound` when there is no such socket.
    pub fn send(&self, socket: SocketId, to: SocketAddr, bytes: &[u8], ttl: Option<u32>) -> io::Result<()> {
        let state = self.shared.lock();
        let socket = state.sockets.get(&socket.0).ok_or(io::ErrorKind::NotFound)?;
        socket.send_with_ttl(to, bytes, ttl)
    }

    /// Where a socket is bound.
    pub fn local_address(&self, socket: SocketId) -> Option<SocketAddr> {
        self.shared.lock().sockets.get(&socket.0)?.local_address().ok()
    }

    /// A random stream id that is not in use.
    pub fn unused_id(&self) -> StreamId {
        self.shared.lock().udx.unused_id()
    }

    /// Opens a stream that is not yet connected.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, id: StreamId, options: StreamOptions) -> Result<UdxStream, OpenError> {
        let mut state = self.shared.lock();
        state.udx.open(self.shared.now(), id, options)?;
        state.waiting.insert(id.0, Waiting::default());
        Ok(UdxStream::new(self.clone(), id))
    }

    /// Datagrams that were dropped because nobody took them.
    pub fn dropped(&self) -> u64 {
        self.shared.lock().dropped
    }
}

impl Shared {
    /// The machine. Nothing under this lock awaits.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds since the driver began.
    pub(super) fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// After a command: has the time-keeper send and sleep anew.
    pub(super) fn notify(&self) {
        self.changed.notify_one();
    }

    /// Sends what the machine has and tells who waits; rearms the time-keeper when a deadline came nearer.
    fn drain(&self, state: &mut State) {
        self.flush(state);
        state.tell();
        let deadline = state.udx.next_deadline();
        if deadline.is_some_and(|deadline| state.armed.is_none_or(|armed| deadline < armed)) {
            self.changed.notify_one();
        }
    }

    fn flush(&self, state: &mut State) {
        if let Some((transmit, bytes)) = state.blocked.take() {
            state.send(transmit, &bytes);
        }
        let mut buffer = core::mem::take(&mut state.buffer);
        while state.blocked.is_none()
            && let Some(transmit) = state.udx.poll_transmit(self.now(), &mut buffer)
        {
            state.send(transmit, &buffer);
        }
        state.buffer = buffer;
    }
}

impl State {
    fn send(&mut self, transmit: Transmit, bytes: &[u8]) {
        let Some(socket) = self.sockets.get(&transmit.socket.0) else { return };
        match socket.send(transmit.to, bytes, transmit.segment_size) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = Some((transmit, bytes.to_vec()));
            }
            // A datagram the system refuses is a datagram lost; the machine finds out.
            Err(_) => {
                let segments = socket.max_segments();
                self.udx.set_max_segments(segments);
            }
            Ok(()) => {}
        }
    }

    fn tell(&mut self) {
        while let Some(event) = self.udx.poll_event() {
            let (Event::Readable(id)
            | Event::Writable(id)
            | Event::Message(id)
            | Event::Finished(id)
            | Event::RemoteChanged(id)
            | Event::Closed(id, _)
            | Event::Firewall { stream: id, .. }) = event;
            if let Some(waiting) = self.waiting.get_mut(&id.0) {
                waiting.tell(event);
            }
        }
    }

    fn take_datagrams(&mut self, now: Instant, socket: &Socket) -> io::Result<()> {
        let Self { memory, udx, datagrams, dropped, .. } = self;
        socket.receive(memory, |from, bytes| {
            if !udx.handle_datagram(now, socket.id(), from, bytes) {
                let datagram = Datagram { socket: socket.id(), from, bytes: Bytes::copy_from_slice(bytes) };
                *dropped += u64::from(datagrams.try_send(datagram).is_err());
            }
        })
    }
}

impl Waiting {
    fn tell(&mut self, event: Event) {
        if matches!(event, Event::Readable(_) | Event::Closed(..)) {
            self.reader.take().into_iter().for_each(Waker::wake);
        }
        if matches!(event, Event::Writable(_) | Event::Finished(_) | Event::Closed(..)) {
            self.writer.take().into_iter().for_each(Waker::wake);
        }
        self.moved |= matches!(event, Event::RemoteChanged(_));
        if let Event::Firewall { socket, from, .. } = event {
            self.question = Some((socket, from));
        }
        if !matches!(event, Event::Readable(_) | Event::Writable(_)) {
            self.others.drain(..).for_each(Waker::wake);
        }
    }
}

/// The error a reader or writer of a closed stream gets.
pub(super) fn closed_error(reason: CloseReason) -> io::Error {
    let kind = match reason {
        CloseReason::Reset => io::ErrorKind::ConnectionReset,
        CloseReason::TimedOut => io::ErrorKind::TimedOut,
        CloseReason::Finished => io::ErrorKind::BrokenPipe,
        CloseReason::Destroyed | CloseReason::RelayClosed => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, reason)
}

/// Receives on one socket until it is closed.
async fn receive(shared: Arc<Shared>, socket: Arc<Socket>) {
    while socket.readable().await {
        for _ in 0..BATCHES {
            let mut state = shared.lock();
            let result = state.take_datagrams(shared.now(), &socket);
            shared.drain(&mut state);
            if result.is_err() {
                break;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Lets the machine know the time, and sends what commands brought.
async fn keep_time(shared: Arc<Shared>) {
    loop {
        let (deadline, blocked) = {
            let mut state = shared.lock();
            state.udx.handle_timeout(shared.now());
            shared.flush(&mut state);
            if state.closed {
                return;
            }
            state.tell();
            state.armed = state.udx.next_deadline();
            let blocked = state.blocked.as_ref().and_then(|(transmit, _)| state.sockets.get(&transmit.socket.0));
            (state.armed, blocked.map(Arc::clone))
        };
        let sleep = deadline.map_or(IDLE, |deadline| deadline.since(shared.now()));
        tokio::select! {
            () = shared.changed.notified() => {}
            () = tokio::time::sleep(sleep) => {}
            () = async { match blocked {
                Some(socket) => socket.writable().await,
                None => core::future::pending().await,
            } } => {}
        }
    }
}

const BATCHES: usize = 8;
const IDLE: Duration = Duration::from_secs(3600);
