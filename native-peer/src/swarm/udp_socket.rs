//! One UDP socket: batches in and out, IPv4 through a dual-stack socket.

use super::udx::SocketId;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;

/// A bound socket.
#[derive(Debug)]
pub(super) struct Socket {
    id: SocketId,
    io: UdpSocket,
    batches: UdpSocketState,
    ipv6: bool,
    closed: Notify,
}

/// Memory that a batch of datagrams is received into; all sockets take turns with it.
#[derive(Debug, Default)]
pub(super) struct ReceiveMemory(Vec<u8>);

impl Socket {
    /// Binds a socket, inside a tokio runtime.
    pub(super) fn bind(id: SocketId, address: SocketAddr) -> io::Result<Self> {
        let raw = RawSocket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            raw.set_only_v6(false)?;
        }
        raw.set_nonblocking(true)?;
        raw.bind(&address.into())?;
        // The system caps these as it likes.
        let _ = raw.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = raw.set_send_buffer_size(SOCKET_BUFFER);
        let io = UdpSocket::from_std(raw.into())?;
        let batches = UdpSocketState::new(UdpSockRef::from(&io))?;
        Ok(Self { id, io, batches, ipv6: address.is_ipv6(), closed: Notify::new() })
    }

    /// The driver's number of it.
    pub(super) fn id(&self) -> SocketId {
        self.id
    }

    /// Where it is bound.
    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Datagrams the system splits one buffer into.
    pub(super) fn max_segments(&self) -> usize {
        self.batches.max_gso_segments()
    }

    /// Ends [`Socket::readable`].
    pub(super) fn close(&self) {
        self.closed.notify_one();
    }

    /// Waits for datagrams; false when the socket is closed.
    pub(super) async fn readable(&self) -> bool {
        tokio::select! {
            biased;
            () = self.closed.notified() => false,
            result = self.io.readable() => result.is_ok(),
        }
    }

    /// Waits for room.
    pub(super) async fn writable(&self) {
        let _ = self.io.writable().await;
    }

    /// Sends a buffer, cut into datagrams of `segment_size` bytes when that is given.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let destination = self.mapped(to)?;
        let transmit = Transmit { destination, ecn: None, contents: bytes, segment_size, src_ip: None };
        let sent = self.batches.try_send(UdpSockRef::from(&self.io), &transmit);
        match &sent {
            // Told to tokio, so that `writable` waits.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.io.try_io(Interest::WRITABLE, || sent),
            _ => sent,
        }
    }

    /// Sends one datagram with its own time to live.
    pub(super) fn send_with_ttl(&self, to: SocketAddr, bytes: &[u8], ttl: Option<u32>) -> io::Result<()> {
        let Some(ttl) = ttl else { return self.send(to, bytes, None) };
        let socket = socket2::SockRef::from(&self.io);
        let (v4, v6) = (socket.ttl_v4()?, socket.unicast_hops_v6());
        socket.set_ttl_v4(ttl)?;
        if self.ipv6 {
            socket.set_unicast_hops_v6(ttl)?;
        }
        let sent = self.send(to, bytes, None);
        socket.set_ttl_v4(v4)?;
        if self.ipv6 {
            socket.set_unicast_hops_v6(v6?)?;
        }
        sent
    }

    /// Gives one batch of datagrams to `take`.
    pub(super) fn receive(
        &self,
        memory: &mut ReceiveMemory,
        mut take: impl FnMut(SocketAddr, &[u8]),
    ) -> io::Result<()> {
        memory.0.resize(BATCH_SIZE * SLOT, 0);
        let mut slots: Vec<IoSliceMut<'_>> = memory.0.chunks_mut(SLOT).map(IoSliceMut::new).collect();
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let count = self
            .io
            .try_io(Interest::READABLE, || self.batches.recv(UdpSockRef::from(&self.io), &mut slots, &mut metas))?;
        for (slot, meta) in slots.iter().zip(&metas).take(count) {
            let from = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            let bytes = slot.get(..meta.len).unwrap_or_default();
            for datagram in bytes.chunks(meta.stride.max(1)) {
                take(from, datagram);
            }
        }
        Ok(())
    }

    fn mapped(&self, to: SocketAddr) -> io::Result<SocketAddr> {
        match (self.ipv6, to.ip()) {
            (true, IpAddr::V4(v4)) => Ok(SocketAddr::new(v4.to_ipv6_mapped().into(), to.port())),
            (false, IpAddr::V6(_)) => Err(io::ErrorKind::Unsupported.into()),
            _ => Ok(to),
        }
    }
}

/// Bytes of the largest datagram, or of several received as one.
const SLOT: usize = 65_536;
const SOCKET_BUFFER: usize = 2 * 1024 * 1024;
