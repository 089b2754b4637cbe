//! Byte streams to peers: WebSockets that are dialled again, and any transport that carries bytes both ways.

mod backoff;
mod duplex;
mod pipe;
mod websocket;

pub(crate) use duplex::Duplex;
pub(crate) use pipe::Link;
pub(crate) use websocket::{Dialling, WebSocketDialer};
