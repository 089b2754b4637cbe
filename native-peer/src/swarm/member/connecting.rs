//! A connection being made.

use super::handle::Member;
use crate::swarm::hyperdht::{ConnectError, ConnectionId};
use crate::swarm::wire::Wire;
use tokio::sync::oneshot;

/// A connection being made. Dropping it gives it up.
#[derive(Debug)]
pub struct Connecting {
    pub(super) member: Member,
    pub(super) connection: ConnectionId,
    pub(super) receiver: oneshot::Receiver<Result<Wire, ConnectError>>,
}

impl Connecting {
    /// Its name in events.
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Waits for the connection.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn done(mut self) -> Result<Wire, ConnectError> {
        (&mut self.receiver).await.unwrap_or(Err(ConnectError::Cancelled))
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        let id = self.connection;
        self.member.shared.act(|state, now| {
            if state.connecting.remove(&id).is_some() {
                state.dht.cancel_connect(now, id);
            }
        });
    }
}
