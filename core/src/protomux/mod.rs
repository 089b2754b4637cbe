//! Many channels on one stream (`protomux`).

mod event;
mod frame;
mod mux;

pub use event::{ChannelId, MuxError, MuxEvent, MuxLimits};
pub use mux::Mux;
