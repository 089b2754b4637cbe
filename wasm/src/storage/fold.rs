//! Folding: which rows a layer's outcome touches, and what becomes of a page. Pure; the database is elsewhere.

use super::journal::Block;
use super::overlay::{Layer, Overlay, Place};
use super::pages::{BlockPage, NodePage, Page};
use core::ops::Range;
use std::collections::BTreeMap;

/// The rows that change when a layer is folded into pages.
#[derive(Debug, Default)]
pub(crate) struct FoldPlan {
    pub(crate) blocks: PagePlan<Block>,
    pub(crate) nodes: PagePlan<corestore_core::merkle::Node>,
    /// Rows of large blocks that are gone.
    pub(crate) large_gone: Vec<Range<Place>>,
}

/// Pages of one kind.
#[derive(Debug)]
pub(crate) struct PagePlan<I> {
    /// Whole pages to remove, as slot and page number.
    pub(crate) gone: Vec<Range<Place>>,
    /// Pages to read, change and put.
    pub(crate) patches: BTreeMap<Place, Patch<I>>,
}

/// What changes in one page.
#[derive(Clone, Debug)]
pub(crate) struct Patch<I> {
    /// True when nothing of the stored page stays.
    pub(crate) fresh: bool,
    gone: Vec<Range<u64>>,
    puts: Vec<(u64, I)>,
}

impl FoldPlan {
    pub(crate) fn new(layer: &Overlay) -> Self {
        Self {
            blocks: PagePlan::new::<BlockPage>(&layer.blocks),
            nodes: PagePlan::new::<NodePage>(&layer.nodes),
            large_gone: layer.blocks.gone().collect(),
        }
    }
}

impl<I> Default for PagePlan<I> {
    fn default() -> Self {
        Self { gone: Vec::new(), patches: BTreeMap::new() }
    }
}

impl<I: Clone> PagePlan<I> {
    fn new<P: Page<Item = I>>(layer: &Layer<Place, I>) -> Self {
        let mut plan = Self::default();
        for range in layer.gone() {
            plan.add_gone::<P>(&range);
        }
        for ((slot, index), item) in &layer.puts {
            let place = (*slot, index / P::SPAN);
            let fresh = plan.gone.iter().any(|range| range.contains(&place));
            let patch = plan.patches.entry(place).or_insert_with(|| Patch::new(fresh));
            patch.puts.push((*index, item.clone()));
        }
        plan
    }

    /// Removes whole pages as rows; the pages at its ends are changed.
    fn add_gone<P: Page<Item = I>>(&mut self, range: &Range<Place>) {
        let ((slot, start), (_, end)) = (range.start, range.end);
        let first_whole = start.div_ceil(P::SPAN);
        // A range to the last index there is has no page at its end.
        let past_whole = if end == u64::MAX { u64::MAX } else { end / P::SPAN };
        if first_whole < past_whole {
            self.gone.push((slot, first_whole)..(slot, past_whole));
        }
        for page in [start / P::SPAN, end / P::SPAN] {
            let of_page = P::range(page);
            let part = start.max(of_page.start)..end.min(of_page.end);
            let whole = page >= first_whole && page < past_whole;
            if part.start < part.end && !whole {
                let patch = self.patches.entry((slot, page)).or_insert_with(|| Patch::new(false));
                if !patch.gone.contains(&part) {
                    patch.gone.push(part);
                }
            }
        }
    }
}

impl<I: Clone> Patch<I> {
    fn new(fresh: bool) -> Self {
        Self { fresh, gone: Vec::new(), puts: Vec::new() }
    }

    /// The page after the change, from the page before it.
    pub(crate) fn apply<P: Page<Item = I>>(&self, page: Option<P>) -> P {
        let mut page = page.filter(|_| !self.fresh).unwrap_or_default();
        self.gone.iter().for_each(|range| page.remove(range));
        page.items_mut().extend(self.puts.iter().cloned());
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::journal::JournalOp;
    use bytes::Bytes;
    use corestore_core::storage::CoreSlot;
    use wasm_bindgen_test::wasm_bindgen_test;

    const CORE: CoreSlot = CoreSlot(1);

    fn layer(ops: &[JournalOp]) -> FoldPlan {
        let mut overlay = Overlay::default();
        ops.iter().for_each(|op| overlay.apply(op));
        FoldPlan::new(&overlay)
    }

    fn put(start: u64, count: usize) -> JournalOp {
        JournalOp::PutBlocks { core: CORE, start, blocks: vec![Bytes::from_static(b"n"); count] }
    }

    #[wasm_bindgen_test]
    fn a_removal_takes_whole_pages_as_rows_and_cuts_the_ends() {
        let plan = layer(&[JournalOp::DeleteBlocks { core: CORE, range: 10..200 }]);
        assert_eq!(plan.blocks.gone, [(1, 1)..(1, 6)]);
        assert_eq!(plan.blocks.patches.keys().copied().collect::<Vec<_>>(), [(1, 0), (1, 6)]);
        let old = BlockPage::of(0, vec![Bytes::from_static(b"o"); 16]);
        let page = plan.blocks.patches[&(1, 0)].apply(Some(old));
        assert_eq!(page.items().keys().copied().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        let plan = layer(&[JournalOp::DeleteBlocks { core: CORE, range: 32..u64::MAX }]);
        assert_eq!(plan.blocks.gone, [(1, 1)..(1, u64::MAX)]);
        assert!(plan.blocks.patches.is_empty());
    }

    #[wasm_bindgen_test]
    fn what_is_put_after_a_removal_starts_from_an_empty_page() {
        let plan = layer(&[JournalOp::DeleteBlocks { core: CORE, range: 0..100 }, put(33, 2)]);
        let old = BlockPage::of(32, vec![Bytes::from_static(b"o"); 32]);
        let page = plan.blocks.patches[&(1, 1)].apply(Some(old));
        assert_eq!(page.items().keys().copied().collect::<Vec<_>>(), [33, 34]);
        assert!(plan.blocks.gone.iter().any(|range| range.contains(&(1, 1))));
    }

    #[wasm_bindgen_test]
    fn a_removal_within_one_page_keeps_its_sides() {
        let plan = layer(&[JournalOp::DeleteBlocks { core: CORE, range: 3..5 }, put(4, 1)]);
        let old = BlockPage::of(0, vec![Bytes::from_static(b"o"); 6]);
        let page = plan.blocks.patches[&(1, 0)].apply(Some(old));
        assert_eq!(page.items().len(), 5);
        assert_eq!(page.items()[&4], Block::Inline(Bytes::from_static(b"n")));
        assert_eq!(page.items().get(&3), None);
    }
}
