//! Append-only writer of compact-encoding primitives.

use alloc::vec::Vec;

/// Grows a byte vector, one primitive after the other.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// What was written so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written.
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes, little endian.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// Four bytes, little endian.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Eight bytes, little endian.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// A variable-length unsigned integer: 1 byte up to 0xfc, else a marker and 2, 4 or 8 bytes.
    pub fn uint(&mut self, value: u64) {
        match (u8::try_from(value), u16::try_from(value), u32::try_from(value)) {
            (Ok(byte), _, _) if byte <= 0xfc => self.u8(byte),
            (_, Ok(word), _) => {
                self.u8(0xfd);
                self.u16(word);
            }
            (_, _, Ok(double)) => {
                self.u8(0xfe);
                self.u32(double);
            }
            _ => {
                self.u8(0xff);
                self.u64(value);
            }
        }
    }

    /// The count of something in memory, as a `uint`.
    pub fn count(&mut self, count: usize) {
        self.uint(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Bytes as they are, with no length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// `uint` length, then the bytes.
    pub fn buffer(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    /// A buffer that may be absent; absent and empty share one form, as in the reference.
    pub fn optional_buffer(&mut self, bytes: Option<&[u8]>) {
        self.buffer(bytes.unwrap_or_default());
    }

    /// `uint` length in bytes, then UTF-8.
    pub fn string(&mut self, text: &str) {
        self.buffer(text.as_bytes());
    }
}
