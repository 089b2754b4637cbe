//! Control frames and batches (`protomux/index.js`).

use crate::encoding::{DecodeError, Reader, Writer};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// A control message: the number after the leading channel 0.
pub(super) const BATCH: u64 = 0;
pub(super) const OPEN: u64 = 1;
pub(super) const REJECT: u64 = 2;
pub(super) const CLOSE: u64 = 3;

/// What an open frame says.
pub(super) struct Open {
    pub(super) remote_id: u64,
    pub(super) protocol: String,
    pub(super) id: Option<Vec<u8>>,
    pub(super) handshake: Bytes,
}

impl Open {
    pub(super) fn decode(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, DecodeError> {
        Ok(Self {
            remote_id: reader.uint("open: channel")?,
            protocol: reader.string("open: protocol")?,
            id: reader.optional_buffer("open: id")?.map(<[u8]>::to_vec),
            handshake: frame.slice_ref(reader.rest()),
        })
    }
}

/// An open message, without the leading channel 0.
pub(super) fn open(local_id: u64, protocol: &str, id: Option<&[u8]>, handshake: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(handshake.len().saturating_add(64));
    writer.uint(OPEN);
    writer.uint(local_id);
    writer.string(protocol);
    writer.optional_buffer(id);
    writer.raw(handshake);
    writer.into_vec()
}

/// A reject or close message, without the leading channel 0.
pub(super) fn control(kind: u64, id: u64) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.uint(kind);
    writer.uint(id);
    writer.into_vec()
}

/// A frame of its own: channel, then the message (its number and payload, in any parts).
pub(super) fn single(channel: u64, message: &[&[u8]]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(length(message).saturating_add(9));
    writer.uint(channel);
    message.iter().for_each(|part| writer.raw(part));
    writer.into_vec()
}

/// Bytes of a message in parts.
pub(super) fn length(message: &[&[u8]]) -> usize {
    message.iter().map(|part| part.len()).fold(0, usize::saturating_add)
}

/// Messages that travel as one frame.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Writer,
    channel: Option<u64>,
    /// Where the message begins, while there is but one.
    only: Option<usize>,
}

impl Batch {
    /// Adds a message (its number and payload, in any parts) of a channel.
    pub(super) fn push(&mut self, channel: u64, message: &[&[u8]]) {
        let first = self.channel.is_none();
        match self.channel {
            None => {
                self.bytes.uint(0);
                self.bytes.uint(BATCH);
                self.bytes.uint(channel);
            }
            Some(last) if last != channel => {
                self.bytes.uint(0);
                self.bytes.uint(channel);
            }
            Some(_) => {}
        }
        self.channel = Some(channel);
        self.bytes.count(length(message));
        self.only = first.then(|| self.len());
        message.iter().for_each(|part| self.bytes.raw(part));
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.as_slice().len()
    }

    /// The frame, unless nothing was added.
    pub(super) fn finish(self) -> Option<Bytes> {
        self.channel.map(|_| Bytes::from(self.bytes.into_vec()))
    }

    /// As [`Batch::finish`], but one message alone becomes a frame of its own, which is shorter.
    pub(super) fn finish_short(self) -> Option<Bytes> {
        let Some(only) = self.only else { return self.finish() };
        let channel = self.channel?;
        let mut bytes = self.bytes.into_vec();
        let mut head = Writer::new();
        head.uint(channel);
        let start = only.saturating_sub(head.as_slice().len());
        let place = bytes.get_mut(start..only).unwrap_or_default();
        place.iter_mut().zip(head.as_slice()).for_each(|(to, from)| *to = *from);
        Some(Bytes::from(bytes).slice(start..))
    }
}
