//! How an installer tells what it does.

/// What is installed, and why.
pub(super) fn say(what: &str, why: &str) {
    println!("installing {what}: {why}");
}
