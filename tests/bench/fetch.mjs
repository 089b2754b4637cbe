// Fetches from a peer into an empty store: all of a core, random blocks of it, what is appended, or many cores.
import fs from 'node:fs'
import { check, Corestore, dial, each, sample, treeHash } from './common.mjs'

export async function run (flags, job) {
  const store = new Corestore(flags.storage)
  await store.ready()
  if (flags.many) return fetchMany(store, flags, job)
  const core = store.get({ key: Buffer.from(flags.key, 'hex') })
  await core.ready()
  return flags.live ? follow(store, core, flags, job) : fetchOne(store, core, flags, job)
}

async function fetchOne (store, core, { connect, length, 'block-size': size, sparse = 0, inflight = 64, seed = 1 }, job) {
  const spent = await job.ready({})
  const { socket } = dial(store, connect)
  const list = sample(length, sparse || 2000, seed)
  if (sparse) await each(list.length, inflight, async (at) => check(await core.get(list[at]), list[at], size))
  else await core.download({ start: 0, end: length }).done()
  const seconds = spent()
  const wire = { wire_read: socket.bytesRead, wire_written: socket.bytesWritten }
  if (!sparse && core.contiguousLength !== length) throw new Error('not all blocks are here: ' + core.contiguousLength)
  for (const index of list) check(await core.get(index, { wait: false }), index, size)
  const result = { seconds, length: core.length, treeHash: await treeHash(core), ...wire }
  await store.close()
  return result
}

async function follow (store, core, { connect, live, 'block-size': size }, job) {
  const { stream } = dial(store, connect)
  await stream.opened
  await new Promise((resolve) => setTimeout(resolve, 300))
  const spent = await job.ready({})
  const late = []
  for (let index = 0; index < live; index++) {
    const bytes = await core.get(index)
    late.push(Number(process.hrtime.bigint() - bytes.readBigUInt64LE(8)) / 1e6)
    if (bytes.length !== size || bytes.readBigUInt64LE(0) !== BigInt(index)) throw new Error('wrong block ' + index)
  }
  return { seconds: spent(), late }
}

async function fetchMany (store, { connect, many, 'block-size': size }, job) {
  const keys = JSON.parse(fs.readFileSync(many, 'utf8'))
  const spent = await job.ready({})
  const { socket } = dial(store, connect)
  const cores = keys.map((key) => store.get({ key: Buffer.from(key, 'hex') }))
  await Promise.all(cores.map(async (core, index) => check(await core.get(0), index, size)))
  return { seconds: spent(), count: cores.length, wire_read: socket.bytesRead, wire_written: socket.bytesWritten }
}
