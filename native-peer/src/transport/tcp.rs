//! Plain TCP: the stream's frames follow each other on the socket.

use crate::connection::{Connection, Ended};
use crate::corestore::Corestore;
use corestore_core::corestore::Role;
use std::io;
use tokio::net::TcpStream;

pub(super) fn accept(store: &Corestore, stream: TcpStream) -> Result<Connection, Ended> {
    // Only latency suffers without it.
    let _ = stream.set_nodelay(true);
    store.replicate(stream, Role::Responder)
}

pub(super) async fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
