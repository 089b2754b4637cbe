// Appends blocks to a new core, a batch at a time, each append awaited.
import { block, Corestore, hex, treeHash } from './common.mjs'

export async function run ({ storage, blocks, 'block-size': size, batch = 1 }, job) {
  const store = new Corestore(storage)
  const core = store.get({ name: 'log' })
  await core.ready()
  const spent = await job.ready({ key: hex(core.key) })
  for (let at = 0; at < blocks; at += batch) {
    const count = Math.min(batch, blocks - at)
    await core.append(batch === 1 ? block(at, size) : Array.from({ length: count }, (_, of) => block(at + of, size)))
  }
  const seconds = spent()
  const result = { seconds, length: core.length, byteLength: core.byteLength, treeHash: await treeHash(core) }
  await store.close()
  return result
}
