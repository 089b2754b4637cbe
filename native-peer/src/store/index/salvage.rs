//! What a tree with damaged pages still holds, and the keys that are lost.

use super::page::PagePlace;
use super::pager::Pager;
use super::tree::{Root, unreadable};
use crate::store::fault::Fault;
use bytes::Bytes;

/// A damaged page: what was under these keys is lost.
#[derive(Debug)]
pub(in crate::store) struct LostPage {
    /// How it is damaged.
    pub(in crate::store) fault: Fault,
    from: Bytes,
    /// `None`: to the last key.
    to: Option<Bytes>,
}

impl LostPage {
    /// Whether some key with `from <= key < to` may have been there.
    pub(in crate::store) fn covers(&self, from: &[u8], to: &[u8]) -> bool {
        self.from.as_ref() < to && self.to.as_ref().is_none_or(|end| from < end.as_ref())
    }
}

struct Todo {
    place: PagePlace,
    /// `None` for the root.
    level: Option<u8>,
    from: Bytes,
    to: Option<Bytes>,
}

/// Hands every entry of the tree that can be read to `visit`, in key order; gives the pages that cannot.
pub(in crate::store) fn walk(
    pager: &mut Pager,
    root: Root,
    visit: &mut dyn FnMut(Bytes, Bytes) -> Result<(), Fault>,
) -> Result<Vec<LostPage>, Fault> {
    let mut lost = Vec::new();
    let top = root.map(|place| Todo { place, level: None, from: Bytes::new(), to: None });
    let mut todo: Vec<Todo> = top.into_iter().collect();
    while let Some(next) = todo.pop() {
        let page = pager.page(next.place).and_then(|page| {
            let expected = next.level.is_none_or(|level| level == page.level());
            let whole =
                (0..page.len()).all(|at| page.entry(at).is_some() && (page.level() == 0 || page.child(at).is_some()));
            if expected && whole { Ok(page) } else { Err(unreadable(next.place)) }
        });
        let page = match page {
            Ok(page) => page,
            Err(fault @ Fault::Damaged { .. }) => {
                lost.push(LostPage { fault, from: next.from, to: next.to });
                continue;
            }
            Err(fault) => return Err(fault),
        };
        let entries = (0..page.len()).filter_map(|at| page.shared_entry(at));
        let Some(below) = page.level().checked_sub(1) else {
            entries.into_iter().try_for_each(|(key, value)| visit(key, value))?;
            continue;
        };
        let mut to = next.to;
        for (at, (key, value)) in entries.enumerate().collect::<Vec<_>>().into_iter().rev() {
            // Keys before the first child's belong to the first.
            let from = if at == 0 { next.from.clone() } else { key };
            let after = to.replace(from.clone());
            todo.extend(PagePlace::from_bytes(&value).map(|place| Todo { place, level: Some(below), from, to: after }));
        }
    }
    Ok(lost)
}
