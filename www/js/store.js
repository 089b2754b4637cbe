// The browser's store, and what the page remembers beside it.

import { Corestore, id } from '../corestore/index.js'

/**
 * Opens the store, or rejects. On a reload the page that leaves may hold it a moment longer, so a lock is waited for.
 */
export async function openStore () {
  for (let attempt = 0; ; attempt++) {
    const store = new Corestore({ name: 'corestore-reader', worker: true })
    try {
      await store.ready()
      return store
    } catch (error) {
      if (error.code !== 'STORAGE_LOCKED' || attempt >= LOCK_ATTEMPTS) throw error
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
  }
}

/** A store that forgets: for a tab beside the one that holds the real store. */
export async function openTemporaryStore () {
  const store = new Corestore({ memory: true, worker: true })
  await store.ready()
  return store
}

/** Keys read before, newest first: `{ key, peer, relay, encrypted }`. Encryption keys are secrets and are not kept. */
export function recentKeys () {
  const list = recall(RECENT, [])
  return Array.isArray(list) ? list.filter((entry) => typeof entry?.key === 'string') : []
}

export function rememberKey ({ key, peer, relay, encryption }) {
  const others = recentKeys().filter((entry) => entry.key !== key)
  keep(RECENT, [{ key, peer, relay, encrypted: Boolean(encryption) }, ...others].slice(0, 8))
}

export function forgetKey (key) {
  keep(RECENT, recentKeys().filter((entry) => entry.key !== key))
}

/** Names of the cores written from this page. */
export const ownNames = () => recall(OWN, []).filter((name) => typeof name === 'string')

export function rememberOwnName (name) {
  if (!ownNames().includes(name)) keep(OWN, [...ownNames(), name])
}

/** Whether a gateway served this page when it was last asked. */
export const wasGateway = () => recall(GATEWAY, false) === true

export function rememberGateway (is) {
  keep(GATEWAY, is)
}

/**
 * The seed of this tab's key pair on the swarm: a reload is the same peer again, so that peers find it where they knew
 * it. A tab that only has a temporary store is another one.
 */
export function swarmKeyPair (temporary) {
  if (temporary) return undefined
  try {
    const seed = sessionStorage.getItem(SEED) ?? id.hex(crypto.getRandomValues(new Uint8Array(32)))
    sessionStorage.setItem(SEED, seed)
    return id.isValid(seed) ? { seed } : undefined
  } catch {
    return undefined
  }
}

// Storage may be forbidden; the page works without.
function recall (name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise
  } catch {
    return otherwise
  }
}

function keep (name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value))
  } catch {}
}

const RECENT = 'corestore-reader.recent'
const OWN = 'corestore-reader.own'
const GATEWAY = 'corestore-reader.gateway'
const SEED = 'corestore-reader.seed'
const LOCK_ATTEMPTS = 16
