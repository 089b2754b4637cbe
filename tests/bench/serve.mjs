// Serves a stored core, or many, over loopback TCP; appends blocks at a steady pace on request.
import net from 'node:net'
import { block, carry, Corestore, hex } from './common.mjs'

export async function run ({ storage, live = 0, every = 20, 'block-size': size = 1024, many = 0 }, job) {
  const store = new Corestore(storage)
  const core = store.get({ name: 'log' })
  await core.ready()
  const keys = []
  for (let index = 0; index < many; index++) {
    const other = store.get({ name: 'core-' + index })
    await other.ready()
    keys.push(hex(other.key))
  }
  const server = net.createServer((socket) => carry(store, socket, false))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  await job.ready({ address: '127.0.0.1:' + server.address().port, key: hex(core.key), length: core.length, keys })

  // Bytes 8 to 16 of a live block hold the time (ns, u64, little-endian) on the clock all processes share.
  for (let index = 0; index < live; index++) {
    const due = performance.now() + every
    const bytes = block(index, size)
    bytes.writeBigUInt64LE(process.hrtime.bigint(), 8)
    await core.append(bytes)
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())))
  }
  await job.end
}
