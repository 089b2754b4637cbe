//! The layout's version, and how a store of an older one comes to it.
//!
//! Version 1 had pages of 16 blocks, and for a while of 32 without saying so: its pages tell, since an index within a
//! page is below 16 in the one and goes on to 31 in the other. Version 2 has pages of 32.

use super::database::{Table, Transaction};
use super::indexed_db::key_of;
use super::overlay::Place;
use super::pages::{BlockPage, Page};
use bytes::Bytes;
use corestore_core::storage::StorageError;
use std::collections::BTreeMap;

/// The version of what this library writes.
pub(super) const VERSION: u32 = 2;

/// Carries a store of version 1 over, within the transaction that raises its version. A page that cannot be read is
/// dropped: its blocks are reported as damaged when they are asked for.
pub(super) async fn upgrade(transaction: &Transaction) -> Result<(), StorageError> {
    if has_wide_pages(transaction).await? {
        return Ok(());
    }
    let mut after = None;
    let mut pages: BTreeMap<Place, BlockPage> = BTreeMap::new();
    loop {
        let rows = rows_after(transaction, after.as_deref()).await?;
        // A page's new number is not above its old one, so nothing is overwritten that was not read.
        for (key, row) in &rows {
            transaction.delete(Table::Blocks, key)?;
            if let Some((place, page)) = widened(key, row) {
                pages.entry(place).or_default().items_mut().extend(page.items().clone());
            }
        }
        // The last one's other half may come in the next rows.
        let held = if rows.is_empty() { None } else { pages.pop_last() };
        for (place, page) in core::mem::take(&mut pages) {
            transaction.put(Table::Blocks, &key_of(place), &page.encode())?;
        }
        pages.extend(held);
        match rows.last() {
            Some((last, _)) => after = Some(last.to_vec()),
            None => return Ok(()),
        }
    }
}

/// True when some page has an index that only pages of 32 blocks have.
async fn has_wide_pages(transaction: &Transaction) -> Result<bool, StorageError> {
    let mut after = None;
    loop {
        let rows = rows_after(transaction, after.as_deref()).await?;
        let wide = |page: BlockPage| page.items().keys().any(|index| *index >= NARROW_SPAN);
        if rows.iter().any(|(_, row)| BlockPage::decode(0, row).is_ok_and(wide)) {
            return Ok(true);
        }
        let Some((last, _)) = rows.last() else { return Ok(false) };
        after = Some(last.to_vec());
    }
}

/// Some rows of the table of blocks, with their keys, past the one under `after`.
async fn rows_after(transaction: &Transaction, after: Option<&[u8]>) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
    let start = after.map_or_else(Vec::new, |last| [last, &[0]].concat());
    let range = start..vec![u8::MAX; 13];
    let keys = transaction.keys(Table::Blocks, &range, ROWS)?;
    let rows = transaction.values(Table::Blocks, &range, ROWS)?;
    rows.answered().await?;
    Ok(keys.all().into_iter().zip(rows.all()).collect())
}

/// A page of 16 blocks as a part of one of 32.
fn widened(key: &[u8], row: &Bytes) -> Option<(Place, BlockPage)> {
    let (slot, number) = key.split_first_chunk::<4>()?;
    let number = u64::from_be_bytes(number.try_into().ok()?);
    let mut page = BlockPage::decode(number / 2, row).ok()?;
    if !number.is_multiple_of(2) {
        let items = core::mem::take(page.items_mut());
        page.items_mut().extend(items.into_iter().map(|(index, block)| (index.saturating_add(NARROW_SPAN), block)));
    }
    Some(((u32::from_be_bytes(*slot), number / 2), page))
}

/// Blocks of a page in version 1.
const NARROW_SPAN: u64 = 16;
/// Rows read at once.
const ROWS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::database::{Database, Sureness};
    use crate::storage::journal::Block;
    use wasm_bindgen_test::wasm_bindgen_test;

    /// A store of version 1 with these pages: number and count of blocks, each block its index within the core.
    async fn old_store(name: &str, span: u64, pages: &[(u64, u64)]) {
        let database = Database::open_version(name, 1).await.expect("it opens");
        let transaction = database.write(&[Table::Blocks], Sureness::Relaxed).expect("it begins");
        for (number, count) in pages {
            let blocks = (0..*count).map(|at| Bytes::copy_from_slice(&(number * span + at).to_be_bytes())).collect();
            let page = BlockPage::of(0, blocks);
            for slot in [3, 7] {
                transaction.put(Table::Blocks, &key_of((slot, *number)), &page.encode()).expect("it is put");
            }
        }
        transaction.done().await.expect("it is stored");
        database.close();
    }

    /// Which blocks are found under their own indexes.
    async fn found(name: &str, slot: u32) -> Vec<u64> {
        let database = Database::open(name).await.expect("it opens");
        let transaction = database.read(&[Table::Blocks]).expect("it begins");
        let rows = rows_after(&transaction, None).await.expect("it reads");
        assert!(rows.len() < 64, "all rows are read");
        let mut indexes = Vec::new();
        for (key, row) in rows.iter().filter(|(key, _)| key.starts_with(&slot.to_be_bytes())) {
            let number = u64::from_be_bytes(key[4..].try_into().expect("a number"));
            for (index, block) in BlockPage::decode(number, row).expect("a page").items() {
                assert_eq!(*block, Block::Inline(Bytes::copy_from_slice(&index.to_be_bytes())));
                indexes.push(*index);
            }
        }
        database.close();
        indexes
    }

    #[wasm_bindgen_test]
    async fn pages_of_16_blocks_become_pages_of_32() {
        let name = format!("layout-16-{}", js_sys::Math::random());
        // More pages than are read at once, a hole, and an odd page alone.
        let pages: Vec<(u64, u64)> = (0..33).map(|number| (number, 16)).chain([(36, 3), (41, 2)]).collect();
        old_store(&name, 16, &pages).await;
        let due: Vec<u64> = (0..33 * 16).chain(576..579).chain(656..658).collect();
        assert_eq!(found(&name, 3).await, due);
        assert_eq!(found(&name, 7).await, due);
    }

    #[wasm_bindgen_test]
    async fn pages_of_32_blocks_stay() {
        let name = format!("layout-32-{}", js_sys::Math::random());
        old_store(&name, 32, &[(0, 17), (2, 4)]).await;
        assert_eq!(found(&name, 3).await, (0..17).chain(64..68).collect::<Vec<_>>());
    }
}
