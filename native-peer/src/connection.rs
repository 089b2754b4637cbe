//! One connection: what the machine wants sent, and the task that carries bytes both ways over any byte stream.

use crate::machine::Machine;
use bytes::{Buf, Bytes, BytesMut};
use corestore_core::corestore::{CloseReason, ConnectionId, Input};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{Notify, watch};

/// A running connection. Dropping it changes nothing: a connection lasts until either side or the store closes it.
#[derive(Clone, Debug)]
pub struct Connection {
    machine: Arc<Machine>,
    id: ConnectionId,
    ended: watch::Receiver<Option<Ended>>,
}

/// Why a connection is over.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// The protocol ended it: either side closed, or the peer broke a rule.
    #[error("{}", describe(.0))]
    Closed(CloseReason),
    /// The byte stream failed.
    #[error("the byte stream failed: {0}")]
    Io(Arc<io::Error>),
    /// The peer took no byte off the stream for a minute.
    #[error("the peer stopped reading")]
    Stalled,
}

impl Connection {
    /// Its number in events.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Ends it.
    pub fn close(&self) {
        self.machine.act(|machine, _| machine.close_connection(self.id));
    }

    /// Waits for its end.
    pub async fn closed(&self) -> Ended {
        let mut ended = self.ended.clone();
        let over = ended.wait_for(Option::is_some).await;
        // The task that ends it always says why, unless the runtime was shut down.
        over.ok().and_then(|ended| ended.clone()).unwrap_or(Ended::Closed(CloseReason::Local))
    }
}

/// Carries bytes between `stream` and the machine until either ends.
pub(crate) fn start<S>(machine: &Arc<Machine>, id: ConnectionId, outgoing: Arc<Outgoing>, stream: S) -> Connection
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (sender, ended) = watch::channel(None);
    let carried = Arc::clone(machine);
    let (reader, writer) = tokio::io::split(stream);
    let outgoing = Writing::start(outgoing, writer);
    tokio::spawn(async move {
        let result = tokio::select! {
            // What is ready goes out before more is read: the other side works on it meanwhile.
            biased;
            result = write(&carried, id, &outgoing.0) => result,
            result = read(&carried, id, &outgoing.0, reader) => result,
        };
        let reason = outgoing.0.reason().unwrap_or(CloseReason::Remote);
        let why = result.err().unwrap_or(Ended::Closed(reason));
        drop(outgoing);
        carried.disconnect(id);
        sender.send_replace(Some(why));
    });
    Connection { machine: Arc::clone(machine), id, ended }
}

async fn read<R>(machine: &Machine, id: ConnectionId, outgoing: &Outgoing, mut reader: R) -> Result<(), Ended>
where
    R: AsyncRead + Unpin,
{
    let mut buffer = BytesMut::new();
    let mut room = READ_BUFFER;
    loop {
        // A peer that takes nothing gets nothing done: what it asks for would only pile up here.
        while outgoing.backlog() > READ_PAUSE {
            outgoing.drained.notified().await;
        }
        if buffer.capacity() < room / 4 {
            buffer.reserve(room);
        }
        let offered = buffer.capacity();
        let read = reader.read_buf(&mut buffer).await.map_err(io_error)?;
        if read == 0 {
            return Ok(());
        }
        room = next_room(room, offered, read);
        outgoing.heard();
        let bytes = buffer.split().freeze();
        if machine.received(id, bytes) {
            // Who waited alone has it before the peer hears that we have it. Where many wait, both sides work at once.
            tokio::task::yield_now().await;
        }
        if outgoing.has_work() {
            outgoing.wake();
            // Lets the writer have its turn, however much there is to read.
            tokio::task::yield_now().await;
        }
        if outgoing.reason().is_some() {
            // Over: the writer sends what is left and ends the connection.
            std::future::pending::<()>().await;
        }
    }
}

/// How large the next buffer is, when of `offered` bytes `read` were used. More may have come than fitted: what is read
/// together is hashed and stored together. Less came: memory for more would lie idle.
fn next_room(room: usize, offered: usize, read: usize) -> usize {
    if read >= offered {
        room.saturating_mul(2).min(READ_MOST)
    } else if read < room / 4 {
        (room / 2).max(READ_BUFFER)
    } else {
        room
    }
}

