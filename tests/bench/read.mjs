// Reads blocks of a stored core: in order or at random, some at a time.
import { createHash } from 'node:crypto'
import { Corestore, each, sample, treeHash } from './common.mjs'

const GROUP_BYTES = 64 << 10

export async function run ({ storage, key, pattern, count, length, inflight = 1, seed = 1, 'open-timed': timed }, job) {
  const list = pattern === 'random' ? sample(length, count, seed) : Array.from({ length: count }, (_, at) => at)
  const open = async () => {
    const store = new Corestore(storage)
    const core = store.get({ key: Buffer.from(key, 'hex') })
    await core.ready()
    return { store, core }
  }
  let opened = timed ? null : await open()
  const spent = await job.ready({})
  opened ??= await open()
  const { store, core } = opened
  const openSeconds = spent()

  // In groups, so that not all blocks are in memory at once; hashing them is not timed.
  const group = Math.max(inflight, Math.floor(GROUP_BYTES / Math.max(1, core.byteLength / core.length)))
  const hash = createHash('sha256')
  let seconds = timed ? openSeconds : 0
  let bytes = 0
  for (let from = 0; from < list.length; from += group) {
    const some = list.slice(from, from + group)
    const begun = spent()
    const blocks = new Array(some.length)
    await each(some.length, inflight, async (at) => { blocks[at] = await core.get(some[at], { wait: false }) })
    seconds += spent() - begun
    for (const block of blocks) {
      hash.update(block)
      bytes += block.length
    }
  }
  const result = { seconds, bytes, digest: hash.digest('hex'), length: core.length, treeHash: await treeHash(core) }
  await store.close()
  return result
}
