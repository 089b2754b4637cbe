// A gateway as seen from in front of it: page and WebSockets pass through, and everything they carry is kept.
import http from 'node:http'
import { WebSocket, WebSocketServer } from 'ws'
import { later } from './scenario.mjs'

/** `{ url, ws, seen }`: the same gateway at another address; `seen()` is what the WebSockets carried, unmasked. */
export async function captured (gateway) {
  const messages = []
  const server = http.createServer(async (request, response) => {
    const answer = await fetch(gateway.url + request.url).catch(() => null)
    if (answer === null) return response.writeHead(502).end()
    const headers = Object.fromEntries(['content-type', 'content-security-policy', 'cache-control'].flatMap((name) =>
      answer.headers.has(name) ? [[name, answer.headers.get(name)]] : []))
    response.writeHead(answer.status, headers).end(Buffer.from(await answer.arrayBuffer()))
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (page, request) => {
    const beyond = new WebSocket(gateway.ws + request.url)
    const early = []
    const pass = (to) => (data, isBinary) => {
      messages.push(data)
      if (to.readyState === WebSocket.OPEN) to.send(data, { binary: isBinary })
      else early.push(data)
    }
    page.on('message', pass(beyond))
    beyond.on('message', pass(page))
    beyond.on('open', () => { for (const data of early.splice(0)) beyond.send(data) })
    for (const [one, other] of [[page, beyond], [beyond, page]]) {
      one.on('close', () => other.close())
      one.on('error', () => other.close())
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  later(() => {
    for (const socket of sockets.clients) socket.terminate()
    server.close()
    server.closeAllConnections()
  })
  const host = `127.0.0.1:${server.address().port}`
  return { url: `http://${host}`, ws: `ws://${host}`, seen: () => Buffer.concat(messages) }
}