async fn write(machine: &Machine, id: ConnectionId, outgoing: &Outgoing) -> Result<(), Ended> {
    loop {
        report(machine, id, outgoing);
        let Some(mut batch) = outgoing.take() else {
            if outgoing.claim() {
                poll_fn(|context| outgoing.poll(context, |writer, context| writer.poll_flush(context))).await?;
                outgoing.put_back(VecDeque::new());
            }
            if outgoing.is_over() {
                let shutdown =
                    poll_fn(|context| outgoing.poll(context, |writer, context| writer.poll_shutdown(context)));
                let _ = tokio::time::timeout(LINGER, shutdown).await;
                return Ok(());
            }
            outgoing.wake.notified().await;
            continue;
        };
        while !batch.is_empty() {
            let some = poll_fn(|context| outgoing.poll_write(context, &batch));
            let written = tokio::time::timeout(STALL, some).await.map_err(|_| Ended::Stalled)??;
            advance(&mut batch, written);
            outgoing.written(written);
            report(machine, id, outgoing);
        }
        outgoing.put_back(batch);
    }
}

fn report(machine: &Machine, id: ConnectionId, outgoing: &Outgoing) {
    if let Some(backlog) = outgoing.to_report() {
        machine.input(Input::Writable { connection: id, backlog });
    }
}

fn joined(frames: &VecDeque<Bytes>) -> Bytes {
    let mut all = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum());
    frames.iter().for_each(|frame| all.extend_from_slice(frame));
    all.freeze()
}

fn advance(batch: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = batch.front_mut() {
        if first.len() > written {
            first.advance(written);
            return;
        }
        written = written.saturating_sub(first.len());
        batch.pop_front();
    }
}

fn io_error(error: io::Error) -> Ended {
    Ended::Io(Arc::new(error))
}

fn describe(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Local => "closed".to_owned(),
        CloseReason::Remote => "closed by the peer".to_owned(),
        CloseReason::Violation(fault) => format!("the peer broke the protocol: {fault}"),
        CloseReason::Timeout => "the peer did not speak in time".to_owned(),
        CloseReason::Duplicate => "the peer is connected already, or is ourselves".to_owned(),
        other => format!("{other:?}"),
    }
}

/// What waits to be written to one connection, and where to. The connection's task writes it, or whoever caused it.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    queue: Mutex<Queue>,
    writer: Mutex<Writer>,
    wake: Notify,
    drained: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    /// Bytes not yet written, those taken by a writer included.
    backlog: usize,
    /// Bytes written since the machine heard of the backlog.
    unreported: usize,
    /// Somebody is writing what he took, or flushes: whatever else there is comes after that.
    taken: bool,
    /// The peer said something since something was written outside the task.
    heard: bool,
    reason: Option<CloseReason>,
}

/// The stream's writing half, from the task's start to its end.
#[derive(Default)]
struct Writer(Option<Pin<Box<dyn AsyncWrite + Send>>>);

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writer").field(&self.0.is_some()).finish()
    }
}

/// The stream is written to while this lives.
struct Writing(Arc<Outgoing>);

impl Writing {
    fn start(outgoing: Arc<Outgoing>, writer: impl AsyncWrite + Send + 'static) -> Self {
        outgoing.writer().0 = Some(Box::pin(writer));
        Self(outgoing)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.writer().0 = None;
    }
}

impl Outgoing {
    pub(crate) fn push(&self, bytes: Bytes) {
        let mut queue = self.lock();
        if queue.reason.is_none() && !bytes.is_empty() {
            queue.backlog = queue.backlog.saturating_add(bytes.len());
            queue.frames.push_back(bytes);
        }
    }

    /// Nothing more will be pushed; what was, is written first.
    pub(crate) fn finish(&self, reason: CloseReason) {
        self.lock().reason.get_or_insert(reason);
    }

    /// Makes the task write.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Writes what waits where we are, which saves waking the task; what the stream does not take at once is left to
    /// it. Once until the peer speaks again: who causes one message after another has the task gather them.
    pub(crate) fn write_here(&self) {
        let heard = std::mem::take(&mut self.lock().heard);
        if !heard || !self.write_some() {
            self.wake();
        }
    }

    /// False when something is left for the task to do, telling of an error included.
    fn write_some(&self) -> bool {
        let Some(mut batch) = self.take() else { return false };
        let mut context = Context::from_waker(Waker::noop());
        while let (false, Poll::Ready(Ok(written))) = (batch.is_empty(), self.poll_write(&mut context, &batch)) {
            advance(&mut batch, written);
            self.written(written);
        }
        let whole = batch.is_empty();
        let flushed = self.poll(&mut context, |writer, context| writer.poll_flush(context));
        self.put_back(batch);
        whole && matches!(flushed, Poll::Ready(Ok(()))) && !self.has_work() && self.lock().unreported < REPORT_EVERY
    }

