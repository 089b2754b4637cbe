// A private DHT of genuine HyperDHT nodes, driven by JSON lines on stdin: {"id","method","args":[…]}.
// Prints {"bootstrap":[{host,port}]} first, then {"id","result"} or {"id","error"} for each line. Ends with stdin.
//   node dht_testnet.mjs --nodes 4 [--hosts ADDRESS,…]
// The nodes share the hosts in turn; without them they are on loopback.
import DHT from 'hyperdht'
import { Server as RelayServer } from 'blind-relay'
import { createInterface } from 'node:readline'
import { options } from './common.mjs'

const { nodes: count = '4', hosts: list = '127.0.0.1' } = options({ nodes: 'string', hosts: 'string' })
const size = Number(count)
const hosts = list.split(',')
const nodes = []
const servers = new Map()
const relays = new Map()
const pools = new Map()
const hex = (bytes) => Buffer.from(bytes).toString('hex')
const bytes = (digits) => Buffer.from(digits, 'hex')
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')

async function node (opts = {}) {
  const host = hosts[nodes.length % hosts.length]
  const made = new DHT({ host, bootstrap: bootstrap(), ephemeral: false, firewalled: false, ...opts })
  nodes.push(made)
  await made.fullyBootstrapped()
  return made
}

function bootstrap () {
  return nodes.slice(0, 1).map(address)
}

function address (node) {
  const { host, port } = node.address()
  return { host, port }
}

async function all (query) {
  const found = []
  for await (const reply of query) for (const peer of reply.peers || []) found.push(hex(peer.publicKey))
  return [...new Set(found)]
}

// Options in which a relay's key is text.
function withKey (options) {
  return options.relayThrough ? { ...options, relayThrough: bytes(options.relayThrough) } : options
}

const methods = {
  // Whether a node there answers, and with which id.
  async ping (host, port) {
    const reply = await client.ping({ host, port })
    return { id: reply.from.id && hex(reply.from.id) }
  },
  // One more lasting node; its port.
  async grow () {
    return (await node()).address().port
  },
  // A node dies without a word.
  async kill (port) {
    const at = nodes.findIndex((node) => node.address().port === port)
    const [victim] = nodes.splice(at, 1)
    await victim.destroy({ force: true })
    return true
  },
  async lookup (target) {
    return all(client.lookup(bytes(target)))
  },
  async announce (target, seed) {
    const keyPair = DHT.keyPair(bytes(seed))
    await client.announce(bytes(target), keyPair).finished()
    return hex(keyPair.publicKey)
  },
  async unannounce (target, seed) {
    await client.unannounce(bytes(target), DHT.keyPair(bytes(seed)))
    return true
  },
  async immutablePut (value) {
    return hex((await client.immutablePut(bytes(value))).hash)
  },
  async immutableGet (target) {
    const found = await client.immutableGet(bytes(target))
    return found && hex(found.value)
  },
  async mutablePut (seed, value, seq) {
    const keyPair = DHT.keyPair(bytes(seed))
    await client.mutablePut(keyPair, bytes(value), { seq })
    return hex(keyPair.publicKey)
  },
  async mutableGet (key) {
    const found = await client.mutableGet(bytes(key))
    return found && { seq: found.seq, value: hex(found.value) }
  },
  // A server that says what it receives back in capitals.
  async listen (seed, opts = {}, settings = {}) {
    const host = await node(opts)
    const server = host.createServer(withKey(settings), (stream) => {
      stream.on('error', () => {})
      stream.on('data', (data) => stream.write(data.toString().toUpperCase()))
    })
    await server.listen(DHT.keyPair(bytes(seed)))
    servers.set(seed, server)
    return hex(server.publicKey)
  },
  // A server in a pool, whose connections say what they receive back in capitals.
  async pool (seed) {
    const host = await node()
    const pool = host.pool()
    const keyPair = DHT.keyPair(bytes(seed))
    pool.on('connection', (stream) => {
      stream.on('error', () => {})
      stream.on('data', (data) => stream.write(data.toString().toUpperCase()))
    })
    await host.createServer({ pool }).listen(keyPair)
    pools.set(seed, { host, pool, keyPair })
    return hex(keyPair.publicKey)
  },
  // Begins to connect from a pool.
  async poolConnect (seed, key) {
    const { host, pool, keyPair } = pools.get(seed)
    host.connect(bytes(key), { pool, keyPair }).on('error', () => {})
    return pool.has(bytes(key))
  },
  // The connections of a pool: how many, and whether that to this key is a call of its own.
  async pooled (seed, key) {
    const { pool } = pools.get(seed)
    return { connections: [...pool.connections].length, initiator: pool.get(bytes(key))?.isInitiator ?? null }
  },
  // A blind relay.
  async relay (seed) {
    const host = await node()
    const relay = new RelayServer({ createStream: (opts) => host.createRawStream({ ...opts, framed: true }) })
    const server = host.createServer((stream) => {
      stream.on('error', () => {})
      relay.accept(stream, { id: stream.remotePublicKey }).on('error', () => {})
    })
    await server.listen(DHT.keyPair(bytes(seed)))
    relays.set(seed, relay)
    return hex(server.publicKey)
  },
  // How many meetings a relay brought about.
  async relayed (seed) {
    return relays.get(seed).stats.pairings.matched
  },
  // Connects, says a word, gives the answer.
  async connect (key, word, opts = {}) {
    const host = opts.node ? await node(opts.node) : client
    const stream = host.connect(bytes(key), withKey({ ...opts.connect, ...(opts.punch === false && { holepunch: () => false }) }))
    return new Promise((resolve, reject) => {
      stream.on('error', reject)
      stream.on('open', () => stream.write(word))
      stream.on('data', (data) => { resolve(data.toString()); stream.destroy() })
    })
  }
}

for (let i = 0; i < size; i++) await node()
const client = new DHT({ host: hosts[0], bootstrap: bootstrap() })
await client.fullyBootstrapped()
say({ bootstrap: nodes.map(address) })

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, args } = JSON.parse(line)
  methods[method](...args).then((result) => say({ id, result }), (error) => say({ id, error: String(error) }))
}
process.exit(0)
