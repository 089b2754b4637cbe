//! What a member counts of its connections, stage by stage.

use super::output::Path;

/// Counters since the start, calls of others to our servers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections we began to make.
    pub connects: u64,
    /// Of these, handshakes that the peer answered.
    pub agreed: u64,
    /// Of these, given up.
    pub failed: u64,
    /// Handshakes of others that a server of ours took up.
    pub calls: u64,
    /// Handshakes of others that were over a limit or did not hold.
    pub calls_refused: u64,
    /// Punches begun.
    pub punches: u64,
    /// Connections that met at a blind relay, or tried to.
    pub meetings: u64,
    /// Ways that were open from the first.
    pub direct: u64,
    /// Ways on the local network.
    pub local: u64,
    /// Ways through two NATs.
    pub hole_punched: u64,
    /// Ways by a blind relay.
    pub relayed: u64,
    /// Of these, left for a direct way.
    pub upgraded: u64,
}

impl Stats {
    pub(super) fn found_way(&mut self, path: Path, moved: bool) {
        add(match path {
            Path::Direct => &mut self.direct,
            Path::Local => &mut self.local,
            Path::HolePunched => &mut self.hole_punched,
            Path::Relayed => &mut self.relayed,
        });
        if moved {
            add(&mut self.upgraded);
        }
    }
}

/// Counts one.
pub(super) fn add(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
