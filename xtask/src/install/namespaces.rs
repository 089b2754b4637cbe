//! What builds small internets of network namespaces.

use super::packages;
use crate::command::find;
use std::path::Path;

/// `ip` and `nft`, installed if missing. Where that cannot be done, the tests that need them say that they did not run.
pub(crate) fn ensure() {
    let tools = [("ip", "iproute2"), ("nft", "nftables")];
    let missing: Vec<&str> = tools.iter().filter(|(tool, _)| !is_there(tool)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return;
    }
    if let Err(error) = packages::install(&missing, "peers are tested behind NATs of the kernel") {
        println!("{error}; going on without them");
    }
}

fn is_there(tool: &str) -> bool {
    // They are root's, mostly.
    find(tool).is_some() || ["/usr/sbin", "/sbin"].iter().any(|folder| Path::new(folder).join(tool).exists())
}
