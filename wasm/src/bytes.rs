//! Bytes across the border, copied once each way.

use ::bytes::Bytes;
use js_sys::{Array, ArrayBuffer, Uint8Array};
use wasm_bindgen::prelude::*;

/// Into wasm's memory, from an `ArrayBuffer` or any view of one.
pub(crate) fn from_js(value: &JsValue) -> Option<Bytes> {
    if let Some(array) = value.dyn_ref::<Uint8Array>() {
        return Some(Bytes::from(array.to_vec()));
    }
    if let Some(buffer) = value.dyn_ref::<ArrayBuffer>() {
        return Some(Bytes::from(Uint8Array::new(buffer).to_vec()));
    }
    if ArrayBuffer::is_view(value) {
        let view: &js_sys::DataView = value.unchecked_ref();
        let (start, length) = (view.byte_offset(), view.byte_length());
        let start = u32::try_from(start).ok()?;
        let length = u32::try_from(length).ok()?;
        let array = Uint8Array::new_with_byte_offset_and_length(&view.buffer(), start, length);
        return Some(Bytes::from(array.to_vec()));
    }
    None
}

/// Out of wasm's memory.
pub(crate) fn to_js(bytes: &[u8]) -> Uint8Array {
    Uint8Array::from(bytes)
}

/// Blocks of an array, each an `ArrayBuffer` or a view.
pub(crate) fn all_from_js(values: &Array) -> Option<Vec<Bytes>> {
    values.iter().map(|value| from_js(&value)).collect()
}

/// A key of `N` bytes.
pub(crate) fn key_from_js<const N: usize>(value: &JsValue) -> Option<[u8; N]> {
    from_js(value)?.as_ref().try_into().ok()
}

/// An integer as JavaScript holds it: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "lengths and indexes stay below 2^53")]
pub(crate) const fn number(value: u64) -> f64 {
    value as f64
}

/// A size in memory, as JavaScript holds it.
pub(crate) fn length(size: usize) -> f64 {
    u32::try_from(size).map_or(f64::from(u32::MAX), f64::from)
}

/// An index or length from JavaScript: a whole number from 0 to 2^53 - 1.
pub(crate) fn index(value: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be whole and in range")]
    ((0.0..=MAX_SAFE_INTEGER).contains(&value) && value.fract() == 0.0).then_some(value as u64)
}

const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn only_whole_numbers_in_range_are_indexes() {
        for bad in [-1.0, 0.5, f64::NAN, f64::INFINITY, MAX_SAFE_INTEGER + 1.0] {
            assert_eq!(index(bad), None);
        }
        assert_eq!(index(MAX_SAFE_INTEGER), Some((1 << 53) - 1));
    }

    #[wasm_bindgen_test]
    fn every_kind_of_view_is_bytes_and_a_string_is_not() {
        let array = Uint8Array::from([1, 2, 3, 4, 5, 6, 7, 8].as_slice());
        assert_eq!(from_js(&array.subarray(1, 3)).expect("bytes"), Bytes::from_static(&[2, 3]));
        assert_eq!(from_js(&array.buffer()).expect("bytes").len(), 8);
        let words = js_sys::Uint16Array::new_with_byte_offset_and_length(&array.buffer(), 2, 2);
        assert_eq!(from_js(&words).expect("bytes"), Bytes::from_static(&[3, 4, 5, 6]));
        assert_eq!(from_js(&"text".into()), None);
    }
}
