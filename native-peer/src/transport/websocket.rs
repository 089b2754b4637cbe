//! WebSocket: binary messages carry pieces of the same byte stream as TCP, cut anywhere.

use super::upgrade;
use crate::connection::Connection;
use crate::corestore::Corestore;
use bytes::{Buf, Bytes};
use corestore_core::corestore::Role;
use futures_util::{Sink, Stream};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_tungstenite::tungstenite::protocol::{Role as WsRole, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// The largest message a peer may send, in bytes: a whole frame of the stream fits.
pub const MAX_MESSAGE: usize = (16 << 20) + 1024;

pub(super) async fn connect(url: &str) -> Result<Messages<MaybeTlsStream<TcpStream>>, Error> {
    let (socket, _) = tokio_tungstenite::connect_async_with_config(url, Some(config()), true).await?;
    Ok(Messages::new(socket))
}

/// Replicates over `stream` if what dialled speaks WebSocket; answers it properly if not.
pub(super) async fn accept(store: &Corestore, mut stream: TcpStream) -> io::Result<Option<Connection>> {
    stream.set_nodelay(true)?;
    let Some(rest) = upgrade::accept(&mut stream).await? else { return Ok(None) };
    let socket = WebSocketStream::from_partially_read(stream, rest, WsRole::Server, Some(config())).await;
    Ok(store.replicate(Messages::new(socket), Role::Responder).ok())
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        .max_write_buffer_size(MAX_UNSENT)
}

/// A byte stream in binary messages. Pings a silent peer, and gives it up when it does not answer.
#[derive(Debug)]
pub(crate) struct Messages<S> {
    socket: WebSocketStream<S>,
    rest: Bytes,
    ping: Interval,
    silent: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Messages<S> {
    pub(crate) fn new(socket: WebSocketStream<S>) -> Self {
        let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { socket, rest: Bytes::new(), ping, silent: 0 }
    }

    /// Pings after a silence; an error when pings went unanswered.
    fn poll_ping(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.ping.poll_tick(context).is_ready() {
            self.silent = self.silent.saturating_add(1);
            if self.silent > MAX_SILENCE {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the peer answers no ping"));
            }
            // A full queue means that data is under way; that will tell as well.
            if Pin::new(&mut self.socket).poll_ready(context).is_ready() {
                Pin::new(&mut self.socket).start_send(Message::Ping(Bytes::new())).map_err(io_error)?;
                let _ = Pin::new(&mut self.socket).poll_flush(context).map_err(io_error)?;
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Messages<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            self.poll_ping(context)?;
            let message = ready!(Pin::new(&mut self.socket).poll_next(context));
            self.silent = 0;
            match message {
                None | Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) => return Poll::Ready(Ok(())),
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Text(_))) => {
                    let what = "the peer sent a text message; bytes travel in binary messages";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
        let count = self.rest.len().min(buffer.remaining());
        buffer.put_slice(self.rest.get(..count).unwrap_or_default());
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Messages<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(context)).map_err(io_error)?;
        let piece = bytes.get(..bytes.len().min(MAX_PIECE)).unwrap_or_default();
        let message = Message::Binary(Bytes::copy_from_slice(piece));
        Pin::new(&mut self.socket).start_send(message).map_err(io_error)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_close(context)) {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(io_error(error))),
        }
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// The largest message we send, in bytes.
const MAX_PIECE: usize = 256 << 10;
/// Bytes of messages not yet on the socket before writing waits.
const MAX_UNSENT: usize = 4 << 20;
const PING_EVERY: Duration = Duration::from_secs(20);
/// Intervals without a word from the peer after which it is given up.
const MAX_SILENCE: u32 = 3;
