//! Pages that were read or written last, bounded by their bytes.

use super::overlay::Place;
use super::pages::{BlockPage, NodePage, Page};
use std::collections::BTreeMap;

/// Recent pages of both kinds. `None` stands for a page that is not stored.
#[derive(Debug, Default)]
pub(crate) struct PageCache {
    pub(crate) blocks: Shelf<BlockPage>,
    pub(crate) nodes: Shelf<NodePage>,
}

/// Recent pages of one kind.
#[derive(Debug)]
pub(crate) struct Shelf<P> {
    pages: BTreeMap<Place, (u64, usize, Option<P>)>,
    by_age: BTreeMap<u64, Place>,
    bytes: usize,
    clock: u64,
}

impl<P> Default for Shelf<P> {
    fn default() -> Self {
        Self { pages: BTreeMap::new(), by_age: BTreeMap::new(), bytes: 0, clock: 0 }
    }
}

impl<P: Page> Shelf<P> {
    /// The page, if it is known, and makes it the youngest.
    pub(crate) fn get(&mut self, place: Place) -> Option<&Option<P>> {
        self.clock = self.clock.saturating_add(1);
        let (age, _, page) = self.pages.get_mut(&place)?;
        self.by_age.remove(age);
        *age = self.clock;
        self.by_age.insert(self.clock, place);
        Some(page)
    }

    /// What is known of the item at a slot and index.
    pub(crate) fn item(&mut self, place: Place) -> Option<Option<P::Item>> {
        let page = self.get(P::place_of(place))?;
        Some(page.as_ref().and_then(|page| page.items().get(&place.1).cloned()))
    }

    /// Keeps a page of about `size` bytes, and lets the oldest go.
    pub(crate) fn insert(&mut self, place: Place, page: Option<P>, size: usize) {
        self.remove(place);
        self.clock = self.clock.saturating_add(1);
        let size = size.saturating_add(PAGE_OVERHEAD);
        self.bytes = self.bytes.saturating_add(size);
        self.pages.insert(place, (self.clock, size, page));
        self.by_age.insert(self.clock, place);
        while self.bytes > SHELF_BYTES {
            let Some((_, oldest)) = self.by_age.first_key_value().map(|(age, place)| (*age, *place)) else { return };
            self.remove(oldest);
        }
    }

    /// Forgets a page.
    pub(crate) fn remove(&mut self, place: Place) {
        if let Some((age, size, _)) = self.pages.remove(&place) {
            self.by_age.remove(&age);
            self.bytes = self.bytes.saturating_sub(size);
        }
    }

    /// Forgets every page of the range.
    pub(crate) fn remove_range(&mut self, range: &core::ops::Range<Place>) {
        if range.start < range.end {
            let places: Vec<Place> = self.pages.range(range.clone()).map(|(place, _)| *place).collect();
            places.into_iter().for_each(|place| self.remove(place));
        }
    }
}

/// Bytes of pages kept per kind.
const SHELF_BYTES: usize = 8 << 20;
/// What a page costs beside its content.
const PAGE_OVERHEAD: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn the_oldest_pages_go_when_there_are_too_many_bytes() {
        let mut shelf = Shelf::<BlockPage>::default();
        for page in 0..5 {
            shelf.insert((0, page), None, 2 << 20);
            assert!(shelf.get((0, 0)).is_some());
        }
        assert!(shelf.pages.contains_key(&(0, 4)) && !shelf.pages.contains_key(&(0, 1)));
        assert!(shelf.bytes <= SHELF_BYTES);
        shelf.remove_range(&((0, 0)..(1, 0)));
        assert_eq!((shelf.bytes, shelf.by_age.len()), (0, 0));
    }
}
