//! The thread that waits for the disk, so that nobody else does: a write that must survive a power cut is answered when
//! its sync is done, and what is written meanwhile gathers into the next one.

use crate::machine::Machine;
use crate::store::Syncing;
use corestore_core::storage::OpId;
use std::sync::{Arc, Weak, mpsc};
use std::thread;

/// Hands syncs to the thread; it ends with this.
#[derive(Debug)]
pub(crate) struct Committer(mpsc::Sender<(OpId, Syncing)>);

impl Committer {
    /// Starts the thread; `None` when the system has none to give, and syncs are then waited for in place.
    pub(crate) fn start(machine: &Arc<Machine>) -> Option<Self> {
        let (sender, receiver) = mpsc::channel();
        let machine = Arc::downgrade(machine);
        let thread = thread::Builder::new().name("corestore-commit".to_owned());
        thread.spawn(move || run(&receiver, &machine)).ok().map(|_| Self(sender))
    }

    /// Syncs, then answers operation `op`. Gives the sync back when the thread is gone.
    pub(crate) fn sync(&self, op: OpId, syncing: Syncing) -> Result<(), Syncing> {
        self.0.send((op, syncing)).map_err(|mpsc::SendError((_, syncing))| syncing)
    }
}

fn run(receiver: &mpsc::Receiver<(OpId, Syncing)>, machine: &Weak<Machine>) {
    for (op, syncing) in receiver {
        let synced = syncing.run();
        // Holding the machine while waiting would keep the store open for good.
        let Some(machine) = machine.upgrade() else { return };
        machine.synced(op, synced);
    }
}
