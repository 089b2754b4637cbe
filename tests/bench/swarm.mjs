// The same replication through a swarm: a private DHT, its connections over UDX.
import { check, Corestore, Hyperswarm, sample, treeHash } from './common.mjs'

export async function run (flags, job) {
  const nodes = flags.bootstrap.split(',').map((node) => {
    const [host, port] = node.split(':')
    return { host, port: Number(port) }
  })
  const store = new Corestore(flags.storage)
  return flags.role === 'serve' ? serve(store, nodes, job) : fetch(store, nodes, flags, job)
}

async function serve (store, nodes, job) {
  const core = store.get({ name: 'log' })
  await core.ready()
  const swarm = join(store, nodes)
  await swarm.join(core.discoveryKey, { server: true, client: false }).flushed()
  await job.ready({ key: core.key.toString('hex'), length: core.length, treeHash: await treeHash(core) })
  await job.end
  await swarm.destroy()
}

async function fetch (store, nodes, { key, length, 'block-size': size }, job) {
  const core = store.get({ key: Buffer.from(key, 'hex') })
  await core.ready()
  const spent = await job.ready({})
  let connected = 0
  const swarm = join(store, nodes, () => { connected ||= spent() })
  const found = core.findingPeers()
  swarm.join(core.discoveryKey, { server: false, client: true })
  swarm.flush().then(found, found)
  const block = await core.get(0)
  const first = spent()
  await core.download({ start: 0, end: length }).done()
  const seconds = spent() - first
  check(block, 0, size)
  if (core.contiguousLength !== length) throw new Error('not all blocks are here: ' + core.contiguousLength)
  for (const index of sample(length, 2000)) check(await core.get(index, { wait: false }), index, size)
  const result = { seconds, connected_s: connected, first_s: first, length: core.length, treeHash: await treeHash(core) }
  await swarm.destroy()
  return result
}

function join (store, nodes, onConnection = () => {}) {
  const swarm = new Hyperswarm({ bootstrap: nodes })
  swarm.on('connection', (connection) => {
    onConnection()
    connection.on('error', () => {})
    store.replicate(connection)
  })
  return swarm
}
