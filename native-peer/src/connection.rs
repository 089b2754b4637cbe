//! One connection: what the machine wants sent, and the task that carries bytes both ways over any byte stream.

use crate::machine::Machine;
use bytes::{Buf, Bytes, BytesMut};
use corestore_core::corestore::{CloseReason, ConnectionId, Input};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
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
    tokio::spawn(async move {
        let (reader, writer) = tokio::io::split(stream);
        let result = tokio::select! {
            // What is ready goes out before more is read: the other side works on it meanwhile.
            biased;
            result = write(&carried, id, &outgoing, writer) => result,
            result = read(&carried, id, &outgoing, reader) => result,
        };
        let reason = outgoing.reason().unwrap_or(CloseReason::Remote);
        let why = result.err().unwrap_or(Ended::Closed(reason));
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
        let bytes = buffer.split().freeze();
        machine.input(Input::Received { connection: id, bytes });
        if outgoing.reason().is_some() {
            // Over: the writer sends what is left and ends the connection.
            std::future::pending::<()>().await;
        }
        if outgoing.backlog() > 0 {
            // Lets the writer have its turn, however much there is to read.
            tokio::task::yield_now().await;
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

async fn write<W>(machine: &Machine, id: ConnectionId, outgoing: &Outgoing, mut writer: W) -> Result<(), Ended>
where
    W: AsyncWrite + Unpin,
{
    let mut unreported = 0_usize;
    loop {
        let mut batch = outgoing.take();
        if batch.is_empty() {
            writer.flush().await.map_err(io_error)?;
            if outgoing.reason().is_some() {
                let _ = tokio::time::timeout(LINGER, writer.shutdown()).await;
                return Ok(());
            }
            outgoing.wake.notified().await;
            continue;
        }
        if !writer.is_write_vectored() {
            batch = VecDeque::from([joined(batch)]);
        }
        while !batch.is_empty() {
            let written = write_some(&mut writer, &batch).await?;
            advance(&mut batch, written);
            let backlog = outgoing.written(written);
            unreported = unreported.saturating_add(written);
            if unreported >= REPORT_EVERY {
                unreported = 0;
                machine.input(Input::Writable { connection: id, backlog });
            }
        }
    }
}

async fn write_some<W: AsyncWrite + Unpin>(writer: &mut W, batch: &VecDeque<Bytes>) -> Result<usize, Ended> {
    let slices: Vec<IoSlice<'_>> = batch.iter().take(MAX_SLICES).map(|frame| IoSlice::new(frame)).collect();
    match tokio::time::timeout(STALL, writer.write_vectored(&slices)).await {
        Err(_) => Err(Ended::Stalled),
        Ok(Ok(0)) => Err(io_error(io::ErrorKind::WriteZero.into())),
        Ok(result) => result.map_err(io_error),
    }
}

fn joined(frames: VecDeque<Bytes>) -> Bytes {
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

/// What waits to be written to one connection.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    queue: Mutex<Queue>,
    wake: Notify,
    drained: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    /// Bytes not yet written, those taken by the writer included.
    backlog: usize,
    reason: Option<CloseReason>,
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

    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    fn backlog(&self) -> usize {
        self.lock().backlog
    }

    fn reason(&self) -> Option<CloseReason> {
        self.lock().reason.clone()
    }

    /// Frames to write next, up to about [`WRITE_BATCH`] bytes.
    fn take(&self) -> VecDeque<Bytes> {
        let mut queue = self.lock();
        let (mut count, mut bytes) = (0_usize, 0_usize);
        for frame in &queue.frames {
            if bytes >= WRITE_BATCH {
                break;
            }
            bytes = bytes.saturating_add(frame.len());
            count = count.saturating_add(1);
        }
        queue.frames.drain(..count).collect()
    }

    fn written(&self, bytes: usize) -> usize {
        let mut queue = self.lock();
        queue.backlog = queue.backlog.saturating_sub(bytes);
        self.drained.notify_one();
        queue.backlog
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
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
