//! A UDX stream as tokio's `AsyncRead` and `AsyncWrite`, with what it has beyond them.

use super::udp::{State, Udp, Waiting, closed_error};
use super::udx::{CloseReason, MessageError, Meter, Remote, SocketId, StreamError, StreamId, StreamStats};
use bytes::Bytes;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One stream. Dropping it resets the peer, unless both directions have ended; `shutdown` first to end it well.
#[derive(Debug)]
pub struct UdxStream {
    udp: Udp,
    id: StreamId,
}

/// Looks at a stream and ends it, without owning it.
#[derive(Clone, Debug)]
pub(super) struct Grip {
    udp: Udp,
    id: StreamId,
}

impl Grip {
    pub(super) fn new(udp: Udp, id: StreamId) -> Self {
        Self { udp, id }
    }

    /// Waits until the stream runs by another way than before and the peer speaks from there, or is over.
    pub(super) async fn moved(&self) {
        let _ = self.udp.wait(self.id, |_, waiting| waiting.moved.then_some(())).await;
    }

    /// Who sends to the stream and has not been admitted; `None` when it is over.
    pub(super) async fn asked(&self) -> Option<(SocketId, SocketAddr)> {
        self.udp.wait(self.id, |_, waiting| waiting.question.take()).await.ok()
    }

    /// Waits until the stream is over.
    pub(super) async fn over(&self) {
        let _ = self.udp.wait(self.id, |_, _| None::<core::convert::Infallible>).await;
    }

    /// Admits him who was asked about, or not.
    pub(super) fn answer(&self, admit: bool) {
        let now = self.udp.shared.now();
        self.udp.shared.lock().udx.answer_firewall(now, self.id, admit);
        self.udp.shared.notify();
    }

    /// Sends to another address, or from another socket, from now on.
    pub(super) fn change_remote(&self, remote: Remote) {
        // A stream that is over stays where it is.
        let _ = self.udp.shared.lock().udx.change_remote(self.id, remote);
        self.udp.shared.notify();
    }

    /// Datagrams went both ways.
    pub(super) fn spoke(&self) -> bool {
        let stats = self.udp.shared.lock().udx.stats(self.id).unwrap_or_default();
        stats.packets_received > 0 && stats.packets_sent > 0
    }

    /// Resets it, if it is still there.
    pub(super) fn destroy(&self) {
        self.udp.shared.lock().udx.destroy(self.id);
        self.udp.shared.notify();
    }
}

impl UdxStream {
    pub(super) fn grip(&self) -> Grip {
        Grip { udp: self.udp.clone(), id: self.id }
    }

    pub(super) fn new(udp: Udp, id: StreamId) -> Self {
        Self { udp, id }
    }

    /// The id under which the peer addresses it.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The far end, once connected.
    pub fn remote(&self) -> Option<Remote> {
        self.udp.shared.lock().udx.remote(self.id)
    }

    /// Connects it; `seq` is the number of the peer's first packet when it is not 0.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn connect(&self, remote: Remote, seq: Option<u32>) -> Result<(), StreamError> {
        let now = self.udp.shared.now();
        self.command(|state| state.udx.connect(now, self.id, remote, seq))
    }

    /// Shows the peer that we are here, until it is heard: [`Udx::greet`](super::udx::Udx::greet).
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn greet(&self) -> Result<(), StreamError> {
        let now = self.udp.shared.now();
        self.command(|state| state.udx.greet(now, self.id))
    }

    /// Sends to another address, or from another socket, from now on.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn change_remote(&self, remote: Remote) -> Result<(), StreamError> {
        self.command(|state| state.udx.change_remote(self.id, remote))
    }

    /// Passes what arrives for this stream on to `other`'s remote, unread.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn relay_to(&self, other: &Self) -> Result<(), StreamError> {
        self.command(|state| state.udx.relay_to(self.id, other.id))
    }

    /// Has it pass on no more than `meter` allows.
    pub(super) fn meter(&self, meter: Meter) {
        self.command(|state| state.udx.meter(self.id, meter));
    }

    /// Who sends to this stream and has not been admitted; only with [`Firewall::Ask`](super::udx::Firewall::Ask).
    /// `None` when the stream is closed.
    pub async fn asked(&self) -> Option<(SocketId, SocketAddr)> {
        self.wait(|_, waiting| waiting.question.take()).await.ok()
    }

    /// Admits him or not. Connect first.
    pub fn answer(&self, admit: bool) {
        let now = self.udp.shared.now();
        self.command(|state| state.udx.answer_firewall(now, self.id, admit));
    }

    /// Queues an unordered, unreliable message.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn send_message(&self, message: Bytes) -> Result<(), MessageError> {
        self.command(|state| state.udx.send_message(self.id, message))
    }

    /// The next message; `None` when the stream is closed.
    pub async fn receive_message(&self) -> Option<Bytes> {
        self.wait(|state, _| state.udx.receive_message(self.id)).await.ok()
    }

    /// Waits until the stream is closed, and tells why.
    pub async fn closed(&self) -> CloseReason {
        match self.wait(|_, _| None::<core::convert::Infallible>).await {
            Ok(never) => match never {},
            Err(reason) => reason,
        }
    }

    /// Resets it. What has arrived can still be read.
    pub fn destroy(&self) {
        self.command(|state| state.udx.destroy(self.id));
    }

    /// Figures of this moment.
    pub fn stats(&self) -> StreamStats {
        self.udp.shared.lock().udx.stats(self.id).unwrap_or_default()
    }

    fn command<T>(&self, command: impl FnOnce(&mut State) -> T) -> T {
        let result = command(&mut self.udp.shared.lock());
        self.udp.shared.notify();
        result
    }

    async fn wait<T>(&self, ready: impl FnMut(&mut State, &mut Waiting) -> Option<T>) -> Result<T, CloseReason> {
        self.udp.wait(self.id, ready).await
    }
}

