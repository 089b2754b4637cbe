// Many named cores in one store, all of them kept open.
import fs from 'node:fs'
import { block, check, Corestore, each, hex } from './common.mjs'

export async function run ({ storage, cores, 'block-size': size, mode, out, inflight = 1 }, job) {
  const store = new Corestore(storage)
  await store.ready()
  const spent = await job.ready({})
  const open = new Array(cores)
  await each(cores, inflight, async (index) => {
    const core = open[index] = store.get({ name: 'core-' + index })
    await core.ready()
    if (mode === 'create') await core.append(block(index, size))
    else check(await core.get(0, { wait: false }), index, size)
  })
  const seconds = spent()
  const bad = open.filter((core) => core.length !== 1).length
  if (bad) throw new Error(`${bad} cores are without their block`)
  if (out) fs.writeFileSync(out, JSON.stringify(open.map((core) => hex(core.key))))
  return { seconds, count: open.length }
}
