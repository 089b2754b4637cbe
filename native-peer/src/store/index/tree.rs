//! Looking things up in the tree.

use super::page::{Page, PagePlace};
use super::pager::Pager;
use crate::store::fault::Fault;
use crate::store::log::segment::Kind;
use bytes::Bytes;

/// The tree's top; `None` when it is empty.
pub(in crate::store) type Root = Option<PagePlace>;

/// The value of a key.
pub(in crate::store) fn get(pager: &mut Pager, root: Root, key: &[u8]) -> Result<Option<Bytes>, Fault> {
    let Some(mut place) = root else { return Ok(None) };
    let (mut above, mut guess) = (None, 0);
    loop {
        let page = pager.look(place)?;
        if above.is_some_and(|above| page.level().checked_add(1) != Some(above)) {
            return Err(unreadable(place));
        }
        if page.level() == 0 {
            let found = page.search_near(key, guess).ok();
            return found.map(|at| page.shared_value(at).ok_or_else(|| unreadable(place))).transpose();
        }
        let at = page.child_for(key);
        guess = page.guess_in_child(at, key);
        above = Some(page.level());
        place = page.child(at).ok_or_else(|| unreadable(place))?;
    }
}

/// The first entry at or after a key.
pub(in crate::store) fn next(pager: &mut Pager, root: Root, key: &[u8]) -> Result<Option<(Bytes, Bytes)>, Fault> {
    let Some(root) = root else { return Ok(None) };
    let mut path: Vec<(PagePlace, Page, usize)> = Vec::new();
    let (mut place, mut page) = (root, pager.page(root)?);
    let mut key = key;
    loop {
        while page.level() > 0 {
            let at = page.child_for(key);
            let (next_place, next_page) = child(pager, place, &page, at)?;
            path.push((place, page, at));
            (place, page) = (next_place, next_page);
        }
        let at = page.search(key).unwrap_or_else(|at| at);
        if at < page.len() {
            return page.shared_entry(at).map(Some).ok_or_else(|| unreadable(place));
        }
        // Past the leaf's end: up to the nearest page with a child further on, then down its front.
        let Some(up) = path.iter().rposition(|(_, page, at)| at.saturating_add(1) < page.len()) else {
            return Ok(None);
        };
        path.truncate(up.saturating_add(1));
        let Some((up_place, up_page, at)) = path.pop() else { return Ok(None) };
        let at = at.saturating_add(1);
        (place, page) = child(pager, up_place, &up_page, at)?;
        path.push((up_place, up_page, at));
        key = &[];
    }
}

/// A page's child, which must be one level down.
pub(super) fn child(pager: &mut Pager, place: PagePlace, page: &Page, at: usize) -> Result<(PagePlace, Page), Fault> {
    let below = page.child(at).ok_or_else(|| unreadable(place))?;
    let child = pager.page(below)?;
    if child.level().checked_add(1) != Some(page.level()) {
        return Err(unreadable(below));
    }
    Ok((below, child))
}

pub(super) fn unreadable(place: PagePlace) -> Fault {
    Fault::damaged(&Kind::Tree.name(place.segment), place.offset, "a page of the index cannot be read")
}

/// True when the tree still refers to the page at `place`, whose level and first key are given.
pub(in crate::store) fn is_live(
    pager: &mut Pager,
    root: Root,
    key: &[u8],
    level: u8,
    place: PagePlace,
) -> Result<bool, Fault> {
    let Some(mut at) = root else { return Ok(false) };
    let mut page = pager.page(at)?;
    while page.level() > level {
        let below = page.child_for(key);
        (at, page) = child(pager, at, &page, below)?;
    }
    Ok(at == place)
}
