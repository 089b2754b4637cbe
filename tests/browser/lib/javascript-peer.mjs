// A genuine JavaScript Corestore behind a WebSocket; it can be told to send altered blocks. Its streams are sound, so
// that only the proofs can tell.
import { createRequire } from 'node:module'
import { WebSocketServer, createWebSocketStream } from 'ws'
import { later, eventually } from './scenario.mjs'

const require = createRequire(new URL('../../js/package.json', import.meta.url))

/** `{ url, key, other, cores, alter }`; `alter(core)` flips a bit in every block of that core sent from then on. */
export async function javascriptPeer (folder) {
  const Corestore = require('corestore')
  const SecretStream = require('@hyperswarm/secret-stream')
  const store = new Corestore(folder)
  const cores = [store.get({ name: 'core-1' }), store.get({ name: 'core-2' }), store.get({ name: 'core-3' })]
  await Promise.all(cores.map((core) => core.ready()))
  const [key, ...other] = cores.map((core) => core.key.toString('hex'))
  await cores[0].append(JSON.stringify({ otherKeys: other }))

  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  server.on('connection', (socket) => {
    const noise = new SecretStream(false, createWebSocketStream(socket))
    noise.on('error', () => {})
    store.replicate(noise)
  })
  await eventually('the WebSocket listens', () => server.address())
  later(async () => {
    for (const socket of server.clients) socket.terminate()
    server.close()
    await store.close()
  })
  const alter = (core) => {
    for (const peer of core.peers) alterBlocks(peer)
    core.on('peer-add', alterBlocks)
  }
  return { url: `ws://127.0.0.1:${server.address().port}`, key, other, cores, alter }
}

function alterBlocks (peer) {
  const { wireData } = peer
  const send = wireData.send.bind(wireData)
  wireData.send = (message) => {
    if (!message.block?.value?.length) return send(message)
    const value = Buffer.from(message.block.value)
    value[value.length >> 1] ^= 1
    return send({ ...message, block: { ...message.block, value } })
  }
}
