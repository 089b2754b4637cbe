// The page as a member of the DHT, by way of a relay it need not trust.

import { Connection, checkAddress } from './connection.js'
import { Emitter } from './emitter.js'
import { fail } from './error.js'
import { id } from './id.js'

export class Swarm extends Emitter {
  constructor(store, options = {}) {
    super()
    const { relay, keyPair, minBackoff = 500, maxBackoff = 30_000 } = options
    checkAddress(String(relay))
    if (store?.closed !== false) throw fail('BAD_ARGUMENT', 'A swarm is of a store that is open.')
    this.relay = String(relay)
    this.state = 'connecting'
    this.lastReason = null
    this.publicKey = null
    this.relayPublicKey = null
    this.connections = new Set()
    this.peers = new Map() // key in hex → PeerInfo
    this.connecting = 0
    this.known = 0
    this.listening = false
    this.looking = true
    this.destroyed = false
    this._shared = store._shared
    this._handle = null
    this._number = null
    this._early = [] // what was asked for before there is a handle
    this._topics = new Map() // topic in hex → Discovery
    this._parted = true
    this._waiting = new Set() // { until, resolve }
    this._destroying = null
    this._shared.swarms.add(this)
    this._online = () => this.reconnect()
    globalThis.addEventListener?.('online', this._online)
    this._opening = this._open(keyPair?.seed && id.decode(keyPair.seed), minBackoff, maxBackoff)
    this._opening.catch(() => {})
  }

  get topics() {
    return [...this._topics.values()]
  }

  ready() {
    return this._opening
  }

  join(topic, options = {}) {
    if (this.destroyed) throw fail('SESSION_CLOSED', 'The swarm is destroyed: make a new Swarm.')
    const bytes = id.decode(topic)
    const { server = true, client = true, limit = Infinity } = options
    const name = id.hex(bytes)
    const discovery = this._topics.get(name) ?? new Discovery(this, bytes)
    Object.assign(discovery, { isServer: server, isClient: client })
    this._topics.set(name, discovery)
    this._look()
    this._do((handle) => handle.join(bytes, server, client, limit))
    return discovery
  }

  async leave(topic) {
    const discovery = this.status(topic)
    if (discovery === null) return
    this._topics.delete(id.hex(topic))
    await this._part([discovery])
  }

  status(topic) {
    return this._topics.get(id.hex(topic)) ?? null
  }

  joinPeer(key) {
    const bytes = id.decode(key)
    this._do((handle) => handle.joinPeer(bytes, true))
  }

  leavePeer(key) {
    const bytes = id.decode(key)
    this._do((handle) => handle.joinPeer(bytes, false))
  }

  async flush() {
    await this._until(() => this.state === 'open' && !this.looking)
    return !this.destroyed
  }

  refresh() {
    if (this._topics.size > 0) this._look()
    this._do((handle) => handle.refresh())
  }

  reconnect() {
    if (this.state === 'reconnecting') this._handle.redial()
  }

  destroy(options = {}) {
    this._destroying ??= this._destroy(options)
    return this._destroying
  }

  async _destroy({ force = false }) {
    this.destroyed = true
    globalThis.removeEventListener?.('online', this._online)
    await this._opening.catch(() => {})
    if (!force && !this._shared.closed) await this._part(this.topics)
    this._end()
  }

  /** Leaves topics, and waits until they are announced no more, but not for long. */
  async _part(discoveries) {
    // The handle may be a Worker's, which says so later.
    if (this.state === 'open' && this.listening && discoveries.some(({ isServer }) => isServer)) this._parted = false
    for (const { topic } of discoveries) this._do((handle) => handle.leave(topic))
    const late = new Promise((resolve) => setTimeout(resolve, PARTING_MS))
    await Promise.race([this._until(() => this._parted || this.state !== 'open'), late])
  }

  /** A lookup begins; the handle may be a Worker's, which says so later. */
  _look() {
    if (this.state === 'open') this.looking = true
  }

