//! What a member does by itself: it looks at the network, and writes down the nodes it knows.

use super::shared::Shared;
use crate::swarm::{local_network, node_cache};
use std::path::PathBuf;
use std::sync::Weak;
use std::time::Duration;

/// Sees whether the network changed, and keeps the nodes we know for the next start.
pub(super) async fn look_after(shared: Weak<Shared>, nodes_file: Option<PathBuf>, port: u16) {
    for round in 1_u64.. {
        tokio::time::sleep(LOOK).await;
        let Some(shared) = shared.upgrade() else { return };
        let (host, closed) = {
            let state = shared.lock();
            (state.host, state.closed)
        };
        if closed {
            return;
        }
        if host.is_unspecified() {
            let addresses = local_network::addresses(host, port);
            shared.act(|state, now| state.dht.network_seen(now, addresses));
        }
        if let Some(file) = nodes_file.as_deref().filter(|_| round == 1 || round.is_multiple_of(ROUNDS)) {
            let nodes = shared.lock().dht.node().nodes(node_cache::LIMIT);
            let file = file.to_owned();
            // A node that is not kept is found again.
            let _ = tokio::task::spawn_blocking(move || node_cache::write(&file, &nodes)).await;
        }
    }
}

/// Between two looks at the network.
const LOOK: Duration = Duration::from_secs(5);

/// Looks until the nodes are written down again: ten minutes.
const ROUNDS: u64 = 120;
