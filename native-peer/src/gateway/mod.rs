//! The gateway: browsers are members of the DHT through it, and replicate with the cores it keeps. What it carries for
//! them is sealed; their secret keys never come here. What it answers is written in `docs/gateway.md`.

mod admission;
mod bucket;
mod http;
mod hub;
mod limits;
mod local;
mod log;
mod metrics;
mod page;
mod relay;
mod requests;
mod said;
mod server;
pub mod session;
mod shared;
mod stream;
mod tls;

pub use admission::Refusal;
pub use limits::Limits;
pub use log::{Log, LogEvent};
pub use page::PageError;
pub use server::{Gateway, GatewayError, GatewayOptions};
pub use tls::TlsError;
