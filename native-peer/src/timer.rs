//! The one timer: sleeps until the machine's deadline, or until an earlier one appears.

use crate::machine::Machine;
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// Runs until the store is closed or its last handle is gone.
pub(crate) fn start(machine: &Arc<Machine>) {
    let told = Arc::clone(&machine.timer);
    let machine = Arc::downgrade(machine);
    tokio::spawn(async move { while tick(&machine, &told).await {} });
}

async fn tick(machine: &Weak<Machine>, told: &Notify) -> bool {
    // Holding the machine while asleep would keep the store open for good.
    match machine.upgrade().and_then(|machine| machine.tick()) {
        None => return false,
        Some(None) => told.notified().await,
        Some(Some(at)) => {
            tokio::select! {
                () = tokio::time::sleep_until(at.into()) => {}
                () = told.notified() => {}
            }
        }
    }
    true
}
