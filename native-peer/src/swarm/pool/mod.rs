//! A pool of connections, one to each peer (`hyperdht/lib/connection-pool.js`).

mod connections;
mod handle;
mod shared_wire;

pub use handle::Pool;
pub use shared_wire::SharedWire;
