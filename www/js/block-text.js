// A block as text: as UTF-8, as JSON, as hex.

export const VIEWS = { text: 'Text', json: 'JSON', hex: 'Hex' }

const utf8 = new TextDecoder()

/** One line for the list. With `limit`, at most about that many characters of a long block. */
export function blockText (bytes, view, limit = Infinity) {
  const part = bytes.byteLength > limit ? bytes.subarray(0, limit) : bytes
  const text = view === 'hex' ? hex(part) : view === 'json' ? json(part, part === bytes, 0) : utf8.decode(part)
  return part === bytes ? text : `${text}…`
}

/** The whole block for the dialog, JSON indented, hex in lines of 32 bytes. */
export function wholeBlockText (bytes, view) {
  if (view === 'json') return json(bytes, true, 2)
  if (view !== 'hex') return utf8.decode(bytes)
  const lines = []
  for (let at = 0; at < bytes.byteLength; at += 32) {
    const pairs = hex(bytes.subarray(at, at + 32)).replace(/(..)(?=.)/g, '$1 ')
    lines.push(`${at.toString(16).padStart(8, '0')}  ${pairs}`)
  }
  return lines.join('\n')
}

export function hex (bytes) {
  let text = ''
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0')
  return text
}

/** Bytes for people: `1.5 MiB`. */
export function size (bytes) {
  if (bytes < 1024) return `${Math.round(bytes)} B`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes / 1024
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`
}

export const count = (number) => number.toLocaleString('en')

// A block that is not JSON is shown as it is.
function json (bytes, whole, indent) {
  const text = utf8.decode(bytes)
  if (!whole) return text
  try {
    return JSON.stringify(JSON.parse(text), null, indent)
  } catch {
    return text
  }
}
