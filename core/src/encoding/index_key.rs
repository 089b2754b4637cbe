//! Order-preserving integer keys (`index-encoder`).

use super::{DecodeError, Reader, Writer};

/// Appends `value` so that encoded values sort as numbers.
pub fn encode_index_key(writer: &mut Writer, value: u64) {
    writer.raw(&value.to_be_bytes());
}

/// Reads a value written by [`encode_index_key`].
///
/// # Errors
/// [`DecodeError`] when the bytes end early.
pub fn decode_index_key(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    reader.array("index key").map(u64::from_be_bytes)
}
