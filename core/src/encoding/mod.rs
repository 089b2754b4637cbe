//! compact-encoding: the byte format of every message and record (`compact-encoding/index.js`).
//!
//! Encoding cannot fail. Decoding never allocates by a length that is only claimed, and never panics.

mod index_key;
mod reader;
mod writer;

pub use index_key::{decode_index_key, encode_index_key};
pub use reader::{DecodeError, Reader};
pub use writer::Writer;

use alloc::vec::Vec;

/// A value with a byte form.
pub trait Encode {
    /// Appends the value's bytes to `writer`.
    fn encode(&self, writer: &mut Writer);

    /// The value's bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.encode(&mut writer);
        writer.into_vec()
    }
}

/// A value that can be read back from bytes.
pub trait Decode: Sized {
    /// Reads one value from the front of `reader`.
    ///
    /// # Errors
    /// [`DecodeError`] names what was being read and at which byte the input ended or lied.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads one value from the front of `bytes`; bytes after it are ignored, as the reference does.
    ///
    /// # Errors
    /// As [`Decode::decode`].
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode(&mut Reader::new(bytes))
    }
}
