// The reader page: opens the store, follows what the address names, and keeps the page true.

import * as corestore from '../corestore/index.js'
import { parseAddress, peerProblem } from './address.js'
import { refuse } from './alerts.js'
import { CoreView } from './core-view.js'
import { byId, el, throttle } from './dom.js'
import { watchPeers } from './peers.js'
import { findRelay } from './relay.js'
import { Session } from './session.js'
import { openSourceForm, showProblems } from './source-form.js'
import { describe } from './state.js'
import { openStore, openTemporaryStore, rememberKey, swarmKeyPair } from './store.js'
import { openWritePanel } from './write-panel.js'

const address = parseAddress(location.href)
const views = new Map()
const news = new Map()
const relaying = findRelay(address)
let session = null
let problem = null
let spoken = ''

openSourceForm(address)
window.addEventListener('hashchange', () => location.reload())
setInterval(showState, 500)
setInterval(tellNews, 3000)
keepForOffline()
open(openStore)

async function open (opener) {
  try {
    const store = await opener()
    const relay = await relaying
    const swarm = relay && !peerProblem(relay) ? new corestore.Swarm(store, { relay, keyPair: swarmKeyPair(opener === openTemporaryStore) }) : null
    problem = null
    // For scripts.
    window.corestore = { ...corestore, store, swarm }
    window.addEventListener('pagehide', () => { store.close().catch(() => {}) })
    watchPeers(store)
    read(store, swarm)
    openWritePanel(store, address.all, swarm)
  } catch (error) {
    problem = error.message
    if (TEMPORARY_HELPS.includes(error.code)) offerTemporary()
  }
  showState()
}

function read (store, swarm) {
  if (!address.key || !showProblems(address)) return
  session = new Session(store, address, swarm, {
    core: addCore,
    change: throttle(100, changed),
    refused: refused,
    grew: (label, blocks) => news.set(label, (news.get(label) ?? 0) + blocks)
  })
  window.corestore.session = session
  rememberKey(address)
}

function addCore (entry) {
  const view = new CoreView(entry, { view: entry.label === 'core-1' ? 'json' : 'text', all: address.all })
  views.set(entry.label, view)
  byId('cores').append(view.element)
}

function refused (label, message) {
  refuse(label, address.peer, message)
  views.get(label)?.refuse()
}

function changed () {
  showState()
  for (const view of views.values()) view.refresh()
}

function showState () {
  const { state, title, detail } = describe({ problem, session, now: Date.now() })
  byId('state').dataset.state = state
  byId('state-title').textContent = title
  byId('state-detail').textContent = detail
  if (title !== spoken) byId('announcer').textContent = title
  spoken = title
}

// New blocks in one sentence, not one each.
function tellNews () {
  if (news.size === 0) return
  byId('announcer').textContent = [...news].map(([label, blocks]) => `${blocks} new in ${label}`).join(', ')
  news.clear()
}

function offerTemporary () {
  const button = el('button', { type: 'button' }, 'Go on without keeping anything')
  const offer = el('div', { className: 'alert' }, el('p', {}, problem), button)
  button.onclick = () => {
    offer.remove()
    open(openTemporaryStore)
  }
  byId('alerts').append(offer)
}

function keepForOffline () {
  // Only where the page comes from a secure origin; it works without.
  navigator.serviceWorker?.register('./sw.js').catch(() => {})
}

const TEMPORARY_HELPS = ['STORAGE_LOCKED', 'STORAGE_UNAVAILABLE', 'STORAGE_NEWER', 'STORAGE_DAMAGED']
