//! What runs when the module is loaded.

use wasm_bindgen::prelude::wasm_bindgen;

/// Sends a panic's message and place to the console: it is our bug, whatever the input.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

#[cfg(test)]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
