//! Bounded cursor over received bytes.

use alloc::string::String;
use core::fmt;

/// The input ended early or held a value no peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What was being read.
    pub what: &'static str,
    /// The byte at which the fault was noticed, from the start of the input.
    pub offset: usize,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed {} at byte {}", self.what, self.offset)
    }
}

impl core::error::Error for DecodeError {}

/// The largest integer the reference accepts: it holds integers as doubles.
pub(super) const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Reads primitives from the front of a byte slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the first byte of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total: bytes.len() }
    }

    /// How many bytes were read.
    pub fn offset(&self) -> usize {
        self.total.saturating_sub(self.rest.len())
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// True when every byte was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The error "`what` is malformed here".
    pub fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { what, offset: self.offset() }
    }

    /// `length` bytes as they are.
    pub fn raw(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.rest.split_at_checked(length).ok_or_else(|| self.error(what))?;
        self.rest = tail;
        Ok(head)
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// `N` bytes.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.error(what))?;
        self.rest = tail;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// Two bytes, little endian.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.array(what).map(u16::from_le_bytes)
    }

    /// Four bytes, little endian.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// Eight bytes, little endian.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A variable-length integer up to 2^53 - 1. Longer forms than needed are accepted, as the reference does.
    pub fn uint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let at = self.error(what);
        let value = match self.u8(what)? {
            0xfd => u64::from(self.u16(what)?),
            0xfe => u64::from(self.u32(what)?),
            0xff => self.u64(what)?,
            byte => u64::from(byte),
        };
        if value > MAX_SAFE_INTEGER { Err(at) } else { Ok(value) }
    }

    /// A `uint` that says how many items follow, each at least `item_size` bytes: refused when they cannot be there.
    pub fn count(&mut self, item_size: usize, what: &'static str) -> Result<usize, DecodeError> {
        let at = self.error(what);
        let count = usize::try_from(self.uint(what)?).map_err(|_| at)?;
        let bytes = count.checked_mul(item_size).ok_or(at)?;
        if bytes > self.remaining() { Err(at) } else { Ok(count) }
    }

    /// `uint` length, then that many bytes.
    pub fn buffer(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.count(1, what)?;
        self.raw(length, what)
    }

    /// A buffer whose empty form means absent.
    pub fn optional_buffer(&mut self, what: &'static str) -> Result<Option<&'a [u8]>, DecodeError> {
        self.buffer(what).map(|bytes| (!bytes.is_empty()).then_some(bytes))
    }

    /// `uint` length, then UTF-8; invalid sequences become U+FFFD, as in the reference.
    pub fn string(&mut self, what: &'static str) -> Result<String, DecodeError> {
        self.buffer(what).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}
