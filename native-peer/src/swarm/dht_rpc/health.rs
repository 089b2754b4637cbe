//! Is anybody answering? (`dht-rpc/lib/health.js`)

/// Counts of the last tick, and how many ticks in a row were silent.
#[derive(Debug, Default)]
pub(super) struct Health {
    responses: u64,
    timeouts: u64,
    silent: u32,
    offline: bool,
}

impl Health {
    /// Takes the counters at a tick; tells when the state changed, and to which (true: online).
    pub(super) fn update(&mut self, responses: u64, timeouts: u64) -> Option<bool> {
        let answered = responses.saturating_sub(self.responses);
        let lost = timeouts.saturating_sub(self.timeouts);
        (self.responses, self.timeouts) = (responses, timeouts);
        if answered.saturating_add(lost) < IDLE {
            return None;
        }
        self.silent = if answered == 0 { self.silent.saturating_add(1) } else { 0 };
        let offline = if answered > 0 { false } else { self.offline || self.silent >= SILENT_TICKS };
        (std::mem::replace(&mut self.offline, offline) != offline).then_some(!offline)
    }

    pub(super) fn is_online(&self) -> bool {
        !self.offline
    }
}

/// With fewer requests than this in a tick nothing can be said.
const IDLE: u64 = 4;
/// Silent ticks in a row that mean that we are offline.
const SILENT_TICKS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_silent_ticks_are_offline_and_one_answer_is_online() {
        let mut health = Health::default();
        assert_eq!(health.update(9, 0), None);
        assert_eq!(health.update(9, 5), None);
        assert_eq!(health.update(9, 6), None);
        assert_eq!(health.update(9, 11), Some(false));
        assert!(!health.is_online());
        assert_eq!(health.update(10, 15), Some(true));
    }
}
