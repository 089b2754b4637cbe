//! Progress bars on a terminal.

use crate::output::short;
use corestore_peer::Hypercore;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::time::Duration;

/// A bar per core, below the lines printed; nothing when it is off.
#[derive(Debug)]
pub(crate) struct Progress(Option<MultiProgress>);

impl Progress {
    pub(crate) fn new(on: bool) -> Self {
        Self(on.then(MultiProgress::new))
    }

    /// Shows how much of `core` is stored, as long as the program runs.
    pub(crate) fn watch(&self, core: Hypercore) {
        let Some(bars) = &self.0 else { return };
        let bar = bars.add(ProgressBar::no_length().with_prefix(short(&core.key().0)));
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        tokio::spawn(async move {
            loop {
                let info = core.info();
                bar.set_length(info.length);
                bar.set_position(info.stored_blocks);
                bar.set_message(format!("{} peers", info.peers));
                tokio::time::sleep(EVERY).await;
            }
        });
    }

    /// Prints without disturbing the bars.
    pub(crate) fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }
}

const TEMPLATE: &str = "{prefix} {bar:32} {pos}/{len} blocks, {per_sec}, {msg}";
const EVERY: Duration = Duration::from_millis(150);
