//! Two valid signatures over different histories: the core freezes, for good.

use super::change::{Applied, Commit};
use super::hypercore::Hypercore;
use alloc::vec::Vec;

impl Hypercore {
    /// Freezes the core: it keeps what it has, serves it to nobody and takes no change any more.
    pub fn freeze(&mut self) -> Commit {
        self.staged.frozen = true;
        let applied = Applied { frozen: true, ..Applied::default() };
        self.stage(Vec::new(), applied, true)
    }
}
