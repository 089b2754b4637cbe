// The store in this thread: the WebAssembly's own handles.

import load, { CorestoreHandle, setErrorClass } from './corestore_wasm.js'
import { CorestoreError, fail } from './error.js'

let loading = null
let given

export function init(source) {
  given ??= source
  loading ??= loadWasm(source).catch((error) => {
    loading = null
    throw error
  })
  return loading
}

/** What `init` was given. */
export function sourceGiven() {
  return given
}

/** Opens a store; `listener` hears every event. */
export async function openLocal({ wasm, ...options }, listener) {
  await init(wasm)
  return CorestoreHandle.open(options, listener)
}

async function loadWasm(source) {
  const module = (await source) ?? new URL('./corestore_wasm_bg.wasm', import.meta.url)
  try {
    await load({ module_or_path: module })
  } catch (error) {
    throw fail('WASM_LOAD_FAILED', `The WebAssembly could not be loaded: ${error?.message ?? error}. Is it served beside the script, or given to init()?`)
  }
  setErrorClass(CorestoreError)
}
