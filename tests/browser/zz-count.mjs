import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { openBrowser } from './lib/chromium.mjs'
import { startWriter, temporaryFolder } from './lib/native.mjs'
import { scenario } from './lib/scenario.mjs'
import { PACKAGE, serveSite } from './lib/site.mjs'
const count = Number(process.argv[2] ?? 20000), size = Number(process.argv[3] ?? 1024), memory = process.argv[4] === 'memory'
await scenario(async () => {
  const { origin } = await serveSite(PACKAGE)
  const context = await openBrowser()
  const folder = await temporaryFolder()
  const file = path.join(folder, 'p')
  let t = ''; for (let i = 0; i < count; i++) t += JSON.stringify({ value: randomBytes(size).toString('base64') }) + '\n'
  await writeFile(file, t)
  const writer = await startWriter(folder, ['--preload-file', file])
  for (let r = 0; r < 2; r++) {
  const page = await context.newPage()
  page.on('console', (m) => console.log(m.text()))
  await page.goto(`${origin}/package.json`)
  const cdp = await context.newCDPSession(page)
  await cdp.send('Profiler.enable'); await cdp.send('Profiler.setSamplingInterval', { interval: 300 })
  await page.evaluate(async ({ url, key, count, memory }) => {
    const n = window.n = { in: 0, inBytes: 0, out: 0, tx: {}, put: {}, get: {}, events: 0 }
    const W = window.WebSocket
    window.WebSocket = class extends W { constructor (...a) { super(...a); this.addEventListener('message', (e) => { n.in++; n.inBytes += e.data.byteLength }) } send (d) { n.out++; super.send(d) } }
    const t = IDBDatabase.prototype.transaction; IDBDatabase.prototype.transaction = function (s, ...m) { const k = [...s] + '/' + m[0]; n.tx[k] = (n.tx[k] ?? 0) + 1; return t.call(this, s, ...m) }
    for (const f of ['put', 'get']) { const p = IDBObjectStore.prototype[f]; IDBObjectStore.prototype[f] = function (...a) { n[f][this.name] = (n[f][this.name] ?? 0) + 1; return p.apply(this, a) } }
    const { Corestore } = await import('/js/index.js')
    const store = window.store = new Corestore({ name: 'x' + Math.random(), memory })
    const core = window.core = store.get({ key })
    store.replicate(url)
    await core.get(0); await core.update()
    window.own = store.get({ name: 'own' }); await window.own.ready()
    Object.assign(n, { in: 0, inBytes: 0, out: 0, tx: {}, put: {}, get: {} })
  }, { url: writer.url, key: writer.other[1], count, memory })
  await cdp.send('Profiler.start')
  console.log(await page.evaluate(async (count) => {
    const s = performance.now()
    await window.core.download({ start: 0, end: count }).done()
    const d = performance.now() - s
    await window.own.append(new Uint8Array(1))
    return JSON.stringify({ d, all: performance.now() - s, ...window.n })
  }, count))
  await writeFile(`/tmp/k-count-${size}.cpuprofile`, JSON.stringify((await cdp.send('Profiler.stop')).profile))
  await page.close()
  }
})
