// Chromium by its own protocol, with nothing switched on: what the test library listens to (every message of a
// WebSocket, for one) costs more than the work that is measured.
import { spawn } from 'node:child_process'
import Emitter from 'node:events'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import process from 'node:process'
import WebSocket from 'ws'
import { FLAGS } from './chromium.mjs'
import { temporaryFolder } from './native.mjs'
import { eventually, later } from './scenario.mjs'

/** A browser with a profile of its own: `{ open, send, event }`. */
export async function openMeasuredBrowser () {
  const folder = await temporaryFolder()
  const flags = [...FLAGS, '--remote-debugging-port=0', `--user-data-dir=${folder}`, 'about:blank']
  const child = spawn(process.env.CHROMIUM ?? '/usr/bin/chromium', flags, { stdio: 'ignore' })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  later(() => {
    child.kill('SIGTERM')
    return ended
  })
  const [port, endpoint] = await eventually('Chromium tells its port', async () => {
    const lines = (await readFile(path.join(folder, 'DevToolsActivePort'), 'utf8')).split('\n')
    return lines.length > 1 && lines
  })
  const { send, event } = await connect(`ws://127.0.0.1:${port}${endpoint}`)
  return { send, event, open: (address) => openPage(send, address) }
}

/** A page: `{ evaluate, profile, close }`. */
async function openPage (send, address) {
  const { targetId } = await send('Target.createTarget', { url: address })
  const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true })
  const tell = (method, parameters) => send(method, parameters, sessionId)
  const evaluate = async (body, argument) => {
    const expression = `(${body})(${JSON.stringify(argument) ?? ''})`
    const { result, exceptionDetails } = await tell('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
    return result.value
  }
  await eventually('the page is loaded', () => evaluate(() => document.readyState === 'complete' && location.protocol === 'http:'))
  return { evaluate, tell, close: () => send('Target.closeTarget', { targetId }) }
}

/** `{ send, event }`: a command and its answer, and the next event of a name. */
async function connect (address) {
  const socket = new WebSocket(address, { maxPayload: 1 << 30 })
  const waiting = new Map()
  const events = new Emitter()
  let last = 0
  socket.on('message', (text) => {
    const { id, method, params, result, error } = JSON.parse(text)
    if (id === undefined) return events.emit(method, params)
    const waiter = waiting.get(id)
    waiting.delete(id)
    if (error) waiter?.reject(new Error(error.message))
    else waiter?.resolve(result)
  })
  await new Promise((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
  })
  later(() => socket.terminate())
  const send = (method, params, sessionId) => new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject })
    socket.send(JSON.stringify({ id: last, method, params, sessionId }))
  })
  return { send, event: (method) => new Promise((resolve) => events.once(method, resolve)) }
}
