//! A stream makes the next datagram, or several of one size.

use super::config::Config;
use super::event::{CloseReason, Remote};
use super::packet::{HEADER_SIZE, Header, Kind, MAX_SACKS, low_bits};
use super::sender::Choice;
use super::stream::{Signal, Stream};
use corestore_core::time::Instant;

/// Datagrams for one remote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) remote: Remote,
    /// Bytes of each datagram but the last, when there are several.
    pub(super) segment: Option<usize>,
}

impl Stream {
    /// Appends what is to be sent next to `out`, which is empty; `None` when there is nothing now.
    pub(super) fn transmit(&mut self, now: Instant, config: &Config, out: &mut Vec<u8>) -> Option<Batch> {
        let remote = self.link.remote()?;
        let mut batch = Batch { remote, segment: None };
        if core::mem::take(&mut self.destroy_due) {
            self.ack_due = false;
            self.put_header(Kind::DESTROY, remote.id, low_bits(self.sender.ledger.next()), out);
        } else if core::mem::take(&mut self.heartbeat_due) {
            self.put_header(Kind::HEARTBEAT, remote.id, low_bits(self.sender.ledger.next()), out);
        } else if let Some(message) = self.messages_out.pop_front() {
            self.put_header(Kind::MESSAGE, remote.id, low_bits(self.sender.ledger.next()), out);
            out.extend_from_slice(&message);
        } else if self.ack_due && self.receive.has_gap() {
            self.put_ack(remote.id, out);
        } else if let Some(data) = self.transmit_data(now, config, out) {
            batch = data;
        } else if self.ack_due {
            self.put_ack(remote.id, out);
        } else {
            self.finish();
            return None;
        }
        let count = batch.segment.map_or(1, |segment| out.len().div_ceil(segment));
        self.stats.packets_sent += u64::try_from(count).unwrap_or(0);
        self.stats.bytes_sent += u64::try_from(out.len()).unwrap_or(0);
        Some(batch)
    }

    fn transmit_data(&mut self, now: Instant, config: &Config, out: &mut Vec<u8>) -> Option<Batch> {
        if self.closed.is_some() {
            return None;
        }
        self.sender.refill(now);
        let (mut first, mut count) = (None, 0);
        while count < config.max_segments
            && out.len() + MAX_DATAGRAM <= MAX_BATCH
            && let Some(choice) = self.sender.choose(config)
        {
            let (path, size) = *first.get_or_insert((choice.path(), choice.size()));
            let fits = choice.path() == path && choice.size() <= size && !choice.is_probe();
            if count > 0 && !fits {
                break;
            }
            self.put_packet(choice, now, out);
            count += 1;
            if choice.size() < size || choice.is_probe() {
                break;
            }
        }
        self.after_data(config);
        let (path, size) = first?;
        let remote = self.link.remote_of(path)?;
        Some(Batch { remote, segment: (count > 1).then_some(size) })
    }

    fn after_data(&mut self, config: &Config) {
        self.sender.after_batch();
        self.timers.paced_until = self.sender.paced_until(config);
        if self.signals.writable == Signal::Quiet && self.sender.buffer.unsent() <= config.unsent_limit / 2 {
            self.signals.writable.raise();
        }
    }

    fn put_packet(&mut self, choice: Choice, now: Instant, out: &mut Vec<u8>) {
        let (data, ends, padding) = match choice {
            Choice::Again(_, sent) => (sent.length > 0, sent.ends, 0),
            Choice::New(contents) => (contents.length > 0, contents.ends, contents.padding),
        };
        let number = match choice {
            Choice::Again(number, _) => number,
            Choice::New(_) => self.sender.ledger.next(),
        };
        let mut kind = if data { Kind::DATA } else { Kind(0) };
        if ends {
            kind = kind | Kind::END;
        }
        let stream = self.link.remote_of(choice.path()).map_or(0, |remote| remote.id);
        self.ack_due &= self.receive.has_gap();
        let header = Header { data_offset: padding, ..self.header(kind, stream, low_bits(number)) };
        out.extend_from_slice(&header.encode());
        self.sender.commit(choice, now, out);
    }

    fn put_ack(&mut self, stream: u32, out: &mut Vec<u8>) {
        self.ack_due = false;
        let kind = if self.receive.has_gap() { Kind::SACK } else { Kind::ACK };
        self.put_header(kind, stream, low_bits(self.sender.ledger.next()), out);
        for range in self.receive.report(MAX_SACKS) {
            out.extend_from_slice(&low_bits(range.start).to_le_bytes());
            out.extend_from_slice(&low_bits(range.end).to_le_bytes());
        }
    }

    fn put_header(&mut self, kind: Kind, stream: u32, seq: u32, out: &mut Vec<u8>) {
        let header = self.header(kind, stream, seq);
        out.extend_from_slice(&header.encode());
    }

    fn header(&mut self, kind: Kind, stream: u32, seq: u32) -> Header {
        let window = self.receive.window();
        self.advertised = window;
        Header { kind, data_offset: 0, stream, window, seq, ack: low_bits(self.receive.next()) }
    }

    /// Closes a stream both of whose directions have ended, once the last acknowledgement is out.
    fn finish(&mut self) {
        if self.closed.is_none() && self.sender.is_finished() && self.receive.is_complete() {
            self.close(CloseReason::Finished);
        }
    }
}

/// Largest datagram made here, with room to spare.
const MAX_DATAGRAM: usize = HEADER_SIZE + 2048;
/// Bytes the system takes as one batch.
const MAX_BATCH: usize = 65_000;
