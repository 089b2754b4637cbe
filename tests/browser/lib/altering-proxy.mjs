// A TCP proxy that alters one byte in what the server sends, once it is told to.
import net from 'node:net'
import { later } from './scenario.mjs'

/** `{ url, alter }`; `alter(true)` flips a bit near the end of every larger piece that follows. */
export async function alteringProxy (target) {
  const { hostname, port } = new URL(target)
  let altering = false
  const sockets = new Set()
  const server = net.createServer((client) => {
    const upstream = net.connect(Number(port), hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.pipe(upstream)
    upstream.on('data', (bytes) => {
      // The end of a piece is payload, never a frame's header; short pieces are pings and acknowledgements.
      if (altering && bytes.length > 100) bytes[bytes.length - 20] ^= 1
      client.write(bytes)
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  later(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { url: `ws://127.0.0.1:${server.address().port}`, alter: (on) => { altering = on } }
}
