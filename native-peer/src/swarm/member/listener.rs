//! A server's connections, as they come.

use super::handle::Member;
use crate::swarm::hyperdht::ServerId;
use crate::swarm::wire::Wire;
use std::net::SocketAddrV4;
use tokio::sync::mpsc;

/// Accepts the connections of one server. Dropping it ends the server.
#[derive(Debug)]
pub struct MemberListener {
    pub(super) member: Member,
    pub(super) server: ServerId,
    pub(super) wires: mpsc::Receiver<Wire>,
}

impl MemberListener {
    /// The next connection; `None` when the member ended.
    pub async fn accept(&mut self) -> Option<Wire> {
        self.wires.recv().await
    }

    /// Nodes through which the server is reached.
    pub fn relay_addresses(&self) -> Vec<SocketAddrV4> {
        self.member.shared.lock().dht.relay_addresses(self.server).to_vec()
    }

    /// The server's name in events.
    pub fn id(&self) -> ServerId {
        self.server
    }
}

impl Drop for MemberListener {
    fn drop(&mut self) {
        let server = self.server;
        self.member.shared.lock().servers.remove(&server);
        self.member.act(|dht, now| dht.close_server(now, server));
    }
}
