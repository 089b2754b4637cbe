// The native program as a child process.
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { eventually, later } from './scenario.mjs'

/** A folder that is gone afterwards. */
export async function temporaryFolder () {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'corestore-browser-'))
  later(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A port of the loopback that was free just now. */
export async function freePort () {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** A program that prints one JSON object a line: `{ pid, events, next, line, stop }`; `next` waits for one that fits. */
export function startProgram (program, args, options = {}) {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], ...options })
  const events = []
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.once('error', (error) => console.error(`cannot start ${program}: ${error.message}`))
  child.stdin.on('error', () => {})
  readline.createInterface({ input: child.stdout }).on('line', (line) => {
    try {
      events.push(JSON.parse(line))
    } catch {
      console.error(`${path.basename(program)} printed what is not JSON: ${line}`)
    }
  })
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
    await ended
    clearTimeout(timer)
  }
  later(stop)
  return {
    pid: child.pid,
    events,
    ended,
    stop,
    line: (text) => child.stdin.write(`${text}\n`),
    next: async (what, fits) => {
      const over = ended.then((status) => { throw new Error(`${path.basename(program)} ended with status ${status} before it said ${what}`) })
      return Promise.race([eventually(`${path.basename(program)} says ${what}`, () => events.find(fits)), over])
    }
  }
}

/** `corestore write` with its WebSocket: `{ key, other: [core-2, core-3], url, tcp, line, stop, … }`. */
export async function startWriter (folder, more = [], ws = '127.0.0.1:0') {
  const program = process.env.CORESTORE
  if (!program) throw new Error('CORESTORE must name the native program')
  const writer = startProgram(program, ['write', '--json', '--no-swarm', '--storage', path.join(folder, 'writer'), '--tcp', '127.0.0.1:0', '--ws', ws, ...more])
  const first = await writer.next('its keys', (event) => event.key)
  return Object.assign(writer, { key: first.key, other: first.otherKeys, tcp: first.tcp, url: `ws://127.0.0.1:${first.ws}` })
}
