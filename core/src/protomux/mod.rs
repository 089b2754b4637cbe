//! Many channels on one stream (`protomux`).

mod frame;
mod mux;

pub use mux::{ChannelId, Mux, MuxError, MuxEvent, MuxLimits};
