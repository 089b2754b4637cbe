// The page's address, taken apart and put together; needs no browser.
import assert from 'node:assert/strict'
import { formatAddress, parseAddress, peerProblem } from '../../www/js/address.js'

const key = 'ab'.repeat(32)
const secret = 'cd'.repeat(32)
assert.deepEqual(parseAddress(`http://h/?peer=ws://127.0.0.1:4000#${key}`), { key, peer: 'ws://127.0.0.1:4000', relay: '', encryption: '', all: false })
assert.deepEqual(parseAddress(`http://h/?all&peer=ws%3A%2F%2Fh%3A1#${key}&encryption=${secret}`), { key, peer: 'ws://h:1', relay: '', encryption: secret, all: true })
assert.deepEqual(parseAddress('http://h/'), { key: '', peer: '', relay: '', encryption: '', all: false })
assert.deepEqual(parseAddress('http://h/#%'), { key: '%', peer: '', relay: '', encryption: '', all: false })

assert.equal(formatAddress('http://h/?x#y', { key, peer: 'ws://127.0.0.1:4000' }), `http://h/?peer=ws://127.0.0.1:4000#${key}`)
for (const address of [{ key, peer: 'wss://h:1/p?q=1&r=2', relay: 'wss://r', encryption: secret, all: true }, { key, peer: '', relay: '', encryption: '', all: false }]) {
  assert.deepEqual(parseAddress(formatAddress('http://h/page', address)), address)
}

for (const sound of ['', 'ws://127.0.0.1:1', 'wss://h/p']) assert.equal(peerProblem(sound), null)
for (const wrong of ['h:1', 'http://h', 'ws://h#k', 'x']) assert.ok(peerProblem(wrong), wrong)
