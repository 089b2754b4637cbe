//! A stream takes a packet (libudx `src/udx.c` `process_packet`).

use super::config::Config;
use super::event::CloseReason;
use super::packet::{Kind, Packet, expand};
use super::receive_buffer::Arrival;
use super::recovery::Report;
use super::stream::{Signal, Stream};
use bytes::Bytes;
use corestore_core::time::Instant;

impl Stream {
    /// Takes a packet that the link admits.
    pub(super) fn on_packet(&mut self, now: Instant, packet: &Packet<'_>, config: &Config) {
        let header = packet.header;
        if header.kind.has(Kind::HEARTBEAT) {
            self.ack_due = true;
            self.settle_remote();
            return;
        }
        let Some(seq) = expand(header.seq, self.receive.next()) else { return };
        if self.closed.is_some() {
            self.on_packet_after_close(header.kind);
            return;
        }
        if header.kind.is_ordered() {
            self.on_ordered(seq, packet);
        }
        if header.kind.has(Kind::DESTROY) && seq >= self.receive.next() {
            self.close(CloseReason::Reset);
            return;
        }
        if header.kind.has(Kind::MESSAGE) {
            self.on_message(packet.payload, config);
        }
        if let Some(ack) = expand(header.ack, self.sender.ledger.first()) {
            let report = Report { seq, ack, window: header.window };
            self.sender.on_report(now, report, packet.sacks(), config);
            self.after_report(now, config);
        }
        self.rearm_keep_alive(now);
    }

    fn on_ordered(&mut self, seq: u64, packet: &Packet<'_>) {
        self.ack_due = true;
        let ends = packet.header.kind.has(Kind::END);
        if self.receive.accept(seq, packet.payload, ends) == Arrival::InOrder {
            self.signals.readable.raise();
        }
    }

    fn on_message(&mut self, payload: &[u8], config: &Config) {
        if self.messages_in.len() < config.max_messages {
            self.messages_in.push_back(Bytes::copy_from_slice(payload));
            self.signals.message.raise();
        }
    }

    fn after_report(&mut self, now: Instant, config: &Config) {
        self.settle_remote();
        self.probe_closed_window(now);
        if self.sender.buffer.unsent() <= config.unsent_limit / 2 && self.signals.writable == Signal::Quiet {
            self.signals.writable.raise();
        }
        if self.sender.is_finished() {
            self.signals.finished.raise();
        }
    }

    /// A peer that did not hear the last word is told again.
    fn on_packet_after_close(&mut self, kind: Kind) {
        match self.closed {
            Some(CloseReason::Finished) if kind.is_ordered() => self.ack_due = true,
            Some(CloseReason::Destroyed) if kind.is_ordered() => self.destroy_due = self.relay_to.is_none(),
            _ => {}
        }
    }
}
