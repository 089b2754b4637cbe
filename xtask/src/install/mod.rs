//! What the commands need and a fresh machine lacks. Each installer does nothing when its thing is there, and says in
//! one line what it installs and why when it is not.

pub(crate) mod bare_target;
pub(crate) mod browser;
pub(crate) mod namespaces;
pub(crate) mod npm;
mod packages;
mod say;
pub(crate) mod tools;
pub(crate) mod wasm_target;

use say::say;
