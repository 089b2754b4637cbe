// What the peers share: arguments, lines in and out, and streams over TCP.
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import net from 'node:net'
import NoiseSecretStream from '@hyperswarm/secret-stream'

export function options (spec) {
  const options = Object.fromEntries(Object.entries(spec).map(([name, type]) => [name, { type }]))
  return parseArgs({ options, strict: true }).values
}

export const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
export const digest = (block) => createHash('sha256').update(block).digest('hex')
export const toHex = (key) => Buffer.from(key).toString('hex')
export const fromHex = (text) => Buffer.from(text, 'hex')

// One command at a time, in order.
export async function commands (handle) {
  for await (const line of createInterface({ input: process.stdin })) {
    if (line) await handle(JSON.parse(line))
  }
}

function carry (store, socket, isInitiator) {
  socket.setNoDelay(true)
  socket.on('error', () => {})
  const stream = new NoiseSecretStream(isInitiator, socket)
  stream.on('error', (error) => say({ event: 'stream-error', message: error.message }))
  store.replicate(stream)
  return stream
}

export function serve (store, port = 0) {
  const sockets = new Set()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    carry(store, socket, false)
  })
  server.destroyAll = () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}

// Dials again whenever the connection is lost, as long as the process lives.
export function dial (store, port) {
  const socket = net.connect(port, '127.0.0.1')
  carry(store, socket, true)
  socket.once('close', () => setTimeout(() => dial(store, port), 100))
}

export function endWith (close) {
  const end = async () => {
    setTimeout(() => process.exit(1), 5000).unref()
    await close()
    process.exit(0)
  }
  process.once('SIGTERM', end)
  return end
}
