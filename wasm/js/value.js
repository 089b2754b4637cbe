// Values to blocks and back.

import { fail } from './error.js'

const ENCODINGS = new Set(['binary', 'utf-8', 'json'])
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

export function encodingOf(name = 'binary') {
  if (!ENCODINGS.has(name)) throw fail('BAD_ARGUMENT', `"${name}" is no valueEncoding: use binary, utf-8 or json.`)
  return name
}

export function encode(value, encoding) {
  if (encoding === 'json') return encoder.encode(JSON.stringify(value))
  if (typeof value === 'string') return encoder.encode(value)
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return value
  throw fail('BAD_ARGUMENT', 'A block is bytes or a string; for other values get the core with valueEncoding: "json".')
}

export function decode(block, encoding, index) {
  if (encoding === 'binary') return block
  try {
    const text = decoder.decode(block)
    return encoding === 'json' ? JSON.parse(text) : text
  } catch {
    throw fail('DECODING_ERROR', `Block ${index} is not ${encoding}: get it with { raw: true } or another valueEncoding.`)
  }
}
