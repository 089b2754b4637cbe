//! compact-encoding: the byte format of every message and record (`compact-encoding/index.js`).
//!
//! Encoding cannot fail. Decoding never allocates by a length that is only claimed, and never panics.

mod codec;
mod index_key;
mod reader;
mod writer;

pub use codec::{Decode, Encode};
pub use index_key::{decode_index_key, encode_index_key};
pub use reader::{DecodeError, Reader};
pub use writer::Writer;
