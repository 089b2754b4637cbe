// Who the page is connected to: by which way, who called, state, rates.

import { hex, size } from './block-text.js'
import { byId, el } from './dom.js'

/** Shows a store's connections, measured once a second. */
export function watchPeers (store) {
  const before = new Map()
  let last = performance.now()
  const tick = () => {
    const now = performance.now()
    const seconds = (now - last) / 1000
    last = now
    byId('peers').hidden = store.connections.length === 0
    byId('peer-rows').replaceChildren(...store.connections.map((connection) => {
      const { bytesIn, bytesOut } = connection
      const old = before.get(connection) ?? { bytesIn, bytesOut }
      before.set(connection, { bytesIn, bytesOut })
      return row(connection, (bytesIn - old.bytesIn) / seconds, (bytesOut - old.bytesOut) / seconds)
    }))
    for (const connection of before.keys()) if (!store.connections.includes(connection)) before.delete(connection)
  }
  setInterval(tick, 1000)
  tick()
}

function row ({ url, path, state, isInitiator, remotePublicKey, bytesIn, bytesOut }, rateIn, rateOut) {
  const key = remotePublicKey ? hex(remotePublicKey) : ''
  const number = (text) => el('td', { className: 'number' }, text)
  return el('tr', {},
    el('th', { scope: 'row', title: key ? `public key ${key}` : '' }, url ?? NAMES[path] ?? 'in this page', key ? el('code', {}, ` ${key.slice(0, 8)}…`) : null),
    el('td', { 'data-way': path }, WAYS[path]),
    el('td', {}, isInitiator ? 'outbound' : 'inbound'),
    el('td', {}, STATES[state] ?? state),
    number(`${size(rateIn)}/s`), number(`${size(rateOut)}/s`), number(size(bytesIn)), number(size(bytesOut)))
}

const NAMES = { relayed: 'peer', gateway: 'the gateway' }
const WAYS = { direct: 'direct', relayed: 'relayed, sealed end to end', gateway: 'the gateway itself' }
const STATES = { open: 'connected', connecting: 'connecting', reconnecting: 'waiting to try again', closed: 'closed' }
