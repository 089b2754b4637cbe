//! Bytes the writer gave, kept until the peer has them. Packets refer to them by stream offset, so that sending and
//! resending copy straight from here.

use bytes::Bytes;
use std::collections::VecDeque;

/// Written bytes from the first unacknowledged to the last unsent.
#[derive(Debug, Default)]
pub(super) struct SendBuffer {
    /// Non-empty pieces with the stream offset of their first byte.
    pieces: VecDeque<(u64, Bytes)>,
    /// Offset one past the last written byte.
    end: u64,
    /// Offset of the first byte no packet carries yet.
    sent: u64,
    /// Index of the piece that holds `sent`, or of the one to come.
    cursor: usize,
}

impl SendBuffer {
    /// Takes bytes at the end.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if let Ok(length) = u64::try_from(bytes.len())
            && length > 0
        {
            self.pieces.push_back((self.end, bytes));
            self.end += length;
        }
    }

    /// Appends the next `length` unsent bytes to `out` and counts them as sent.
    pub(super) fn send(&mut self, length: usize, out: &mut Vec<u8>) {
        let (cursor, sent) = self.copy(self.cursor, self.sent, length, out);
        self.cursor = cursor;
        self.sent = sent;
    }

    /// Appends `length` sent bytes from `offset` to `out` once more.
    pub(super) fn resend(&self, offset: u64, length: usize, out: &mut Vec<u8>) {
        let piece = self.pieces.partition_point(|&(start, _)| start <= offset).saturating_sub(1);
        self.copy(piece, offset, length, out);
    }

    /// Forgets everything below `offset`.
    pub(super) fn acknowledge(&mut self, offset: u64) {
        while let Some((start, bytes)) = self.pieces.front()
            && start.saturating_add(len_u64(bytes)) <= offset
        {
            self.pieces.pop_front();
            self.cursor = self.cursor.saturating_sub(1);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.sent = self.end;
        self.cursor = 0;
    }

    /// Offset of the first byte no packet carries yet.
    pub(super) fn sent_offset(&self) -> u64 {
        self.sent
    }

    /// Bytes no packet carries yet.
    pub(super) fn unsent(&self) -> usize {
        usize::try_from(self.end - self.sent).unwrap_or(usize::MAX)
    }

    /// Copies; gives the piece and the offset where it stopped.
    fn copy(&self, mut piece: usize, mut offset: u64, mut length: usize, out: &mut Vec<u8>) -> (usize, u64) {
        while length > 0
            && let Some((start, bytes)) = self.pieces.get(piece)
        {
            let skip = usize::try_from(offset.saturating_sub(*start)).unwrap_or(usize::MAX);
            let rest = bytes.get(skip..).unwrap_or_default();
            let part = rest.get(..length).unwrap_or(rest);
            out.extend_from_slice(part);
            offset += len_u64(part);
            length -= part.len();
            if part.len() == rest.len() {
                piece += 1;
            }
        }
        (piece, offset)
    }
}

fn len_u64(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packets_carry_what_was_written(
            writes in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20),
            packet in 1usize..50,
        ) {
            let mut buffer = SendBuffer::default();
            let all = writes.concat();
            writes.into_iter().for_each(|write| buffer.push(write.into()));
            let mut offset = 0;
            while buffer.unsent() > 0 {
                let length = packet.min(buffer.unsent());
                let (mut first, mut again) = (Vec::new(), Vec::new());
                buffer.send(length, &mut first);
                buffer.resend(offset as u64, length, &mut again);
                prop_assert_eq!(&first, &all[offset..offset + length]);
                prop_assert_eq!(&again, &first);
                if offset % 3 == 0 {
                    buffer.acknowledge((offset + length) as u64);
                }
                offset += length;
                prop_assert_eq!(buffer.sent_offset(), offset as u64);
            }
            prop_assert_eq!(offset, all.len());
            buffer.acknowledge(offset as u64);
            prop_assert!(buffer.pieces.is_empty());
        }
    }
}
