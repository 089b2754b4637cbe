//! Connections being made, by name, and which of them has something to do next: nobody asks them all.

use super::output::ConnectionId;
use corestore_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// Something that wants to be woken.
pub(super) trait Timed {
    /// When.
    fn deadline(&self) -> Instant;
}

/// A table of them. Whatever was lent out to be changed is looked at again.
#[derive(Debug)]
pub(super) struct Timetable<T> {
    /// Boxed: a map that has emptied keeps the room of eleven. With the time under which it stands in `due`.
    entries: BTreeMap<ConnectionId, (Instant, Box<T>)>,
    due: BTreeSet<(Instant, ConnectionId)>,
    lent: BTreeSet<ConnectionId>,
}

impl<T: Timed> Timetable<T> {
    pub(super) fn new() -> Self {
        Self { entries: BTreeMap::new(), due: BTreeSet::new(), lent: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn contains_key(&self, id: &ConnectionId) -> bool {
        self.entries.contains_key(id)
    }

    pub(super) fn get(&self, id: &ConnectionId) -> Option<&T> {
        self.entries.get(id).map(|(_, entry)| &**entry)
    }

    pub(super) fn get_mut(&mut self, id: &ConnectionId) -> Option<&mut T> {
        let (_, entry) = self.entries.get_mut(id)?;
        self.lent.insert(*id);
        Some(entry)
    }

    pub(super) fn insert(&mut self, id: ConnectionId, entry: Box<T>) {
        self.remove(&id);
        let at = entry.deadline();
        self.entries.insert(id, (at, entry));
        self.due.insert((at, id));
    }

    pub(super) fn remove(&mut self, id: &ConnectionId) -> Option<Box<T>> {
        let (at, entry) = self.entries.remove(id)?;
        self.due.remove(&(at, *id));
        self.lent.remove(id);
        Some(entry)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &ConnectionId> {
        self.entries.keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.values().map(|(_, entry)| &**entry)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ConnectionId, &T)> {
        self.entries.iter().map(|(id, (_, entry))| (id, &**entry))
    }

    /// When the first of them wants to be woken, or somewhat earlier.
    pub(super) fn first(&self) -> Option<Instant> {
        let lent = self.lent.iter().filter_map(|id| self.get(id)).map(Timed::deadline);
        lent.chain(self.due.first().map(|(at, _)| *at)).min()
    }

    /// Those whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Vec<ConnectionId> {
        self.settle();
        self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect()
    }

    /// Takes note of what changed.
    pub(super) fn settle(&mut self) {
        while let Some(id) = self.lent.pop_first() {
            let Some((at, entry)) = self.entries.get_mut(&id) else { continue };
            let new = entry.deadline();
            if new != *at {
                self.due.remove(&(std::mem::replace(at, new), id));
                self.due.insert((new, id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Timed for u64 {
        fn deadline(&self) -> Instant {
            Instant::from_micros(*self)
        }
    }

    #[test]
    fn what_changed_is_due_at_its_new_time_only() {
        let (mut table, at) = (Timetable::new(), Instant::from_micros);
        (1..=5).for_each(|id| table.insert(ConnectionId(id), Box::new(10 * id)));
        assert_eq!((table.first(), table.len()), (Some(at(10)), 5));
        *table.get_mut(&ConnectionId(4)).unwrap() = 5;
        *table.get_mut(&ConnectionId(1)).unwrap() = 99;
        assert_eq!(table.first(), Some(at(5)), "before it is asked who is due");
        assert_eq!(table.due(at(20)), [ConnectionId(4), ConnectionId(2)]);
        assert_eq!(table.remove(&ConnectionId(4)).as_deref(), Some(&5));
        assert_eq!((table.first(), table.due(at(19)).len()), (Some(at(20)), 0));
        table.insert(ConnectionId(2), Box::new(1));
        assert_eq!(table.due(at(1)), [ConnectionId(2)]);
        assert_eq!(table.due(at(100)).len(), 4, "each of them once");
    }
}
