// Proofs of a stored core, made, checked and stored elsewhere; seek, clear and truncate. The store is changed.
import { check, Corestore, sample } from './common.mjs'

export async function run ({ storage, op, count, length, 'block-size': size, seed = 1 }, job) {
  const store = new Corestore(storage, { allowBackup: true })
  const core = store.get({ name: 'log' })
  await core.ready()
  if (core.length !== length) throw new Error(`the store has ${core.length} blocks`)
  const clone = new Corestore(storage + '-reader').get({ key: core.key, manifest: core.manifest })
  await clone.ready()
  const list = sample(length, count, seed)
  const done = await operations[op]({ core, clone, list, length, size, job })
  return { ops: list.length, ...(typeof done === 'number' ? { seconds: done } : done) }
}

const upgrade = (length) => ({ upgrade: { start: 0, length } })
const full = (index, length) => ({ block: { index, nodes: 0 }, ...upgrade(length) })

const operations = {
  'create-block': ({ length, ...rest }) => create({ request: (index) => ({ block: { index, nodes: 3 } }), ...rest }),
  'create-full': ({ length, ...rest }) => create({ request: (index) => full(index, length), ...rest }),

  async 'verify-full' ({ core, clone, list, length, job }) {
    const proofs = []
    for (const index of list) proofs.push(await core.proof(full(index, length)))
    const spent = await job.ready({})
    for (const proof of proofs) {
      const batch = await clone.verifyFullyRemote(proof)
      if (batch.length !== length) throw new Error(`the proof proves ${batch.length} blocks`)
    }
    return spent()
  },

  async 'apply-block' ({ core, clone, list, length, size, job }) {
    if (!(await clone.core.verify(await core.proof(upgrade(length))))) throw new Error('the upgrade was refused')
    const spent = await job.ready({})
    let seconds = 0
    let worked = 0
    for (const index of list) {
      const proof = await core.proof({ block: { index, nodes: await clone.missingNodes(index) } })
      const [begun, before] = [spent(), process.cpuUsage()]
      if (!(await clone.core.verify(proof))) throw new Error('the proof was refused')
      const { user, system } = process.cpuUsage(before)
      seconds += spent() - begun
      worked += user + system
    }
    for (const index of list) check(await clone.get(index), index, size)
    return { seconds, cpu_s: worked / 1e6 }
  },

  async seek ({ core, list, size, job }) {
    const spent = await job.ready({})
    for (const index of list) {
      const [at, offset] = await core.seek(index * size + 7)
      if (at !== index || offset !== 7) throw new Error('the seek went to ' + at)
    }
    return spent()
  },

  async clear ({ core, list, job }) {
    const spent = await job.ready({})
    for (const index of list) await core.clear(index)
    const seconds = spent()
    for (const index of list) if (await core.has(index)) throw new Error(`block ${index} was not cleared`)
    return seconds
  },

  async truncate ({ core, list, length, job }) {
    const spent = await job.ready({})
    for (let cut = 1; cut <= list.length; cut++) await core.truncate(length - cut)
    const seconds = spent()
    if (core.length !== length - list.length) throw new Error('wrong length after truncating')
    return seconds
  }
}

async function create ({ core, list, size, job, request }) {
  const spent = await job.ready({})
  for (const index of list) check((await core.proof(request(index))).block.value, index, size)
  return spent()
}
