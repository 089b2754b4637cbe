//! The machine takes a datagram: whose it is, whether it is let in, relayed or answered from the grave.

use super::endpoint::Udx;
use super::event::{CloseReason, Event, SocketId, StreamError, StreamId};
use super::link::Admission;
use super::meter::Meter;
use super::packet::{Kind, Packet};
use bytes::Bytes;
use core::net::SocketAddr;
use corestore_core::time::Instant;

impl Udx {
    /// Takes a datagram. False when it is no UDX packet at all, so that it is for others on the same socket.
    pub fn handle_datagram(&mut self, now: Instant, socket: SocketId, from: SocketAddr, datagram: &[u8]) -> bool {
        if !Packet::is_udx(datagram) {
            return false;
        }
        let Some(packet) = Packet::decode(datagram) else { return true };
        let id = packet.header.stream;
        let Some(stream) = self.streams.get_mut(&id) else {
            if let Some((remote, answer)) = self.lingering.answer(&packet) {
                self.outbox.push(remote.socket, remote.address, answer);
            }
            return true;
        };
        match stream.link.admit(socket, from, datagram) {
            Admission::Accept => self.deliver(now, id, &packet, datagram),
            Admission::Drop => {}
            Admission::Ask => self.events.push_back(Event::Firewall { stream: StreamId(id), socket, from }),
        }
        true
    }

    /// Answers [`Event::Firewall`]: whether the one who was asked about may send to the stream from now on. Connect
    /// the stream before answering, so that what he sent is acknowledged at once.
    pub fn answer_firewall(&mut self, now: Instant, id: StreamId, admit: bool) {
        let held = self.streams.get_mut(&id.0).map(|stream| stream.link.answer(admit)).unwrap_or_default();
        for datagram in held {
            if let Some(packet) = Packet::decode(&datagram) {
                self.deliver(now, id.0, &packet, &datagram);
            }
        }
    }

    /// Passes every datagram that arrives for `id` on to the remote of `other`, unread. Both ways need two calls. When
    /// `other` closes, so does `id`.
    ///
    /// # Errors
    /// [`StreamError`] when one of them is unknown or closed, or `id` relays already.
    pub fn relay_to(&mut self, id: StreamId, other: StreamId) -> Result<(), StreamError> {
        self.streams.get(&other.0).ok_or(StreamError::Unknown(other))?.check_open()?;
        let stream = self.streams.get_mut(&id.0).ok_or(StreamError::Unknown(id))?;
        stream.check_open()?;
        if stream.relay_to.is_some() || id == other {
            return Err(StreamError::CannotRelay);
        }
        stream.relay_to = Some(other.0);
        self.relays.insert((other.0, id.0));
        self.touch(id.0);
        Ok(())
    }

    /// Has a stream pass on no more than `meter` allows, which others may share.
    pub fn meter(&mut self, id: StreamId, meter: Meter) {
        self.streams.get_mut(&id.0).into_iter().for_each(|stream| stream.meter = Some(meter.clone()));
    }

    fn deliver(&mut self, now: Instant, id: u32, packet: &Packet<'_>, datagram: &[u8]) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.stats.packets_received += 1;
        stream.stats.bytes_received += u64::try_from(datagram.len()).unwrap_or(0);
        if let Some(other) = stream.relay_to {
            // A reset is always told.
            let passes = |meter: &Meter| packet.header.kind.has(Kind::DESTROY) || meter.take(now, datagram.len());
            if !stream.meter.as_ref().is_none_or(passes) {
                return;
            }
            self.forward(id, other, packet.header.kind, datagram);
            return;
        }
        let was_open = stream.closed.is_none();
        stream.on_packet(now, packet, &self.config);
        if was_open && stream.closed.is_some() {
            self.close_relays(id);
        }
        self.touch(id);
    }

    fn forward(&mut self, id: u32, other: u32, kind: Kind, datagram: &[u8]) {
        if let Some(target) = self.streams.get_mut(&other).filter(|target| target.closed.is_none())
            && let Some(remote) = target.link.remote()
        {
            let mut copy = datagram.to_vec();
            if let Some(slot) = copy.get_mut(STREAM_ID) {
                slot.copy_from_slice(&remote.id.to_le_bytes());
            }
            target.stats.packets_sent += 1;
            target.stats.bytes_sent += u64::try_from(copy.len()).unwrap_or(0);
            self.outbox.push(remote.socket, remote.address, Bytes::from(copy));
        }
        if kind.has(Kind::DESTROY) {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.close(CloseReason::Reset);
            }
            self.close_relays(id);
            self.touch(id);
        }
    }

    /// Closes the streams that are relayed to `id`, which is closed.
    pub(super) fn close_relays(&mut self, id: u32) {
        let ids: Vec<u32> = self.relays.range((id, 0)..=(id, u32::MAX)).map(|&(_, relayed)| relayed).collect();
        for id in ids {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.close(CloseReason::RelayClosed);
            }
            self.touch(id);
        }
    }
}

/// Bytes of the header that hold the stream id.
const STREAM_ID: core::ops::Range<usize> = 4..8;
