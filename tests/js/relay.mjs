// A relay of the npm package @hyperswarm/dht-relay on loopback. Prints {"url"}.
//   node relay.mjs --bootstrap HOST:PORT,…
import DHT from 'hyperdht'
import { relay } from '@hyperswarm/dht-relay'
import Stream from '@hyperswarm/dht-relay/ws'
import { createRequire } from 'node:module'
import { endWith, options, say } from './common.mjs'

// The package's own version of `ws`.
const { WebSocketServer } = createRequire(import.meta.resolve('@hyperswarm/dht-relay'))('ws')
const { bootstrap } = options({ bootstrap: 'string' })
const nodes = bootstrap.split(',').map((node) => {
  const [host, port] = node.split(':')
  return { host, port: Number(port) }
})
const dht = new DHT({ host: '127.0.0.1', bootstrap: nodes })
await dht.fullyBootstrapped()
const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
server.on('connection', (socket) => relay(dht, new Stream(false, socket)))
server.on('listening', () => say({ url: `ws://127.0.0.1:${server.address().port}` }))
// What it cannot encode (a server's announcement) it throws where nobody listens.
process.on('unhandledRejection', () => {})
endWith(async () => {
  for (const socket of server.clients) socket.terminate()
  server.close()
  await dht.destroy()
})
