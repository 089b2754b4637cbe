//! Byte streams to peers: WebSockets that are dialled again, and any transport that carries bytes both ways.

mod backoff;
mod contract;
mod duplex;
mod pipe;
mod websocket;

pub(crate) use backoff::Backoff;
pub(crate) use contract::{Traffic, Transport, Transports};
pub(crate) use duplex::Duplex;
pub(crate) use pipe::{Link, POLL};
pub(crate) use websocket::{Dialling, WebSocketDialer};
