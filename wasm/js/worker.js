// Runs in the Worker: holds the WebAssembly's handles and does what `remote.js` asks. What it says is gathered and sent
// at the end of the microtasks, in order.

import { openLocal } from './local.js'
import { CarriedTransport } from './carried.js'
import { show } from './shown.js'

/** The store's number among the objects. */
const STORE = 0
/** Milliseconds between two looks at what changed without an event. */
const LOOK = 100

const objects = new Map() // number → handle
const told = new Map() // number of a session → what it showed when the page was told last
const running = new Map() // number of a call → AbortController
const transports = new Map() // number → CarriedTransport
const connections = new Set() // numbers of those that are not over
let last = STORE
let outgoing = []
let transferred = []

const ON = {
  async call(id, object, method, args, cancellable) {
    const stop = cancellable ? new AbortController() : null
    if (stop) running.set(id, stop)
    try {
      const result = await perform(object, method, stop ? [...args, stop.signal] : args)
      say('answer', id, answerOf(result), news(object))
    } catch (error) {
      say('failure', id, String(error?.message ?? error), error?.code)
    }
    running.delete(id)
  },

  tell(object, method, args) {
    if (method === 'forget') connections.delete(args[0])
    objects.get(object)?.[method](...args)
    if (method === 'free') objects.delete(object)
  },

  cancel(id) {
    running.get(id)?.abort()
  },

  transport(number, event, ...args) {
    transports.get(number)?.on(event, ...args)
    if (event === 'close') transports.delete(number)
  }
}

self.onmessage = ({ data: [what, ...args] }) => { ON[what](...args) }
setInterval(() => {
  const changed = news(...told.keys())
  if (changed.length > 0) say('news', changed)
  const traffic = [...connections].map((number) => [number, ...objects.get(STORE).traffic(number)])
  if (traffic.length > 0) say('traffic', traffic)
}, LOOK)

async function perform(object, method, args) {
  if (method === 'open') return open(...args)
  const handle = objects.get(object)
  switch (method) {
    case 'attach': {
      const [number, initiator, readyState] = args
      const transport = new CarriedTransport((what, ...more) => {
        if (what === 'close') transports.delete(number)
        say('transport', number, what, ...more)
      }, readyState)
      transports.set(number, transport)
      return connected(handle.attach(transport, initiator))
    }
    case 'dial':
      return connected(handle.dial(...args))
    case 'close': {
      const closed = await handle.close()
      // The store stays, for what is still on its way to it.
      if (object !== STORE) objects.delete(object)
      told.delete(object)
      return closed
    }
    default:
      return handle[method](...args)
  }
}

async function open(options) {
  const store = await openLocal(options, (...event) => {
    if (event[0] === 'swarm-peer') connected(event[2])
    say('event', event, news(...sessionsOf(event[1])))
  })
  objects.set(STORE, store)
  return { publicKey: store.publicKey }
}

function connected(number) {
  connections.add(number)
  return number
}

/** A handle stays here: the page gets its number and what never changes of it. */
function answerOf(result) {
  if (result instanceof Uint8Array) transferred.push(result.buffer)
  if (typeof result?.free !== 'function') return result
  objects.set(++last, result)
  if (result.length !== undefined) told.set(last, show(result))
  const { number, key, discoveryKey, publicKey } = result
  return { object: last, number, key, discoveryKey, publicKey, values: told.get(last) }
}

/** What these sessions show and the page was not told yet. */
function news(...numbers) {
  const changed = []
  for (const number of numbers) {
    const known = told.get(number)
    if (known === undefined) continue
    const values = show(objects.get(number))
    if (values.every((value, at) => value === known[at])) continue
    told.set(number, values)
    changed.push([number, values])
  }
  return changed
}

/** The sessions on a core. */
function sessionsOf(core) {
  return core === 0 ? [] : [...told.keys()].filter((number) => objects.get(number).number === core)
}

function say(...message) {
  if (outgoing.length === 0) queueMicrotask(send)
  outgoing.push(message)
}

function send() {
  self.postMessage(outgoing, transferred)
  outgoing = []
  transferred = []
}
