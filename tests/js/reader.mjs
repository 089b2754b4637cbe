// A JavaScript reader: follows the cores that block 0 of the given core names, and tells the digest of each block.
import Corestore from 'corestore'
import { dial, digest, endWith, fromHex, options, say, serve, toHex } from './common.mjs'

const { storage, key, port, serve: passOn, 'encryption-key': secret, 'allow-push': allowPush } = options({
  storage: 'string', key: 'string', port: 'string', serve: 'string', 'encryption-key': 'string', 'allow-push': 'boolean'
})
const store = new Corestore(storage)
const encryption = secret ? { key: fromHex(secret) } : null
endWith(() => store.close())
const first = store.get({ key: fromHex(key), encryption })
await first.ready()
dial(store, Number(port))
if (passOn !== undefined) say({ event: 'serving', tcp: (await serve(store, Number(passOn))).address().port })
const { otherKeys } = JSON.parse(await first.get(0))
say({ event: 'otherKeys', otherKeys })
// A get that waits when the store closes rejects.
await Promise.all(otherKeys.map(follow)).catch((error) => { if (!store.closing) throw error })

async function follow (text) {
  const core = store.get({ key: fromHex(text), encryption, allowPush })
  await core.ready()
  const at = { next: 0, cut: () => {} }
  core.on('truncate', (length, fork) => {
    say({ event: 'truncate', core: text, length, fork })
    at.next = Math.min(at.next, length)
    at.cut(null)
  })
  core.on('conflict', (length, fork) => say({ event: 'conflict', core: text, length, fork }))
  core.on('verification-error', (error) => say({ event: 'verification-error', core: text, message: error.message }))
  core.download({ start: 0, end: -1 })
  while (true) {
    const { next } = at
    // A get past a shorter fork's end waits for good: a truncation ends the waiting.
    const cut = new Promise((resolve) => { at.cut = resolve })
    const block = await Promise.race([cut, core.get(next)])
    if (block === null) continue
    at.next = next + 1
    say({ core: toHex(core.key), seq: next, bytes: block.length, sha256: digest(block), fork: core.fork })
  }
}
