// A udx-native peer for the tests: node udx.mjs MODE OWN_ID REMOTE_ID [BYTES] [HOST]
//
// Prints {"port"} once its socket is bound, reads the peer's {"port"} as a line from stdin, connects, and prints one
// JSON object a line about what happens. Ends when its stream is closed, or after --timeout seconds.
//
// send      writes BYTES random bytes, ends; prints {"sent","sha256"} when the peer has them
// receive   reads until the end, ends; prints {"received","sha256","ms"} (ms from the first byte)
// measure   as receive, without the hash; "pour" as send, of zeros, without the hash
// echo      sends every message and all data back, ends when the peer ends
// server    as echo, but waits to be found: connects to whomever the firewall hook names
// destroy   resets the stream at the first data
// move      sends BYTES bytes, half of them from a second socket (a second {"port"} line tells which)
// relay     relays OWN_ID (to the first port) and REMOTE_ID (to the second) into each other

import { createHash, randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import UDX from 'udx-native'

const [mode, ownId, remoteId, length = '0', host = '127.0.0.1'] = process.argv.slice(2)
const bytes = Number(length)
const udx = new UDX()
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

const print = (object) => process.stdout.write(JSON.stringify(object) + '\n')
const next = async () => JSON.parse((await lines.next()).value)
const timer = setTimeout(() => process.exit(124), 120_000)

function bind () {
  const socket = udx.createSocket()
  socket.bind(0, host)
  print({ port: socket.address().port })
  return socket
}

function watch (stream, sockets) {
  stream.on('error', (error) => print({ error: error.code || error.message }))
  stream.on('close', async () => {
    print({ closed: true, retransmits: stream.retransmits })
    clearTimeout(timer)
    await Promise.all(sockets.map((socket) => socket.close()))
    process.exit(0)
  })
}

async function pour (stream, total, random) {
  const hash = createHash('sha256')
  const zeros = Buffer.alloc(65536)
  for (let left = total; left > 0; left -= 65536) {
    const size = Math.min(left, 65536)
    const chunk = random ? randomBytes(size) : zeros.subarray(0, size)
    if (random) hash.update(chunk)
    if (!stream.write(chunk)) await new Promise((resolve) => stream.once('drain', resolve))
  }
  return hash
}

function take (stream, hashed) {
  const hash = createHash('sha256')
  let received = 0
  let start = 0
  stream.on('data', (data) => {
    if (received === 0) start = performance.now()
    received += data.byteLength
    if (hashed) hash.update(data)
  })
  stream.on('end', () => {
    print({ received, sha256: hashed ? hash.digest('hex') : null, ms: performance.now() - start })
    stream.end()
  })
}

function echo (stream) {
  stream.on('message', (message) => stream.send(message))
  stream.on('data', (data) => stream.write(data))
  stream.on('end', () => stream.end())
}

async function move (stream) {
  const hash = createHash('sha256')
  const data = randomBytes(bytes)
  hash.update(data)
  stream.write(data.subarray(0, bytes >> 1))
  const second = bind()
  const { port } = await next()
  await stream.changeRemote(second, Number(remoteId), port, host)
  print({ moved: true })
  stream.end(data.subarray(bytes >> 1))
  stream.on('end', () => {})
  stream.resume()
  await stream.flush()
  print({ sent: bytes, sha256: hash.digest('hex') })
}

async function relay () {
  const socket = bind()
  const accept = () => false
  const streams = [ownId, remoteId].map((id) => udx.createStream(Number(id), { firewall: accept }))
  const { ports, ids } = await next()
  streams.forEach((stream, index) => {
    stream.on('error', () => {})
    stream.connect(socket, ids[index], ports[index], host)
  })
  streams[0].relayTo(streams[1])
  streams[1].relayTo(streams[0])
  print({ relaying: true })
  await Promise.all(streams.map((stream) => new Promise((resolve) => stream.once('close', resolve))))
  process.exit(0)
}

async function main () {
  if (mode === 'relay') return relay()
  const socket = bind()
  if (mode === 'server') {
    const stream = udx.createStream(Number(ownId), {
      firewall (from, port, address) {
        stream.connect(from, Number(remoteId), port, address)
        return false
      }
    })
    echo(stream)
    watch(stream, [socket])
    return
  }
  const stream = udx.createStream(Number(ownId), { firewall: () => false })
  watch(stream, [socket])
  const { port } = await next()
  stream.connect(socket, Number(remoteId), port, host)
  if (mode === 'echo') echo(stream)
  if (mode === 'receive' || mode === 'measure') take(stream, mode === 'receive')
  if (mode === 'destroy') stream.once('data', () => stream.destroy())
  if (mode === 'move') return move(stream)
  if (mode !== 'send' && mode !== 'pour') return
  const hash = await pour(stream, bytes, mode === 'send')
  stream.resume()
  stream.end()
  await stream.flush()
  print({ sent: bytes, sha256: mode === 'send' ? hash.digest('hex') : null })
}

main()
