//! The record keys of a store, one function each. First byte: what; then whose.

use super::op::{CoreSlot, RecordKey};
use crate::crypto::{DiscoveryKey, Hash};
use alloc::vec::Vec;
use core::ops::Range;

/// Format version and the next free slot.
pub fn store_state() -> RecordKey {
    RecordKey(Vec::from([STORE]))
}

/// The primary key all local names derive from.
pub fn primary_key() -> RecordKey {
    RecordKey(Vec::from([PRIMARY_KEY]))
}

/// A local name, by the hash of namespace and name.
pub fn alias(name: &Hash) -> RecordKey {
    with(ALIAS, name.as_ref())
}

/// A core's slot.
pub fn core(discovery_key: &DiscoveryKey) -> RecordKey {
    with(CORE, discovery_key.as_ref())
}

/// Every core's slot.
pub fn cores() -> Range<RecordKey> {
    RecordKey(Vec::from([CORE]))..RecordKey(Vec::from([CORE + 1]))
}

/// Every local name.
pub fn aliases() -> Range<RecordKey> {
    RecordKey(Vec::from([ALIAS]))..RecordKey(Vec::from([ALIAS + 1]))
}

/// The discovery key in a key made by [`core()`].
pub fn discovery_key_of(key: &RecordKey) -> Option<DiscoveryKey> {
    let bytes = key.0.strip_prefix(&[CORE])?;
    bytes.try_into().ok().map(DiscoveryKey)
}

/// Who may sign a core.
pub fn auth(slot: CoreSlot) -> RecordKey {
    of_core(slot, AUTH, &[])
}

/// A core's head, contiguous length and whether it is frozen.
pub fn state(slot: CoreSlot) -> RecordKey {
    of_core(slot, STATE, &[])
}

/// One part of a core's bitfield.
pub fn part(slot: CoreSlot, part: u64) -> RecordKey {
    of_core(slot, PART, &part.to_be_bytes())
}

/// A core's bitfield in the form of earlier stores: whole pages of 4096 bytes, each worth eight parts.
pub fn old_pages(slot: CoreSlot) -> Range<RecordKey> {
    of_core(slot, OLD_PAGE, &[])..of_core(slot, PART, &[])
}

/// A core's whole bitfield: old pages, then parts.
pub fn bitfield(slot: CoreSlot) -> Range<RecordKey> {
    of_core(slot, OLD_PAGE, &[])..of_core(slot, PART + 1, &[])
}

/// The number of the first part in a row of [`bitfield`], and whether the row is an old page.
pub fn part_of(key: &RecordKey) -> Option<(u64, bool)> {
    let (front, number) = key.0.split_last_chunk()?;
    let number = u64::from_be_bytes(*number);
    match *front.last()? {
        OLD_PAGE => Some((number.saturating_mul(8), true)),
        PART => Some((number, false)),
        _ => None,
    }
}

/// Everything of a core but its entry.
pub fn records_of(slot: CoreSlot) -> Range<RecordKey> {
    let end =
        slot.0.checked_add(1).map_or_else(|| with(CORE_RECORD + 1, &[]), |next| with(CORE_RECORD, &next.to_be_bytes()));
    with(CORE_RECORD, &slot.0.to_be_bytes())..end
}

/// A user's own value beside a core.
pub fn user_data(slot: CoreSlot, name: &Hash) -> RecordKey {
    of_core(slot, USER_DATA, name.as_ref())
}

fn with(kind: u8, rest: &[u8]) -> RecordKey {
    let mut bytes = Vec::with_capacity(rest.len().saturating_add(1));
    bytes.push(kind);
    bytes.extend_from_slice(rest);
    RecordKey(bytes)
}

fn of_core(slot: CoreSlot, kind: u8, rest: &[u8]) -> RecordKey {
    let mut bytes = Vec::with_capacity(rest.len().saturating_add(6));
    bytes.push(CORE_RECORD);
    bytes.extend_from_slice(&slot.0.to_be_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(rest);
    RecordKey(bytes)
}

const STORE: u8 = 0;
const PRIMARY_KEY: u8 = 1;
const ALIAS: u8 = 2;
const CORE: u8 = 3;
const CORE_RECORD: u8 = 16;

const AUTH: u8 = 0;
const STATE: u8 = 1;
const OLD_PAGE: u8 = 2;
const PART: u8 = 3;
const USER_DATA: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_core_never_leave_its_range() {
        for number in [0, 1, u64::from(u32::MAX), u64::MAX] {
            let key = part(CoreSlot(7), number);
            assert!(bitfield(CoreSlot(7)).contains(&key) && !old_pages(CoreSlot(7)).contains(&key));
            assert!(!bitfield(CoreSlot(8)).contains(&key));
            assert!(!bitfield(CoreSlot(7)).contains(&auth(CoreSlot(7))));
            assert_eq!(part_of(&key), Some((number, false)));
        }
        for slot in [0, 7, u32::MAX] {
            let all = records_of(CoreSlot(slot));
            let mine = [
                auth(CoreSlot(slot)),
                state(CoreSlot(slot)),
                part(CoreSlot(slot), u64::MAX),
                user_data(CoreSlot(slot), &Hash([255; 32])),
            ];
            assert!(mine.iter().all(|key| all.contains(key)));
            let next = slot.checked_add(1).map(|next| auth(CoreSlot(next)));
            let before = slot.checked_sub(1).map(|before| user_data(CoreSlot(before), &Hash([255; 32])));
            assert!(!next.into_iter().chain(before).any(|key| all.contains(&key)));
        }
    }

    #[test]
    fn a_discovery_key_comes_back_from_its_key() {
        let discovery_key = DiscoveryKey([9; 32]);
        assert_eq!(discovery_key_of(&core(&discovery_key)), Some(discovery_key));
        assert!(cores().contains(&core(&discovery_key)));
        assert_eq!(discovery_key_of(&primary_key()), None);
    }
}
