// Keys as text: hex and z-base-32, both ways.

import { fail } from './error.js'

const KEY_BYTES = 32
const ALPHABET = 'ybndrfg8ejkmcpqxot1uwisza345h769'
const VALUES = new Map([...ALPHABET].map((letter, value) => [letter, value]))

export const id = {
  encode(key) {
    const bytes = id.decode(key)
    let text = ''
    for (let bit = 0; bit < bytes.length * 8; bit += 5) {
      const at = bit >> 3
      const window = (bytes[at] << 8) | (bytes[at + 1] ?? 0)
      text += ALPHABET[(window >> (11 - (bit & 7))) & 31]
    }
    return text
  },

  decode(key) {
    if (key instanceof Uint8Array) {
      if (key.length !== KEY_BYTES) throw fail('INVALID_KEY', `A key has 32 bytes, and this has ${key.length}.`)
      return key
    }
    if (typeof key !== 'string') throw fail('INVALID_KEY', 'A key is 32 bytes, or their text in hex or z-base-32.')
    const text = key.trim()
    if (text.length === 64) return fromHex(text)
    if (text.length === 52) return fromZ32(text.toLowerCase())
    throw fail('INVALID_KEY', `A key has 64 characters in hex or 52 in z-base-32, and this has ${text.length}.`)
  },

  hex(key) {
    return Array.from(id.decode(key), (byte) => byte.toString(16).padStart(2, '0')).join('')
  },

  isValid(key) {
    try {
      id.decode(key)
      return true
    } catch {
      return false
    }
  }
}

function fromHex(text) {
  const wrong = text.search(/[^0-9a-f]/i)
  if (wrong !== -1) throw fail('INVALID_KEY', `"${text[wrong]}" at position ${wrong} of the key is no hex digit.`)
  return Uint8Array.from({ length: KEY_BYTES }, (_, at) => parseInt(text.slice(at * 2, at * 2 + 2), 16))
}

function fromZ32(text) {
  const bytes = new Uint8Array(KEY_BYTES)
  let bits = 0
  let held = 0
  let at = 0
  for (const [position, letter] of [...text].entries()) {
    const value = VALUES.get(letter)
    if (value === undefined) {
      throw fail('INVALID_KEY', `"${letter}" at position ${position} of the key is not in the z-base-32 alphabet.`)
    }
    held = ((held << 5) | value) & 0xfff
    bits += 5
    if (bits >= 8 && at < KEY_BYTES) {
      bits -= 8
      bytes[at++] = (held >> bits) & 0xff
    }
  }
  if ((held & ((1 << bits) - 1)) !== 0) throw fail('INVALID_KEY', 'The last character of the key is wrong.')
  return bytes
}
