//! From a way that was found to a stream on it, and from one way to another.

use super::shared::{Shared, State};
use crate::swarm::dht_rpc::SocketId;
use crate::swarm::hyperdht::{Connected, Event, Path};
use crate::swarm::udx::{Firewall, Remote, StreamId, StreamOptions};
use crate::swarm::udx_stream::{Grip, UdxStream};
use crate::swarm::wire::{Made, SocketGuard, Wire};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Where a stream is to be connected, and who gets it.
pub(super) struct Link {
    remote: Remote,
    wire: Box<dyn FnOnce(UdxStream) + Send>,
}

impl Shared {
    /// Closes a socket that was opened for one connection, some time after it is dropped.
    fn socket_guard(self: &Arc<Self>, socket: SocketId) -> SocketGuard {
        let shared = Arc::clone(self);
        SocketGuard::new(move || {
            // The stream's last packets still need the socket.
            shared.clone().runtime.spawn(async move {
                tokio::time::sleep(LINGER).await;
                shared.udp.close(socket);
            });
        })
    }

    pub(super) fn open_stream(self: &Arc<Self>, state: &mut State, id: u32) {
        let options = StreamOptions { firewall: Firewall::Ask, ..StreamOptions::default() };
        let Ok(stream) = self.udp.open(StreamId(id), options) else { return };
        let (sender, link) = oneshot::channel();
        state.streams.insert(id, sender);
        tokio::spawn(wait_for_link(Arc::clone(self), stream, link));
    }

    pub(super) fn connected(self: &Arc<Self>, state: &mut State, connected: Connected) {
        let Connected { connection, server, local_stream, remote_stream, socket, remote, split, moved, path } =
            connected;
        if moved {
            let grip = Grip::new(self.udp.clone(), StreamId(local_stream));
            let address = SocketAddr::V4(remote);
            grip.change_remote(Remote { socket, address, id: remote_stream });
            if !is_shared(socket) {
                tokio::spawn(close_after(self.socket_guard(socket), grip));
            }
            return state.tell_all(|| {
                let split = None;
                let told =
                    Connected { connection, server, local_stream, remote_stream, socket, remote, split, moved, path };
                Event::Connected(Box::new(told))
            });
        }
        let Some(link) = state.streams.remove(&local_stream) else { return };
        let punched = !is_shared(socket) && path != Path::Relayed;
        let guard = punched.then(|| self.socket_guard(socket));
        let initiator = server.is_none();
        let made = Made { connection, split, initiator, path, remote_address: remote };
        let make = move |stream| Wire::new(stream, guard, made);
        let wire: Box<dyn FnOnce(UdxStream) + Send> = match server {
            Some(server) => {
                let Some(accepting) = state.servers.get(&server).cloned() else { return };
                // When nobody accepts, further connections are dropped.
                Box::new(move |stream| drop(accepting.try_send(make(stream))))
            }
            None => {
                let Some(waiting) = state.connecting.remove(&connection) else { return };
                Box::new(move |stream| drop(waiting.send(Ok(make(stream)))))
            }
        };
        let remote = Remote { socket, address: SocketAddr::V4(remote), id: remote_stream };
        let _ = link.send(Link { remote, wire });
    }
}

/// The socket serves more than one connection.
fn is_shared(socket: SocketId) -> bool {
    [SocketId::SERVER, SocketId::CLIENT].contains(&socket)
}

/// Closes the socket of a connection that found another path, once its stream is over.
async fn close_after(guard: SocketGuard, stream: Grip) {
    stream.over().await;
    drop(guard);
}

/// Keeps a stream until it is known where it leads. Whoever sends to it before shows the way.
async fn wait_for_link(shared: Arc<Shared>, stream: UdxStream, mut link: oneshot::Receiver<Link>) {
    loop {
        tokio::select! {
            biased;
            link = &mut link => {
                if let Ok(Link { remote, wire }) = link && stream.connect(remote, None).is_ok() {
                    stream.answer(true);
                    // The peer may wait for a first packet, and whoever gets the wire need not write first. A stream
                    // that is over by now says so to its owner.
                    let _ = stream.greet();
                    wire(stream);
                }
                return;
            }
            asked = stream.asked() => {
                let Some((socket, from)) = asked else { return };
                shared.act(|state, now| {
                    if let SocketAddr::V4(from) = from {
                        state.dht.handle_stream_packet(now, socket, from, stream.id().0);
                    }
                });
            }
        }
    }
}

/// A socket is closed so long after its stream.
const LINGER: Duration = Duration::from_secs(3);
