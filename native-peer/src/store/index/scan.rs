//! Records in order, from the tree and the changes above it.

use super::items::RECORD_KIND;
use super::overlay::{Known, Overlay};
use super::pager::Pager;
use super::tree::{self, Root};
use crate::store::fault::Fault;
use bytes::Bytes;
use corestore_core::storage::{RecordKey, ScanRecords};

/// What records are read from: overlays, the newest first, then the tree.
#[derive(Debug)]
pub(in crate::store) struct Layers<'a> {
    pub(in crate::store) overlays: [Option<&'a Overlay>; 2],
    pub(in crate::store) root: Root,
}

/// Rows of a scan, and whether more follow.
pub(in crate::store) type Rows = (Vec<(RecordKey, Bytes)>, bool);

impl Layers<'_> {
    pub(in crate::store) fn record(&self, pager: &mut Pager, key: &RecordKey) -> Result<Option<Bytes>, Fault> {
        for overlay in self.overlays.into_iter().flatten() {
            match overlay.record(key) {
                Known::Value(value) => return Ok(Some(value)),
                Known::Gone => return Ok(None),
                Known::Unknown => {}
            }
        }
        tree::get(pager, self.root, &super::items::record_tree_key(key))
    }

    pub(in crate::store) fn scan(&self, pager: &mut Pager, scan: &ScanRecords) -> Result<Rows, Fault> {
        let limit = usize::try_from(scan.limit).unwrap_or(usize::MAX);
        let mut rows = Vec::new();
        let mut from = scan.start.clone();
        while from < scan.end {
            let Some((key, value)) = self.next(pager, &from, &scan.end)? else { return Ok((rows, false)) };
            if rows.len() >= limit {
                return Ok((rows, true));
            }
            from = after(&key);
            rows.push((key, value));
        }
        Ok((rows, false))
    }

    /// The first record in a range that has a value.
    fn next(&self, pager: &mut Pager, from: &RecordKey, end: &RecordKey) -> Result<Option<(RecordKey, Bytes)>, Fault> {
        let mut from = from.clone();
        while from < *end {
            let mut first = self.next_in_tree(pager, &from)?.filter(|key| key < end);
            for overlay in self.overlays.into_iter().flatten() {
                let known = overlay.next_record(&from..end).cloned();
                first = match (first, known) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            let Some(key) = first else { return Ok(None) };
            if let Some(value) = self.record(pager, &key)? {
                return Ok(Some((key, value)));
            }
            let cut = self.overlays.into_iter().flatten().filter_map(|overlay| overlay.cut_until(&key)).next();
            // Within a cut only newer overlays can have records, and they are asked by key.
            from = match (cut, self.next_above(&key, end)) {
                (None, _) => after(&key),
                (Some(cut), Some(above)) => cut.clone().min(above),
                (Some(cut), None) => cut.clone(),
            };
        }
        Ok(None)
    }

    /// The next key after `key` that any overlay knows.
    fn next_above(&self, key: &RecordKey, end: &RecordKey) -> Option<RecordKey> {
        let from = after(key);
        let overlays = self.overlays.into_iter().flatten();
        if from >= *end {
            return None;
        }
        overlays.filter_map(|overlay| overlay.next_record(&from..end)).min().cloned()
    }

    fn next_in_tree(&self, pager: &mut Pager, from: &RecordKey) -> Result<Option<RecordKey>, Fault> {
        let found = tree::next(pager, self.root, &super::items::record_tree_key(from))?;
        Ok(found.and_then(|(key, _)| key.strip_prefix(&[RECORD_KIND]).map(|key| RecordKey(key.to_vec()))))
    }
}

/// The smallest key past `key`.
fn after(key: &RecordKey) -> RecordKey {
    let mut bytes = key.0.clone();
    bytes.push(0);
    RecordKey(bytes)
}