impl Udp {
    /// Waits until `ready` gives something, or the stream is closed or forgotten.
    async fn wait<T>(
        &self,
        id: StreamId,
        mut ready: impl FnMut(&mut State, &mut Waiting) -> Option<T>,
    ) -> Result<T, CloseReason> {
        poll_fn(|context| {
            let mut state = self.shared.lock();
            let Some(mut waiting) = state.waiting.remove(&id.0) else {
                return Poll::Ready(Err(CloseReason::Destroyed));
            };
            let result = ready(&mut state, &mut waiting);
            let reason = state.udx.close_reason(id);
            let poll = match (result, reason) {
                (Some(result), _) => Poll::Ready(Ok(result)),
                (None, Some(reason)) => Poll::Ready(Err(reason)),
                (None, None) => {
                    if !waiting.others.iter().any(|waker| waker.will_wake(context.waker())) {
                        waiting.others.push(context.waker().clone());
                    }
                    Poll::Pending
                }
            };
            state.waiting.insert(id.0, waiting);
            poll
        })
        .await
    }
}

impl AsyncRead for UdxStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.udp.shared.lock();
        let length = state.udx.read(self.id, out.initialize_unfilled());
        out.advance(length);
        if length > 0 {
            if state.udx.has_transmits() {
                self.udp.shared.notify();
            }
            return Poll::Ready(Ok(()));
        }
        if out.remaining() == 0 || state.udx.is_ended(self.id) {
            return Poll::Ready(Ok(()));
        }
        match state.udx.close_reason(self.id) {
            Some(CloseReason::Finished) => Poll::Ready(Ok(())),
            Some(reason) => Poll::Ready(Err(closed_error(reason))),
            None => {
                state.waiting.entry(self.id.0).or_default().reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for UdxStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.udp.shared.lock();
        if let Some(reason) = state.udx.close_reason(self.id) {
            return Poll::Ready(Err(closed_error(reason)));
        }
        let room = state.udx.writable(self.id).min(bytes.len());
        if room == 0 && !bytes.is_empty() {
            state.waiting.entry(self.id.0).or_default().writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let mut taken = Bytes::copy_from_slice(bytes.get(..room).unwrap_or_default());
        let result = state.udx.write(self.udp.shared.now(), self.id, &mut taken);
        drop(state);
        self.udp.shared.notify();
        Poll::Ready(result.map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the sending direction and waits until the peer has all of it.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.udp.shared.lock();
        if state.udx.is_finished(self.id) {
            return Poll::Ready(Ok(()));
        }
        if let Some(reason) = state.udx.close_reason(self.id) {
            return Poll::Ready(Err(closed_error(reason)));
        }
        // The second call finds it ended already.
        if state.udx.end(self.id).is_ok() {
            self.udp.shared.notify();
        }
        state.waiting.entry(self.id.0).or_default().writer = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for UdxStream {
    fn drop(&mut self) {
        let mut state = self.udp.shared.lock();
        let waiting = state.waiting.remove(&self.id.0);
        state.udx.release(self.udp.shared.now(), self.id);
        drop(state);
        waiting.into_iter().flat_map(|waiting| waiting.others).for_each(Waker::wake);
        self.udp.shared.notify();
    }
}
