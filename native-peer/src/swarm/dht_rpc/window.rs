//! How many requests may be on their way: so many in a slot, twice as many in the last four
//! (`dht-rpc/lib/io.js`, `CongestionWindow`).

#[derive(Debug)]
pub(super) struct Window {
    slots: [usize; 4],
    at: usize,
    max: usize,
}

impl Window {
    pub(super) fn new(max: usize) -> Self {
        Self { slots: [0; 4], at: 0, max }
    }

    pub(super) fn is_full(&self) -> bool {
        let total: usize = self.slots.iter().sum();
        total >= self.max.saturating_mul(2) || self.slots.get(self.at).is_some_and(|slot| *slot >= self.max)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots == [0; 4]
    }

    pub(super) fn sent(&mut self) {
        if let Some(slot) = self.slots.get_mut(self.at) {
            *slot = slot.saturating_add(1);
        }
    }

    pub(super) fn answered(&mut self) {
        if let Some(slot) = self.slots.get_mut(self.at) {
            *slot = slot.saturating_sub(1);
        }
    }

    /// Begins the next slot; what the oldest one counted is forgotten.
    pub(super) fn turn(&mut self) {
        self.at = self.at.wrapping_add(1) % self.slots.len();
        self.slots.iter_mut().skip(self.at).take(1).for_each(|slot| *slot = 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slot_fills_then_two_and_time_frees_them() {
        let mut window = Window::new(3);
        (0..3).for_each(|_| window.sent());
        assert!(window.is_full());
        window.answered();
        assert!(!window.is_full());
        window.sent();
        window.turn();
        assert!(!window.is_full());
        (0..3).for_each(|_| window.sent());
        window.turn();
        assert!(window.is_full());
        window.turn();
        assert!(window.is_full());
        window.turn();
        assert!(!window.is_full());
    }
}
