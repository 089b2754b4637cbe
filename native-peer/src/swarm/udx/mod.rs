//! UDX: reliable ordered streams and unordered messages over UDP, wire-compatible with libudx, as a sans-IO machine.

mod bbr;
mod config;
mod endpoint;
mod endpoint_input;
mod event;
mod ledger;
mod linger;
mod link;
mod max_filter;
mod meter;
mod mtu;
mod outbox;
mod pacer;
mod packet;
mod range_set;
mod rate;
mod receive_buffer;
mod recovery;
mod rtt;
mod send_buffer;
mod sender;
mod stream;
mod stream_input;
mod stream_output;

pub use config::Config;
pub use endpoint::{Transmit, Udx};
pub use event::{CloseReason, Event, Firewall, MessageError, OpenError, Remote, SocketId, StreamError, StreamId};
pub use meter::Meter;
pub use packet::{HEADER_SIZE, Header, Kind, MAX_SACKS, Packet};
pub use stream::{StreamOptions, StreamStats};
