//! Extension messages: whatever peers of a core want to tell each other beside its blocks.

use crate::events::CoreEvent;
use crate::hypercore::Hypercore;
use crate::subscription::Subscription;
use bytes::Bytes;
use corestore_core::corestore::ConnectionId;

/// One extension of one core, by name. Messages that came before it was made are not heard.
#[derive(Debug)]
pub struct Extension {
    core: Hypercore,
    name: String,
    events: Subscription<CoreEvent>,
}

impl Extension {
    pub(crate) fn new(core: Hypercore, name: String) -> Self {
        let events = core.subscribe();
        Self { core, name, events }
    }

    /// Sends to every peer of the core; those without this extension ignore it.
    pub fn broadcast(&self, payload: impl Into<Bytes>) {
        let (payload, session) = (payload.into(), self.core.session());
        session.machine.act(|machine, _| machine.send_extension(session.id, &self.name, &payload));
    }

    /// The next message and where it came from; `None` once the store is closed.
    pub async fn receive(&mut self) -> Option<(ConnectionId, Bytes)> {
        loop {
            match self.events.next_event().await? {
                CoreEvent::Extension { name, payload, connection } if name == self.name => {
                    return Some((connection, payload));
                }
                _ => {}
            }
        }
    }
}
