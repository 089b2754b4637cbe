// What peers sent and the page refused. The same message again only counts up.

import { byId, el } from './dom.js'

const shown = new Map()

export function refuse (label, peer, message) {
  const from = peer ? ` from ${peer}` : ''
  const text = label ? `Refused a block of ${label}${from}: ${message}` : `Refused what came${from}: ${message}`
  const known = shown.get(text)
  if (known) {
    known.times++
    known.count.textContent = ` (${known.times} times)`
    return
  }
  const count = el('span', {})
  const close = el('button', { type: 'button', 'aria-label': 'Dismiss' }, '✕')
  const element = el('div', { className: 'alert', 'data-refused': label ?? 'connection' },
    el('p', {}, el('strong', {}, text), count, ' Nothing of it was stored or shown.'), close)
  close.onclick = () => {
    shown.delete(text)
    element.remove()
  }
  shown.set(text, { times: 1, count, element })
  byId('alerts').append(element)
  if (shown.size > MOST) {
    const [oldest, { element: gone }] = shown.entries().next().value
    shown.delete(oldest)
    gone.remove()
  }
}

const MOST = 10
