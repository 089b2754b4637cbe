// The form that says what to read, and what was read before.

import { id } from '../corestore/index.js'
import { formatAddress, peerProblem } from './address.js'
import { byId, el } from './dom.js'
import { forgetKey, recentKeys } from './store.js'

/** Fills the form from the page's address and opens another address when it is sent. */
export function openSourceForm (address) {
  for (const name of FIELDS) byId(name).value = address[name]
  byId('source').open = !address.key
  byId('source-summary').textContent = address.key ? `${address.key.slice(0, 10)}…${from(address)}` : ''
  byId('form').onsubmit = (event) => {
    event.preventDefault()
    const wanted = { all: address.all }
    for (const name of FIELDS) wanted[name] = byId(name).value.trim()
    if (showProblems(wanted)) go(formatAddress(location.href, wanted))
  }
  showRecent()
}

/** Shows what is wrong with an address; true when nothing is. */
export function showProblems ({ key, peer, relay, encryption }) {
  const problems = {
    key: key ? keyProblem(key) : 'A key is needed.',
    peer: peerProblem(peer),
    relay: peerProblem(relay),
    encryption: encryption ? keyProblem(encryption) : null
  }
  const wrong = FIELDS.filter((name) => problems[name])
  for (const name of FIELDS) {
    const note = byId(`${name}-problem`)
    note.hidden = !problems[name]
    note.textContent = problems[name] ?? ''
    byId(name).setAttribute('aria-invalid', String(Boolean(problems[name])))
  }
  if (wrong.length) {
    byId('source').open = true
    byId(wrong[0]).focus()
  }
  return wrong.length === 0
}

function keyProblem (text) {
  try {
    id.decode(text)
    return null
  } catch (error) {
    return error.message
  }
}

// Another fragment alone loads nothing anew.
function go (href) {
  history.pushState(null, '', href)
  location.reload()
}

function showRecent () {
  const entries = recentKeys()
  byId('recent').hidden = entries.length === 0
  byId('recent-list').replaceChildren(...entries.map((entry) => {
    const link = el('a', { href: formatAddress(location.href, entry) }, el('code', {}, `${entry.key.slice(0, 16)}…`),
      from(entry), entry.encrypted ? ' (encrypted: give its key again)' : '')
    link.onclick = (event) => {
      event.preventDefault()
      go(link.href)
    }
    const forget = el('button', { type: 'button', className: 'copy', 'aria-label': `Forget ${entry.key.slice(0, 16)}` }, 'forget')
    forget.onclick = () => {
      forgetKey(entry.key)
      showRecent()
    }
    return el('li', {}, link, ' ', forget)
  }))
}

function from ({ peer, relay }) {
  return (peer ? ` from ${peer}` : '') + (relay ? ` by way of ${relay}` : '')
}

const FIELDS = ['key', 'peer', 'relay', 'encryption']
