// A JavaScript peer on a private network: writes to one core, or reads it, over Hyperswarm and Corestore.
//   node swarm.mjs --storage DIR --bootstrap HOST:PORT,… [--key HEX] [--relay HEX]
// Without a key it writes a core that names one other (core-1 names core-2) and says {"key"}; each line
// {"append":[base64,…]} fills core-2. With a key it follows the cores that block 0 names: {"core","seq","sha256"}.
import Corestore from 'corestore'
import Hyperswarm from 'hyperswarm'
import { commands, digest, endWith, fromHex, options, say, toHex } from './common.mjs'

const { storage, bootstrap, key, relay } = options({
  storage: 'string', bootstrap: 'string', key: 'string', relay: 'string'
})
const nodes = bootstrap.split(',').map((node) => {
  const [host, port] = node.split(':')
  return { host, port: Number(port) }
})
const store = new Corestore(storage)
// A blind relay to meet at where no hole can be punched.
const swarm = new Hyperswarm({ bootstrap: nodes, ...(relay && { relayThrough: fromHex(relay) }) })
swarm.on('connection', (connection) => {
  connection.on('error', () => {})
  store.replicate(connection)
  say({ event: 'connection', remotePublicKey: toHex(connection.remotePublicKey) })
})
let ending = false
endWith(async () => {
  ending = true
  await swarm.destroy()
  await store.close()
})
await (key ? read() : write()).catch((error) => { if (!ending) throw error })

async function write () {
  const [one, two] = ['core-1', 'core-2'].map((name) => store.get({ name }))
  await Promise.all([one.ready(), two.ready()])
  if (one.length === 0) await one.append(JSON.stringify({ otherKeys: [toHex(two.key)] }))
  await swarm.join(one.discoveryKey, { server: true, client: true }).flushed()
  say({ key: toHex(one.key), otherKeys: [toHex(two.key)] })
  await commands(async ({ append }) => {
    await two.append(append.map((value) => Buffer.from(value, 'base64')))
  })
}

async function read () {
  const one = store.get({ key: fromHex(key) })
  await one.ready()
  const done = one.findingPeers()
  swarm.join(one.discoveryKey, { server: true, client: true })
  swarm.flush().then(done, done)
  say({ event: 'joined' })
  const { otherKeys } = JSON.parse(await one.get(0))
  await Promise.all(otherKeys.map(async (text) => {
    const core = store.get({ key: fromHex(text) })
    for (let seq = 0; ; seq++) say({ core: text, seq, sha256: digest(await core.get(seq)) })
  }))
}
