//! The two traits of everything with a byte form.

use super::{DecodeError, Reader, Writer};
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
