// The package's public API, as `index.d.ts` has it, in a page: two stores over a pipe. All of it in the page's thread, and
// all of it in Workers.
import { openBrowser } from './lib/chromium.mjs'
import { helpers } from './lib/in-page.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { PACKAGE, serveSite } from './lib/site.mjs'

const CHECKS = {
  keys: async () => {
    const { id } = await load()
    const bytes = Uint8Array.from({ length: 32 }, (_, i) => i * 7)
    equal(id.hex(id.decode(id.encode(bytes))), id.hex(bytes))
    equal(id.encode(id.hex(bytes)), id.encode(bytes))
    equal([id.encode(bytes).length, id.hex(bytes).length], [52, 64])
    equal([id.isValid(bytes), id.isValid('z'.repeat(52)), id.isValid(3), id.isValid(bytes.subarray(1))], [true, false, false, false])
    const wrong = await code(() => id.decode('x'.repeat(64)))
    equal(wrong, 'INVALID_KEY')
  },

  'appends, lengths and encodings': async () => {
    const { Corestore, id } = await load()
    const store = new Corestore({ memory: true, primaryKey: new Uint8Array(32).fill(1) })
    const core = store.get({ name: 'a' })
    equal([core.opened, core.key, core.length, core.writable], [false, null, 0, false])
    await core.ready()
    equal([core.opened, core.key.length, core.id === id.encode(core.key), core.writable], [true, 32, true, true])
    const appended = []
    core.on('append', () => appended.push(core.length))
    equal(await core.append('é'), { length: 1, byteLength: 2 })
    equal(await core.append([new Uint8Array([1, 2]), new ArrayBuffer(3), '']), { length: 4, byteLength: 7 })
    equal(appended, [1, 4])
    equal([core.length, core.byteLength, core.contiguousLength, core.fork], [4, 7, 4, 0])
    equal([...await core.get(1)], [1, 2])
    equal(await core.get(0, { valueEncoding: 'utf-8' }), 'é')
    equal(await code(() => core.get(0, { valueEncoding: 'json' })), 'DECODING_ERROR')
    equal(await code(() => core.append({ a: 1 })), 'BAD_ARGUMENT')
    equal(await code(() => core.session({ valueEncoding: 'xml' })), 'BAD_ARGUMENT')
    const json = store.get({ name: 'json', valueEncoding: 'json' })
    await json.append([{ a: [1, null] }, 'text', 7])
    equal([await json.get(0), await json.get(1), await json.get(2)], [{ a: [1, null] }, 'text', 7])
    equal([await core.has(0), await core.has(0, 4), await core.has(0, 5), await core.count()], [true, true, false, 4])
    equal([await core.seek(0), await core.seek(3), await core.seek(6)], [[0, 0], [1, 1], [2, 2]])
    const info = await core.info()
    equal([info.length, info.storedBlocks, info.writable, info.frozen, info.peers], [4, 4, true, false, 0])
    equal((await store.list()).length, 2)
    await store.close()
    equal([store.closed, await code(() => store.get({ name: 'b' })), await code(() => core.get(0))], [true, 'SESSION_CLOSED', 'SESSION_CLOSED'])
  },

  'sessions, namespaces and snapshots': async () => {
    const { Corestore } = await load()
    const store = new Corestore({ memory: true })
    const core = store.get({ name: 'a' })
    await core.append(['one', 'two'])
    const reader = core.session({ writable: false, valueEncoding: 'utf-8' })
    equal(await code(() => reader.append('x')), 'SESSION_NOT_WRITABLE')
    const snapshot = core.snapshot({ valueEncoding: 'utf-8' })
    await snapshot.ready()
    await core.append('three')
    equal([snapshot.length, snapshot.snapshotted, reader.length], [2, true, 3])
    equal([await snapshot.get(1), await reader.get(2)], ['two', 'three'])
    equal(await code(() => snapshot.get(2)), 'SNAPSHOT_NOT_AVAILABLE')
    equal(await code(() => snapshot.append('x')), 'SESSION_NOT_WRITABLE')
    const cuts = []
    reader.on('truncate', (length, fork) => cuts.push([length, fork]))
    await core.truncate(1)
    equal([cuts, core.length, core.fork], [[[1, 1]], 1, 1])
    const other = store.namespace('n').get({ name: 'a' })
    const same = store.namespace('n').get({ name: 'a' })
    await Promise.all([other.ready(), same.ready()])
    equal([String(other.key) === String(same.key), String(other.key) === String(core.key)], [true, false])
    let closed = 0
    other.on('close', () => closed++)
    await other.close()
    equal([closed, other.closed, other.readable, same.closed, await code(() => other.get(0))], [1, true, false, false, 'SESSION_CLOSED'])
    equal(await code(() => store.get({ key: new Uint8Array(32), createIfMissing: false }).ready()), 'STORAGE_EMPTY')
    equal(await code(() => store.get({ discoveryKey: new Uint8Array(32) }).ready()), 'STORAGE_EMPTY')
    equal(await code(() => store.get({}).ready()), 'BAD_ARGUMENT')
    equal(await code(() => store.get('short')), 'INVALID_KEY')
    await core.clear(0)
    equal([await core.has(0), await core.get(0, { wait: false })], [false, null])
    const another = store.get({ key: core.key })
    await another.ready()
    const ended = new Promise((resolve) => another.on('close', resolve))
    const purged = []
    another.on('purge', () => purged.push('another'))
    await core.purge()
    await ended
    equal([core.closed, another.closed, purged, await code(() => another.get(0))], [true, true, ['another'], 'SESSION_CLOSED'])
    equal(await code(() => store.get({ key: core.key, createIfMissing: false }).ready()), 'STORAGE_EMPTY')
    const anew = store.namespace('n').get({ name: 'a' })
    await anew.ready()
    equal(anew.length, 0)
    await store.close()
  },

  'replication, events, streams and downloads': async () => {
    const { writer, reader, stores, connections } = await pair(20)
    await connections[0].ready()
    equal([connections[0].state, connections[0].remotePublicKey.length, stores[1].connections.length], ['open', 32, 1])
    const [downloads, uploads] = [[], []]
    reader.on('download', (index, bytes, peer) => downloads.push([index, bytes, peer?.connection === connections[1]]))
    writer.on('upload', (index) => uploads.push(index))
    equal(await reader.update({ wait: true }), true)
    equal([reader.length, reader.peers.length, reader.writable, await reader.has(3)], [20, 1, false, false])
    equal(await reader.get(3), 'block 3')
    await until(() => downloads.length === 1)
    equal([downloads, uploads], [[[3, 7, true]], [3]])

    const seen = []
    for await (const block of reader.createReadStream({ start: 2, end: 6 })) seen.push(block)
    equal(seen, ['block 2', 'block 3', 'block 4', 'block 5'])
    const live = []
    const follow = (async () => {
      for await (const block of reader.createReadStream({ start: 18, live: true })) if (live.push(block) === 4) break
    })()
    await until(() => live.length === 2)
    await writer.append(['block 20', 'block 21'])
    await follow
    equal(live, ['block 18', 'block 19', 'block 20', 'block 21'])
    const pieces = []
    for await (const piece of reader.createByteStream({ byteOffset: 3, byteLength: 10 })) pieces.push(...piece)
    equal(new TextDecoder().decode(new Uint8Array(pieces)), 'ck 0block ')

    await reader.download({ start: 0, end: 22 }).done()
    equal([reader.contiguousLength, await reader.count()], [22, 22])
    const endless = reader.download({ start: 0 })
    endless.destroy()
    equal(await code(() => endless.done()), 'REQUEST_CANCELLED')
    const gone = []
    reader.on('peer-remove', (peer) => gone.push(peer.remotePublicKey.length))
    connections[0].destroy()
    await until(() => connections[1].state === 'closed' && gone.length === 1)
    equal([connections[0].lastReason.code, reader.peers.length], ['local', 0])
    await Promise.all(stores.map((store) => store.close()))
  },

  'listeners that come, go and throw': async () => {
    const { writer, reader, stores } = await pair(3)
    const heard = []
    const listener = (index) => heard.push(index)
    reader.on('download', listener)
    await reader.get(0)
    await until(() => heard.length === 1)
    reader.off('download', listener)
    await reader.get(1)
    await writer.append('later')
    await reader.get(3)
    equal([heard, reader.listenerCount('download')], [[0], 0])
    reader.once('download', listener)
    await reader.get(2)
    await until(() => heard.length === 2)
    const reported = []
    addEventListener('error', (event) => { reported.push(event.error.message); event.preventDefault() }, { once: true })
    let after = false
    writer.on('append', () => { throw new Error('mine') })
    writer.on('append', () => { after = true })
    await writer.append('x')
    equal([reported, after], [['mine'], true])
    await Promise.all(stores.map((store) => store.close()))
  },

  'cancelling and time': async () => {
    const { reader, stores } = await pair(3)
    equal(await code(() => reader.get(50, { timeout: 30 })), 'REQUEST_TIMEOUT')
    equal(await code(() => reader.download({ start: 50, end: 51, timeout: 30 }).done()), 'REQUEST_TIMEOUT')
    equal(await code(() => reader.download({ blocks: [50], timeout: 30 }).done()), 'REQUEST_TIMEOUT')
    equal(await code(() => reader.update({ timeout: -1 })), 'BAD_ARGUMENT')
    equal(await code(() => reader.get(1.5)), 'BAD_ARGUMENT')
    const control = new AbortController()
    const waiting = code(() => reader.get(50, { signal: control.signal }))
    control.abort()
    equal(await waiting, 'REQUEST_CANCELLED')
    equal(await code(() => reader.get(50, { signal: control.signal })), 'REQUEST_CANCELLED')
    equal(await reader.get(50, { wait: false }), null)
    const stream = reader.createReadStream({ start: 3, live: true })
    const next = stream.next()
    stream.destroy()
    equal((await next).done, true)
    const open = code(() => reader.get(50))
    await reader.close()
    equal(await open, 'SESSION_CLOSED')
    await Promise.all(stores.map((store) => store.close()))
    // Somebody may come, and nobody does.
    const { Corestore } = await load()
    const alone = new Corestore({ memory: true })
    const connection = alone.replicate({ send () {}, close () {}, readyState: 'connecting', onmessage: null, onclose: null })
    const core = alone.get({ key: new Uint8Array(32).fill(5) })
    await core.ready()
    equal(await code(() => core.update({ wait: true, timeout: 30 })), 'REQUEST_TIMEOUT')
    await alone.close()
    equal(connection.state, 'closed')
    const left = await pair(20)
    await left.reader.update({ wait: true })
    left.connections[0].destroy()
    await until(() => left.reader.peers.length === 0)
    equal(await code(() => left.reader.seek(70, { timeout: 30 })), 'REQUEST_TIMEOUT')
    await Promise.all(left.stores.map((store) => store.close()))
  },

  'extensions and encryption': async () => {
    const { Corestore } = await load()
    const { writer, reader, stores } = await pair(1)
    await reader.get(0)
    const got = []
    const text = (bytes) => new TextDecoder().decode(bytes)
    const echo = writer.registerExtension('echo', { onmessage: (payload, peer) => { got.push([text(payload), peer !== null]); echo.broadcast('back') } })
    const ask = reader.registerExtension('echo', { onmessage: (payload) => got.push([text(payload)]) })
    await until(() => { if (got.length === 0) ask.broadcast('there'); return got.length >= 2 })
    equal([got[0], got.at(-1)], [['there', true], ['back']])
    await Promise.all(stores.map((store) => store.close()))

    const store = new Corestore({ memory: true })
    const key = new Uint8Array(32).fill(9)
    const secret = store.get({ name: 'secret', encryptionKey: key, valueEncoding: 'utf-8' })
    await secret.append('hidden')
    equal([secret.encrypted, await secret.get(0), secret.byteLength], [true, 'hidden', 6])
    const raw = await secret.get(0, { raw: true })
    equal([raw.length > 6, new TextDecoder().decode(raw).includes('hidden')], [true, false])
    await store.close()
  },

  'what is stored is there again, and one owner at a time': async () => {
    const { Corestore } = await load()
    const name = `kept-${Math.random()}`
    const first = new Corestore(name)
    const core = first.get({ name: 'log', valueEncoding: 'utf-8' })
    await core.append(['one', 'two'])
    const { key } = core
    const second = new Corestore(name)
    equal(await code(() => second.ready()), 'STORAGE_LOCKED')
    await first.close()
    const third = new Corestore(name)
    const again = third.get({ key, valueEncoding: 'utf-8' })
    equal([await again.get(1), again.length], ['two', 2])
    await third.close()
  }
}

await scenario(async () => {
  const { origin } = await serveSite(PACKAGE)
  const context = await openBrowser()
  await context.addInitScript(helpers)
  const page = await context.newPage()
  await page.goto(`${origin}/package.json`)
  for (const worker of [false, true]) {
    await page.evaluate((worker) => { window.worker = worker }, worker)
    for (const [name, check] of Object.entries(CHECKS)) {
      await page.evaluate(check).catch((error) => { throw new Error(`${name}${worker ? ', in a Worker' : ''}: ${error.message}`) })
    }
    await eventually('a closed store leaves no Worker', () => page.workers().length === 0)
  }
})
