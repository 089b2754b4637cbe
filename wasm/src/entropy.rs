//! Randomness, from the browser.

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(bytes: &mut [u8]) -> Result<JsValue, JsValue>;
}

/// 32 bytes nobody can foretell.
pub(crate) fn seed() -> Result<[u8; 32], JsValue> {
    let mut seed = [0; 32];
    get_random_values(&mut seed)?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn two_seeds_differ_and_are_filled() {
        let (a, b) = (seed().expect("a browser has randomness"), seed().expect("a browser has randomness"));
        assert_ne!(a, b);
        assert_ne!(a, [0; 32]);
    }
}