  /** At once; the store calls it too. */
  _end() {
    this.destroyed = true
    this._topics.clear()
    this._shared.swarms.delete(this)
    this._handle?.close()
    this._handle?.free()
    this._handle = null
    if (this.state === 'closed') return
    this.looking = false
    this._enter('closed')
    this._settle(true)
    this.emit('close')
  }

  async _open(seed, minBackoff, maxBackoff) {
    await this._shared.open()
    if (this.destroyed) throw fail('SESSION_CLOSED', 'The swarm is destroyed.')
    const handle = await this._shared.handle.swarm(this.relay, seed, minBackoff, maxBackoff)
    if (this.destroyed) {
      handle.close()
      handle.free()
      throw fail('SESSION_CLOSED', 'The swarm is destroyed.')
    }
    this._handle = handle
    this._number = handle.number
    this.publicKey = this._handle.publicKey
    for (const event of this._shared.claim(handle.number)) this._event(...event)
    for (const act of this._early.splice(0)) act(this._handle)
  }

  _do(act) {
    if (this._handle !== null) act(this._handle)
    else if (!this.destroyed) this._early.push(act)
  }

  _until(question) {
    if (this.state === 'closed' || question()) return Promise.resolve()
    return new Promise((resolve) => this._waiting.add({ question, resolve }))
  }

  _settle(all = false) {
    for (const waiting of [...this._waiting]) {
      if (!all && !waiting.question()) continue
      this._waiting.delete(waiting)
      waiting.resolve()
    }
  }

  _event(event, connection, ...args) {
    switch (event) {
      case 'swarm-peer':
        return this._peer(connection, ...args)
      case 'swarm-state': {
        const [state, code, message, delay, attempt] = args
        if (state === 'reconnecting') this.lastReason = { code, message }
        this._enter(state)
        if (state === 'reconnecting') this.emit('reconnecting', { reason: this.lastReason, delay, attempt })
        return this._settle()
      }
      case 'swarm-update': {
        const [, connecting, known, looking, listening, parted, relayPublicKey] = args
        Object.assign(this, { connecting, known, looking, listening, relayPublicKey, _parted: parted })
        this.emit('update')
        return this._settle()
      }
    }
  }

  _peer(number, key, client, isRelay, topics) {
    const name = id.hex(key)
    const info = this.peers.get(name) ?? new PeerInfo(this, key)
    info.client = client
    for (const topic of topics) if (!info.topics.some((known) => id.hex(known) === id.hex(topic))) info.topics.push(topic)
    this.peers.set(name, info)
    const connection = Connection.relayed(this._shared, number, { path: isRelay ? 'gateway' : 'relayed', isInitiator: client })
    this.connections.add(connection)
    connection.once('open', () => this.emit('connection', connection, info))
    connection.once('close', () => {
      this.connections.delete(connection)
      if (!info.banned && ![...this.connections].some((other) => other.remotePublicKey && id.hex(other.remotePublicKey) === name)) this.peers.delete(name)
      this.emit('update')
    })
  }

  _enter(state) {
    if (this.state === state) return
    this.state = state
    this.emit('state', state)
  }
}

/** A topic that was joined. */
class Discovery {
  constructor(swarm, topic) {
    this.swarm = swarm
    this.topic = topic
    this.isServer = true
    this.isClient = true
  }

  flushed() {
    return this.swarm.flush()
  }

  refresh() {
    this.swarm.refresh()
    return this.flushed()
  }

  destroy() {
    return this.swarm.leave(this.topic)
  }
}

/** A peer that was connected to. */
class PeerInfo {
  constructor(swarm, publicKey) {
    this._swarm = swarm
    this.publicKey = publicKey
    this.topics = []
    this.client = false
    this.banned = false
  }

  ban(banned = true) {
    this.banned = banned
    this._swarm._do((handle) => handle.ban(this.publicKey, banned))
  }
}

/** How long a swarm takes back what it announced, at most. */
const PARTING_MS = 1000
