// The store in a Worker: handles with the methods of the WebAssembly's own, answered by messages. What a session shows is
// kept here as the Worker said it last; it does so with every answer and event, and else ten times a second.

import { CarriedEnd } from './carried.js'
import { CorestoreError, fail } from './error.js'
import { sourceGiven } from './local.js'
import { SHOWN } from './shown.js'

/** Opens a store in a Worker of its own; `listener` hears every event. */
export async function openRemote({ wasm, ...options }, listener) {
  const source = await sourceFor(await (wasm ?? sourceGiven()))
  const worker = new Conversation(listener)
  try {
    const { publicKey } = await worker.call(0, 'open', [{ ...options, wasm: source }])
    return new RemoteStore(worker, publicKey)
  } catch (error) {
    worker.end()
    throw error
  }
}

/** What can be sent to a Worker and means the same there. */
async function sourceFor(source) {
  if (source instanceof Response) return source.arrayBuffer()
  if (source instanceof URL || typeof source === 'string') return new URL(source, location.href).href
  return source
}

/** Calls and their answers, events, and whatever else goes to and fro. */
class Conversation {
  #worker
  #waiting = new Map() // number of a call → { resolve, reject }
  #last = 0
  #over = null
  #listener
  sessions = new Map() // number of an object → RemoteSession
  transports = new Map() // number → CarriedEnd
  traffic = new Map() // number of a connection → bytes in and out

  constructor(listener) {
    this.#listener = listener
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'corestore' })
    this.#worker.onmessage = ({ data }) => { for (const [what, ...args] of data) this.#on(what, args) }
    this.#worker.onerror = (event) => {
      event.preventDefault()
      const why = event.message || 'its script did not load'
      this.end(fail('WASM_LOAD_FAILED', `The Worker failed: ${why}. Are the package's files served beside each other, and does the page's policy allow Workers?`))
    }
  }

  /** Asks an object for something. A signal that comes last gives it up. */
  call(object, method, args) {
    if (this.#over) return Promise.reject(this.#over)
    const id = ++this.#last
    const signal = args.at(-1) instanceof AbortSignal ? args.at(-1) : null
    this.#worker.postMessage(['call', id, object, method, signal ? args.slice(0, -1) : args, signal !== null])
    const cancel = () => this.#worker.postMessage(['cancel', id])
    if (signal?.aborted) cancel()
    signal?.addEventListener('abort', cancel, { once: true })
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, done: () => signal?.removeEventListener('abort', cancel) })
    })
  }

  /** Tells an object something that has no answer. */
  tell(object, method, args) {
    if (!this.#over) this.#worker.postMessage(['tell', object, method, args])
  }

  /** Takes a transport that is there already; the number of its connection. */
  carry(transport, initiator) {
    const number = ++this.#last
    const attached = this.call(0, 'attach', [number, initiator, transport.readyState])
    // What it says from here on comes to the Worker after that call.
    const say = (...what) => { if (!this.#over) this.#worker.postMessage(['transport', number, ...what]) }
    this.transports.set(number, new CarriedEnd(transport, say))
    return attached
  }

  /** Ends the Worker; what still waits fails. */
  end(error = fail('SESSION_CLOSED', 'The store is closed: make a new Corestore.')) {
    this.#over ??= error
    this.#worker.terminate()
    for (const { reject, done } of this.#waiting.values()) {
      done()
      reject(error)
    }
    this.#waiting.clear()
    for (const transport of this.transports.values()) transport.close()
    this.transports.clear()
  }

  #on(what, args) {
    switch (what) {
      case 'answer': {
        const [id, result, changed] = args
        this.#update(changed)
        this.#settle(id)?.resolve(result)
        return
      }
      case 'failure': {
        const [id, message, code] = args
        this.#settle(id)?.reject(code ? new CorestoreError(message, code) : new Error(message))
        return
      }
      case 'event': {
        const [event, changed] = args
        this.#update(changed)
        return this.#listener(...event)
      }
      case 'news':
        return this.#update(args[0])
      case 'traffic':
        for (const [number, ...bytes] of args[0]) this.traffic.set(number, bytes)
        return
      case 'transport': {
        const [number, method, ...rest] = args
        this.transports.get(number)?.[method](...rest)
        if (method === 'close') this.transports.delete(number)
      }
    }
  }

  #settle(id) {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    waiting?.done()
    return waiting
  }

  #update(changed) {
    for (const [object, values] of changed) this.sessions.get(object)?._shows(values)
  }
}

/** An object in the Worker. */
class Remote {
  constructor(worker, object) {
    this._worker = worker
    this._object = object
  }

  _call(method, args) {
    return this._worker.call(this._object, method, args)
  }

  /** The session that a call opens. */
  async _open(method, args) {
    const opened = await this._call(method, args)
    const session = new RemoteSession(this._worker, opened)
    this._worker.sessions.set(opened.object, session)
    return session
  }
}

/** As the WebAssembly's CorestoreHandle. */
class RemoteStore extends Remote {
  constructor(worker, publicKey) {
    super(worker, 0)
    this.publicKey = publicKey
  }

  openCore(options) {
    return this._open('openCore', [options])
  }

  attach(transport, initiator) {
    return this._worker.carry(transport, initiator)
  }

  async swarm(...args) {
    return new RemoteSwarm(this._worker, await this._call('swarm', args))
  }

  traffic(connection) {
    return this._worker.traffic.get(connection) ?? [0, 0]
  }

  async close() {
    await this._call('close', [])
    this._worker.end()
  }
}

/** As the WebAssembly's HypercoreHandle. */
class RemoteSession extends Remote {
  constructor(worker, { object, values, ...fixed }) {
    super(worker, object)
    Object.assign(this, fixed)
    this._shows(values)
  }

  _shows(values) {
    SHOWN.forEach((name, at) => { this[name] = values[at] })
  }

  snapshot() {
    return this._open('snapshot', [])
  }

  /** What it shows is as the Worker has it now. */
  async refresh() {
    await this.count(0, 0)
  }

  async close() {
    await this._call('close', [])
    this._worker.sessions.delete(this._object)
  }
}

/** As the WebAssembly's SwarmHandle. */
class RemoteSwarm extends Remote {
  constructor(worker, { object, number, publicKey }) {
    super(worker, object)
    Object.assign(this, { number, publicKey })
  }
}

function forward({ prototype }, methods, how) {
  for (const method of methods) prototype[method] = function (...args) { return how(this, method, args) }
}

const call = (remote, method, args) => remote._call(method, args)
const tell = (remote, method, args) => remote._worker.tell(remote._object, method, args)
forward(RemoteStore, ['list', 'dial'], call)
forward(RemoteStore, ['redial', 'hangUp', 'forget', 'listen', 'writeOut'], tell)
forward(RemoteSession, ['append', 'get', 'has', 'count', 'update', 'seek', 'download', 'downloadBlocks', 'truncate', 'clear', 'purge'], call)
forward(RemoteSession, ['sendExtension'], tell)
forward(RemoteSwarm, ['join', 'leave', 'joinPeer', 'refresh', 'redial', 'ban', 'close', 'free'], tell)
