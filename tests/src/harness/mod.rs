//! Processes, and the genuine JavaScript peers among them.

mod js;
mod paths;
mod process;

pub use js::{js_peer, js_script};
pub use paths::{corestore, target};
pub use process::Process;
