//! Blind relays (`blind-relay/index.js`) as sans-IO machines: [`RelayChannel`] speaks the protocol on one connection,
//! [`RelayClient`] asks a relay for one meeting, [`BlindRelay`] decides who meets whom.

mod channel;
mod client;
mod config;
mod server;

pub use channel::{ChannelError, ChannelOutput, RelayChannel};
pub use client::{ClientError, ClientOutput, RelayClient};
pub use config::Config;
pub use server::{BlindRelay, JoinId, Output, RelayStats, SessionId};
