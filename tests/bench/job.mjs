// One process of a measured workload on the npm stack: node job.mjs JOB --flag value …
// It prints {"event":"ready",…}, waits for `go` on standard input, works, prints {"event":"result",…}, and leaves when
// standard input closes. The jobs, flags and results are those of the program `corestore-bench`.
import { createInterface } from 'node:readline'
import * as append from './append.mjs'
import * as fetch from './fetch.mjs'
import * as many from './many.mjs'
import * as proofs from './proofs.mjs'
import * as read from './read.mjs'
import * as serve from './serve.mjs'
import * as swarm from './swarm.mjs'

const jobs = { append, fetch, many, proofs, read, serve, swarm }
const [name, ...words] = process.argv.slice(2)
const begun = later()
const ended = later()
const lines = createInterface({ input: process.stdin })
lines.on('line', (line) => line === 'go' && begun.resolve())
lines.on('close', () => { begun.resolve(); ended.resolve() })

const say = (event, fields) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')
const job = {
  say,
  end: ended.promise,
  // Resolves to a clock that was started at `go`: seconds since.
  async ready (fields) {
    say('ready', fields)
    await begun.promise
    const start = process.hrtime.bigint()
    return () => Number(process.hrtime.bigint() - start) / 1e9
  }
}

try {
  const result = await jobs[name].run(flags(words), job)
  if (result) say('result', result)
  await ended.promise
  process.exit(0)
} catch (error) {
  console.error(error)
  process.exit(1)
}

function later () {
  let resolve = null
  const promise = new Promise((settle) => { resolve = settle })
  return { promise, resolve }
}

function flags (words) {
  const found = {}
  for (let at = 0; at < words.length; at += 2) {
    found[words[at].slice(2)] = /^\d+$/.test(words[at + 1]) ? Number(words[at + 1]) : words[at + 1]
  }
  return found
}
