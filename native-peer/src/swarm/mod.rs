//! Peers found and reached over UDP.

pub mod udp;
mod udp_socket;
pub mod udx;
pub mod udx_stream;
