// A client of the npm package @hyperswarm/dht-relay, driven by JSON lines on stdin: {"id","method","args":[…]}.
// Prints {"id","result"} or {"id","error"} for each line, {"closed":{code,reason}} when the relay ends the connection.
//   node dht_relay.mjs --url ws://… [--custodial yes] [--seed HEX]
import DHT from '@hyperswarm/dht-relay'
import Stream from '@hyperswarm/dht-relay/ws'
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import Corestore from 'corestore'
import { fromHex, options, say, toHex } from './common.mjs'

// The package's own version of `ws`.
const { WebSocket } = createRequire(import.meta.resolve('@hyperswarm/dht-relay'))('ws')
const { url, custodial, seed } = options({ url: 'string', custodial: 'string', seed: 'string' })
const socket = new WebSocket(url)
socket.on('close', (code, reason) => say({ closed: { code, reason: reason.toString() } }))
socket.on('error', (error) => say({ failed: error.message }))
const keyPair = DHT.keyPair(fromHex(seed ?? '11'.repeat(32)))
const dht = new DHT(new Stream(true, socket), { custodial: custodial === 'yes', keyPair })
const stores = []

async function all (query) {
  const found = []
  for await (const reply of query) for (const peer of reply.peers) found.push(toHex(peer.publicKey))
  return [...new Set(found)].sort()
}

const methods = {
  // Connects, says a word, gives the answer.
  connect (key, word) {
    const stream = dht.connect(fromHex(key))
    return new Promise((resolve, reject) => {
      stream.on('error', reject)
      stream.on('open', () => stream.write(word))
      stream.on('data', (data) => { resolve(data.toString()); stream.end() })
    })
  },
  // Sends so many bytes, which come back in capitals, and checks them.
  flood (key, size) {
    const stream = dht.connect(fromHex(key))
    const bytes = Buffer.alloc(size, 'abcdefg')
    const hash = createHash('sha256')
    let received = 0
    return new Promise((resolve, reject) => {
      stream.on('error', reject)
      stream.on('open', () => { for (let at = 0; at < size; at += 65536) stream.write(bytes.subarray(at, at + 65536)) })
      stream.on('data', (data) => {
        hash.update(data)
        received += data.length
        if (received < size) return
        const wanted = createHash('sha256').update(bytes.toString().toUpperCase()).digest('hex')
        resolve({ received, same: hash.digest('hex') === wanted })
        stream.end()
      })
    })
  },
  // A server that says what it receives back in capitals.
  async listen (seed) {
    const server = dht.createServer((stream) => {
      stream.on('error', () => {})
      stream.on('data', (data) => stream.write(data.toString().toUpperCase()))
      stream.on('end', () => stream.end())
    })
    const pair = DHT.keyPair(fromHex(seed))
    await server.listen(pair)
    methods.close = () => server.close().then(() => true)
    return toHex(pair.publicKey)
  },
  lookup: (topic) => all(dht.lookup(fromHex(topic))),
  async announce (topic, seed) {
    const pair = DHT.keyPair(fromHex(seed))
    await all(dht.announce(fromHex(topic), pair))
    return toHex(pair.publicKey)
  },
  async unannounce (topic, seed) {
    await dht.unannounce(fromHex(topic), DHT.keyPair(fromHex(seed)))
    return true
  },
  // Reads a block of a core from the peer with a key.
  async read (peer, core, index, storage) {
    const store = new Corestore(storage)
    stores.push(store)
    const opened = store.get({ key: fromHex(core) })
    await opened.ready()
    const stream = dht.connect(fromHex(peer))
    stream.on('error', () => {})
    store.replicate(stream)
    return (await opened.get(index)).toString()
  },
  // Serves a core to whoever calls a key; gives both keys.
  async write (seed, block, storage) {
    const store = new Corestore(storage)
    stores.push(store)
    const core = store.get({ name: 'core' })
    await core.append(block)
    const server = dht.createServer((stream) => {
      stream.on('error', () => {})
      store.replicate(stream)
    })
    const pair = DHT.keyPair(fromHex(seed))
    await server.listen(pair)
    await all(dht.announce(core.discoveryKey, pair))
    return { peer: toHex(pair.publicKey), core: toHex(core.key) }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, args } = JSON.parse(line)
  Promise.resolve(methods[method](...args))
    .then((result) => say({ id, result }), (error) => say({ id, error: String(error.message ?? error) }))
}
process.exit(0)
