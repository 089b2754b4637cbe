// A JavaScript writer: core-1 names core-2 and core-3, commands on standard input fill those.
//   {"append":"core-2","values":[base64,…],"push":true}   {"random":"core-3","count":N,"seed":S}
//   {"truncate":"core-2","length":N}          {"end":true}
import Corestore from 'corestore'
import { commands, digest, endWith, fromHex, options, say, serve, toHex } from './common.mjs'

const { storage, 'encryption-key': secret, port } = options({ storage: 'string', 'encryption-key': 'string', port: 'string' })
const store = new Corestore(storage)
const encryption = secret ? { key: fromHex(secret) } : null
const cores = {}
for (const name of ['core-1', 'core-2', 'core-3']) {
  cores[name] = store.get({ name, encryption })
  await cores[name].ready()
}
const otherKeys = [toHex(cores['core-2'].key), toHex(cores['core-3'].key)]
if (cores['core-1'].length === 0) await cores['core-1'].append(JSON.stringify({ otherKeys }))
const server = await serve(store, Number(port || 0))
const end = endWith(async () => {
  server.destroyAll()
  await store.close()
})
for (const core of Object.values(cores)) {
  core.on('conflict', () => say({ event: 'conflict', core: toHex(core.key) }))
}
say({ key: toHex(cores['core-1'].key), otherKeys, tcp: server.address().port })

async function append (name, blocks) {
  const core = cores[name]
  await core.append(blocks)
  blocks.forEach((block, at) => {
    say({ event: 'append', core: toHex(core.key), seq: core.length - blocks.length + at, bytes: block.length, sha256: digest(block) })
  })
}

// Sizes from 0 bytes to 1 MiB, every order of magnitude as likely.
function * random (seed) {
  const next = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return seed / 2 ** 32
  }
  while (true) {
    const size = Math.floor(next() * (2 ** Math.floor(next() * 21) + 1))
    yield Buffer.alloc(size, Buffer.from(digest(String(seed)), 'hex'))
  }
}

await commands(async (command) => {
  if (command.append) {
    await append(command.append, command.values.map((value) => Buffer.from(value, 'base64')))
    const core = cores[command.append]
    if (command.push) await core.core.replicator.push(core.length - 1)
  } else if (command.random) {
    const blocks = random(command.seed)
    for (let left = command.count; left > 0; left -= 100) {
      await append(command.random, Array.from({ length: Math.min(100, left) }, () => blocks.next().value))
    }
  } else if (command.truncate) {
    const core = cores[command.truncate]
    await core.truncate(command.length)
    say({ event: 'truncate', core: toHex(core.key), length: core.length, fork: core.fork })
  } else if (command.end) {
    await end()
  }
})
