//! UDX machines against each other in virtual time, without a socket.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

mod hostile;
mod link;
mod reference;
mod relay;
mod virtual_net;
