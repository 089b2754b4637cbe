// Corestore and Hypercore as JavaScript has them, over the exports of the WebAssembly: events, async iteration, values.
// `index.d.ts` documents every name.

import { Connection } from './connection.js'
import { Emitter } from './emitter.js'
import { CorestoreError, fail } from './error.js'
import { BY_BLOCK, Hypercore } from './hypercore.js'
import { id } from './id.js'
import { openLocal } from './local.js'
import { openRemote } from './remote.js'
import { Swarm } from './swarm.js'

export { Connection, CorestoreError, Emitter, Hypercore, Swarm, id }
export { init } from './local.js'
export { createTransportPair } from './transport.js'

/** What all views of one store share. */
class Shared {
  constructor(options) {
    this.options = options
    this.handle = null
    this.closed = false
    this.opening = null
    this.views = new Set()
    this.connections = new Map() // number → Connection
    this.swarms = new Set()
    this.unclaimed = [] // events of swarms that do not know their number yet
    this.cores = new Map() // number → Set of Hypercore
    this.peers = new Map() // number of a core → Map of Connection → Peer
    this.listening = new Map(BY_BLOCK.map((event) => [event, new Set()])) // event → Set of Hypercore
    this.hiding = () => this.handle?.writeOut()
  }

  open() {
    this.opening ??= this._open()
    return this.opening
  }

  async _open() {
    const { name, memory, primaryKey, identity, wasm, worker } = this.options
    const options = {
      wasm,
      name: memory ? undefined : name ?? 'corestore',
      primaryKey: primaryKey && id.decode(primaryKey),
      identity: identity && id.decode(identity)
    }
    const open = worker ? openRemote : openLocal
    const handle = await open(options, (...event) => this._event(...event))
    if (this.closed) {
      await handle.close()
      throw closed()
    }
    this.handle = handle
    for (const [event, sessions] of this.listening) handle.listen(event, sessions.size > 0)
    globalThis.addEventListener?.('pagehide', this.hiding)
    globalThis.document?.addEventListener('visibilitychange', this.hiding)
  }

  _event(event, core, connection, ...args) {
    if (event.startsWith('swarm-')) return this._swarmEvent(event, connection, ...args)
    const over = this.connections.get(connection) ?? null
    if (core === 0) return over?._event(event, ...args)
    const peer = this._peer(event, core, over, args[0])
    const sessions = this.cores.get(core)
    if (sessions === undefined) return
    for (const session of [...sessions]) session._event(event, over, ...(peer ? [peer] : args))
  }

  _swarmEvent(event, connection, number, ...args) {
    const swarms = [...this.swarms]
    const swarm = swarms.find((swarm) => swarm._number === number)
    if (swarm) swarm._event(event, connection, ...args)
    // The first may come before the answer that tells the number.
    else if (swarms.some((swarm) => swarm._number === null)) this.unclaimed.push([number, event, connection, ...args])
  }

  /** What was said of a swarm before it had its number. */
  claim(number) {
    const own = this.unclaimed.filter(([of]) => of === number)
    this.unclaimed = this.unclaimed.filter(([of]) => of !== number)
    return own.map(([, ...event]) => event)
  }

  /** Keeps account of who replicates what; gives the peer who came or went. */
  _peer(event, core, connection, remotePublicKey) {
    if (event === 'peer-add') {
      const peer = { connection, remotePublicKey }
      this.peersOf(core).set(connection, peer)
      return peer
    }
    if (event !== 'peer-remove') return null
    const peer = this.peersOf(core).get(connection) ?? { connection, remotePublicKey: null }
    this.peersOf(core).delete(connection)
    return peer
  }

  peersOf(core) {
    if (!this.peers.has(core)) this.peers.set(core, new Map())
    return this.peers.get(core)
  }

  join(session, number) {
    if (!this.cores.has(number)) this.cores.set(number, new Set())
    this.cores.get(number).add(session)
  }

  leave(session, number) {
    this.cores.get(number)?.delete(session)
  }

  /** A session listens to an event that comes by the block, or does no more. */
  listen(session, event, listens) {
    const sessions = this.listening.get(event)
    if (sessions === undefined || sessions.has(session) === listens) return
    if (listens) sessions.add(session)
    else sessions.delete(session)
    if (!this.closed) this.handle?.listen(event, sessions.size > 0)
  }

  async close() {
    if (this.closed) return
    this.closed = true
    globalThis.removeEventListener?.('pagehide', this.hiding)
    globalThis.document?.removeEventListener('visibilitychange', this.hiding)
    for (const swarm of [...this.swarms]) swarm._end()
    for (const connection of this.connections.values()) connection.destroy()
    await this.handle?.close()
  }
}

export class Corestore extends Emitter {
  constructor(name = {}, parent = null) {
    super()
    const options = typeof name === 'string' ? { name } : name
    if (options === null || typeof options !== 'object') {
      throw fail('BAD_ARGUMENT', 'A store takes a name or options.')
    }
    this._shared = parent ? parent._shared : new Shared(options)
    this._root = parent === null
    this._namespace = parent ? parent._namespace : [] // names, outermost first
    this._sessions = new Set()
    this._views = new Set()
    this.closed = false
    this._shared.views.add(this)
    parent?._views.add(this)
  }

  get opened() {
    return this._shared.handle !== null
  }

  get publicKey() {
    return this._shared.handle?.publicKey ?? null
  }

  get connections() {
    return [...this._shared.connections.values()]
  }

  ready() {
    return this.closed ? Promise.reject(closed()) : this._shared.open()
  }

  get(options) {
    if (this.closed) throw closed()
    const given = options instanceof Uint8Array || typeof options === 'string' ? { key: options } : options
    if (given === null || typeof given !== 'object') throw fail('BAD_ARGUMENT', 'Which core? Give its key, or options.')
    const key = given.key === undefined ? null : id.decode(given.key)
    const discoveryKey = given.discoveryKey === undefined ? null : id.decode(given.discoveryKey)
    const seed = given.keyPair === undefined ? null : id.decode(given.keyPair.seed)
    const open = async () => {
      await this._shared.open()
      return this._shared.handle.openCore({
        name: given.name,
        namespaces: this._namespace,
        key,
        discoveryKey,
        seed,
        encryptionKey: given.encryptionKey && id.decode(given.encryptionKey),
        create: given.createIfMissing !== false && discoveryKey === null,
        readOnly: given.writable === false
      })
    }
    return this._session(open, { ...given, key, discoveryKey })
  }

  namespace(name) {
    const view = this.session()
    view._namespace = [...this._namespace, String(name)]
    return view
  }

  session() {
    if (this.closed) throw closed()
    return new Corestore({}, this)
  }

  async list() {
    await this.ready()
    return this._shared.handle.list()
  }

  replicate(peer, options = {}) {
    if (this.closed) throw closed()
    return Connection.direct(this._shared, peer, options)
  }

  async close() {
    if (this.closed) return
    this.closed = true
    for (const view of this._views) await view.close()
    await Promise.all([...this._sessions].map((session) => session.close()))
    this._shared.views.delete(this)
    if (this._root) await this._shared.close()
    this.emit('close')
  }

  _session(open, options) {
    const session = new Hypercore(this, open, options)
    this._sessions.add(session)
    return session
  }
}

function closed() {
  return fail('SESSION_CLOSED', 'The store is closed: make a new Corestore.')
}

export default Corestore
