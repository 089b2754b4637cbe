// A genuine JavaScript core behind a WebSocket without a handshake: node serve.mjs FOLDER BLOCKS SIZE
import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import process from 'node:process'
import { WebSocketServer } from 'ws'
import { PlainStream } from './plain-stream.mjs'

const require = createRequire(new URL('../../js/package.json', import.meta.url))
const Corestore = require('corestore')
const Protomux = require('protomux')

const [folder, count, size] = process.argv.slice(2)
const core = new Corestore(folder).get({ name: 'log' })
await core.ready()
await core.append(Array.from({ length: Number(count) }, () => randomBytes(Number(size))))
const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
server.on('connection', (socket) => core.replicate(Protomux.from(new PlainStream(socket, false))))
server.on('listening', () => console.log(JSON.stringify({ url: `ws://127.0.0.1:${server.address().port}`, key: core.key.toString('hex') })))
