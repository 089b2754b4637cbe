//! The machine: many cores, many connections, one store (`corestore/index.js`).

mod io;

pub use io::*;
