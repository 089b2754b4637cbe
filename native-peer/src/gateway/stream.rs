//! One stream's far side: bytes both ways, never more than there is room for.

use super::metrics::{Counted, Metrics};
use super::said::{Duplex, Held, Said};
use super::session::Part;
use super::shared::{Place, Shared};
use bytes::{Bytes, BytesMut};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinHandle;

/// A session's end of a stream. Dropping it resets the far side.
#[derive(Debug)]
pub(super) struct StreamHandle {
    outgoing: mpsc::UnboundedSender<Word>,
    task: JoinHandle<()>,
}

/// Bytes of one session that wait for far peers.
#[derive(Debug)]
pub(super) struct Backlog {
    bytes: AtomicUsize,
    pub(super) drained: Notify,
    metrics: Arc<Metrics>,
}

/// What all streams of one session have in common.
#[derive(Clone)]
pub(super) struct Lane {
    pub(super) shared: Arc<Shared>,
    pub(super) address: IpAddr,
    pub(super) inbox: mpsc::Sender<Said>,
    /// Room for bytes on their way to the browser.
    pub(super) room: Arc<Semaphore>,
    pub(super) backlog: Arc<Backlog>,
}

enum Word {
    Data(Bytes, Waiting),
    Finish,
}

/// Bytes that are counted until they are written, or not wanted any more.
struct Waiting {
    backlog: Arc<Backlog>,
    bytes: usize,
    _counted: Counted,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.backlog.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.backlog.drained.notify_one();
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backlog {
    pub(super) fn new(metrics: &Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicUsize::new(0), drained: Notify::new(), metrics: Arc::clone(metrics) })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl StreamHandle {
    /// Starts to carry bytes.
    pub(super) fn start(lane: Lane, place: Place, stream: Part, far: Box<dyn Duplex>) -> Self {
        let (outgoing, words) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let counted = Counted::new(&lane.shared.metrics, |metrics| &metrics.streams, 1);
            let (reader, writer) = tokio::io::split(far);
            let carried = async { tokio::try_join!(read(&lane, stream, reader), write(&lane, words, writer)) };
            let reason = carried.await.err().map(|error| error.to_string());
            drop((counted, place));
            let _ = lane.inbox.send(Said::Over(stream, reason)).await;
        });
        Self { outgoing, task }
    }

    /// Writes to the far peer, after what waits.
    pub(super) fn write(&self, backlog: &Arc<Backlog>, bytes: Bytes) {
        let length = bytes.len();
        backlog.bytes.fetch_add(length, Ordering::Relaxed);
        let counted = Counted::new(&backlog.metrics, |metrics| &metrics.buffered_from_browsers, length);
        let waiting = Waiting { backlog: Arc::clone(backlog), bytes: length, _counted: counted };
        let _ = self.outgoing.send(Word::Data(bytes, waiting));
    }

    /// Ends our half, after what waits.
    pub(super) fn finish(&self) {
        let _ = self.outgoing.send(Word::Finish);
    }
}

async fn read(lane: &Lane, stream: Part, mut reader: impl AsyncRead + Unpin) -> io::Result<()> {
    // An idle stream holds little memory, a busy one reads much at once.
    let mut size = SMALL;
    loop {
        let mut buffer = BytesMut::with_capacity(size);
        let length = reader.read_buf(&mut buffer).await?;
        if length == 0 {
            let _ = lane.inbox.send(Said::Ended(stream)).await;
            return Ok(());
        }
        size = if length >= size { LARGE } else { SMALL };
        let pause = lane.shared.spend(lane.address, length);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let permits = u32::try_from(length).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&lane.room).acquire_many_owned(permits).await else { return Ok(()) };
        let counted = Counted::new(&lane.shared.metrics, |metrics| &metrics.buffered_to_browsers, length);
        let held = Held { bytes: buffer.freeze(), room: (permit, counted) };
        if lane.inbox.send(Said::Data(stream, held)).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(
    lane: &Lane,
    mut words: mpsc::UnboundedReceiver<Word>,
    mut writer: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    while let Some(word) = words.recv().await {
        match word {
            Word::Data(bytes, waiting) => {
                let written = tokio::time::timeout(lane.shared.limits.stall, writer.write_all(&bytes)).await;
                written.unwrap_or_else(|_| Err(stalled(lane)))?;
                drop(waiting);
            }
            Word::Finish => {
                let ended = tokio::time::timeout(lane.shared.limits.stall, writer.shutdown()).await;
                return ended.unwrap_or_else(|_| Err(stalled(lane)));
            }
        }
    }
    Ok(())
}

fn stalled(lane: &Lane) -> io::Error {
    lane.shared.metrics.stalled.add(1);
    io::Error::new(io::ErrorKind::TimedOut, "the peer takes no bytes")
}

/// Bytes read at once from a stream that says little.
const SMALL: usize = 2 << 10;
/// Bytes read at once from a busy one.
const LARGE: usize = 64 << 10;