    fn poll<T>(
        &self,
        context: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut (dyn AsyncWrite + Send)>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<Result<T, Ended>> {
        match &mut self.writer().0 {
            Some(writer) => poll(writer.as_mut(), context).map_err(io_error),
            None => Poll::Ready(Err(io_error(io::ErrorKind::NotConnected.into()))),
        }
    }

    fn poll_write(&self, context: &mut Context<'_>, batch: &VecDeque<Bytes>) -> Poll<Result<usize, Ended>> {
        let written = self.poll(context, |writer, context| {
            let slices: Vec<IoSlice<'_>> = batch.iter().take(MAX_SLICES).map(|frame| IoSlice::new(frame)).collect();
            writer.poll_write_vectored(context, &slices)
        });
        match written {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io_error(io::ErrorKind::WriteZero.into()))),
            other => other,
        }
    }

    fn backlog(&self) -> usize {
        self.lock().backlog
    }

    fn reason(&self) -> Option<CloseReason> {
        self.lock().reason.clone()
    }

    /// True when the task has something to do.
    fn has_work(&self) -> bool {
        let queue = self.lock();
        !queue.frames.is_empty() || queue.reason.is_some()
    }

    /// True when nothing more will be written.
    fn is_over(&self) -> bool {
        let queue = self.lock();
        queue.reason.is_some() && queue.frames.is_empty() && !queue.taken
    }

    /// The peer said something.
    fn heard(&self) {
        self.lock().heard = true;
    }

    /// Frames to write next, up to about [`WRITE_BATCH`] bytes; they are to be put back, as far as they are not
    /// written. `None` when there are none, or others were not put back yet.
    fn take(&self) -> Option<VecDeque<Bytes>> {
        let mut queue = self.lock();
        if queue.taken || queue.frames.is_empty() {
            return None;
        }
        queue.taken = true;
        let (mut count, mut bytes) = (0_usize, 0_usize);
        for frame in &queue.frames {
            if bytes >= WRITE_BATCH {
                break;
            }
            bytes = bytes.saturating_add(frame.len());
            count = count.saturating_add(1);
        }
        let batch: VecDeque<Bytes> = queue.frames.drain(..count).collect();
        drop(queue);
        let together = batch.len() == 1 || self.writer().0.as_ref().is_some_and(|writer| writer.is_write_vectored());
        Some(if together { batch } else { VecDeque::from([joined(&batch)]) })
    }

    /// Keeps others from the stream until something is put back, so that nobody takes away the waking that is waited for.
    fn claim(&self) -> bool {
        !std::mem::replace(&mut self.lock().taken, true)
    }

    fn put_back(&self, batch: VecDeque<Bytes>) {
        let mut queue = self.lock();
        queue.taken = false;
        batch.into_iter().rev().for_each(|frame| queue.frames.push_front(frame));
    }

    fn written(&self, bytes: usize) {
        let mut queue = self.lock();
        queue.backlog = queue.backlog.saturating_sub(bytes);
        queue.unreported = queue.unreported.saturating_add(bytes);
        self.drained.notify_one();
    }

    /// The backlog, when the machine should hear of it.
    fn to_report(&self) -> Option<usize> {
        let mut queue = self.lock();
        if queue.unreported < REPORT_EVERY {
            return None;
        }
        queue.unreported = 0;
        Some(queue.backlog)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes read at once, to begin with.
const READ_BUFFER: usize = 128 << 10;
/// Bytes read at once while there are more than that again and again.
const READ_MOST: usize = 512 << 10;
/// Bytes taken from the queue at once.
const WRITE_BATCH: usize = 256 << 10;
/// Frames given to one write.
const MAX_SLICES: usize = 64;
/// The machine hears of the backlog after so many bytes; far less than its limit for serving.
const REPORT_EVERY: usize = 256 << 10;
/// Reading pauses above this backlog. Serving stops far below it, so two peers that send at once never wait for each
/// other here.
const READ_PAUSE: usize = 64 << 20;
/// A peer that takes no byte for so long is gone.
const STALL: Duration = Duration::from_secs(60);
/// How long a last flush may take.
const LINGER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_grow_while_they_fill_and_shrink_when_they_do_not() {
        assert_eq!(next_room(READ_BUFFER, READ_BUFFER, READ_BUFFER), 2 * READ_BUFFER);
        assert_eq!(next_room(READ_MOST, READ_MOST / 2, READ_MOST / 2), READ_MOST);
        assert_eq!(next_room(READ_MOST, READ_MOST, READ_MOST / 4), READ_MOST);
        assert_eq!(next_room(READ_MOST, READ_MOST, READ_MOST / 4 - 1), READ_MOST / 2);
        assert_eq!(next_room(READ_BUFFER, READ_BUFFER, 1), READ_BUFFER);
    }
}
