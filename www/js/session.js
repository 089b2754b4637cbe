// Following one key: core-1, the cores that its block 0 names, and who is asked for them. It reports to `on`:
//   core(entry)                 another core is followed: `{ label, key, core }`, the key in hex
//   change()                    something that the state shows is different
//   refused(label, message)     a peer sent something untrue; nothing of it was stored
//   grew(label, blocks)         a log is longer than before

import { id } from '../corestore/index.js'

export class Session {
  constructor (store, { key, peer, encryption }, swarm, on) {
    Object.assign(this, { store, encryption, swarm, on })
    this.peer = peer
    this.entries = []
    this.problem = null
    this.note = null
    this.retryAt = 0
    this.connection = peer ? this.#connect(peer) : null
    this.first = this.#follow('core-1', id.hex(key))
    this.#followNamed()
    if (swarm) this.#meet()
  }

  #connect (peer) {
    const connection = this.store.replicate(peer)
    connection.on('state', () => this.on.change())
    connection.on('open', () => this.on.change())
    connection.on('error', (reason) => this.on.refused(null, reason.message))
    connection.on('reconnecting', ({ delay }) => {
      this.retryAt = Date.now() + delay
      this.on.change()
    })
    connection.on('close', () => this.on.change())
    return connection
  }

  // Peers meet by core-1's discovery key; the other cores travel over the same connections.
  async #meet () {
    await this.first.core.ready()
    this.swarm.join(this.first.core.discoveryKey)
    for (const event of ['state', 'update', 'connection']) this.swarm.on(event, () => this.on.change())
    this.swarm.on('connection', (connection) => connection.on('error', (reason) => this.on.refused(null, reason.message)))
    this.swarm.on('reconnecting', ({ delay }) => { this.retryAt = Date.now() + delay })
    this.on.change()
  }

  #follow (label, key) {
    const core = this.store.get({ key, encryptionKey: this.encryption || undefined })
    const entry = { label, key, core }
    let length = 0
    const changed = () => this.on.change()
    core.on('append', () => {
      if (core.length > length) this.on.grew(label, core.length - length)
      length = core.length
      changed()
    })
    core.on('truncate', (cut) => {
      length = cut
      changed()
    })
    core.on('peer-add', changed)
    core.on('peer-remove', changed)
    core.on('conflict', changed)
    core.on('verification-error', (error) => this.on.refused(label, error.message))
    core.ready().then(() => {
      length = core.length
      changed()
    }, (error) => this.#fail(error))
    this.entries.push(entry)
    this.on.core(entry)
    return entry
  }

  async #followNamed () {
    try {
      const keys = otherKeys(await this.first.core.get(0))
      if (!keys) this.note = 'Block 0 of core-1 names no other cores' + (this.encryption ? ' – is the encryption key right?' : '.')
      keys?.forEach((key, index) => this.#follow(`core-${index + 2}`, key))
      this.on.change()
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail (error) {
    if (error.code === 'SESSION_CLOSED') return
    this.problem = error.message
    this.on.change()
  }
}

// `{"otherKeys":[…]}`, without repetition and not more than a page can follow.
function otherKeys (block) {
  try {
    const named = JSON.parse(new TextDecoder().decode(block)).otherKeys
    if (!Array.isArray(named)) return null
    return [...new Set(named.filter((key) => id.isValid(key)).map((key) => id.hex(key)))].slice(0, MOST_CORES)
  } catch {
    return null
  }
}

const MOST_CORES = 64
