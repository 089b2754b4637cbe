// A page whose peer goes away dials again and goes on; a transport that is slow holds the page's sending back.
import { openBrowser } from './lib/chromium.mjs'
import { helpers } from './lib/in-page.mjs'
import { freePort, startWriter, temporaryFolder } from './lib/native.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { PACKAGE, serveSite } from './lib/site.mjs'

await scenario(async () => {
  const { origin } = await serveSite(PACKAGE)
  const folder = await temporaryFolder()
  const port = await freePort()
  const first = await startWriter(folder, [], `127.0.0.1:${port}`)
  const context = await openBrowser()
  await context.addInitScript(helpers)
  const page = await context.newPage()
  await page.goto(`${origin}/package.json`)
  first.line('before')
  await page.evaluate(async ([url, key]) => {
    const { Corestore } = await import('/js/index.js')
    const store = new Corestore({ memory: true })
    window.core = store.get({ key, valueEncoding: 'utf-8' })
    window.states = []
    window.connection = store.replicate(url, { minBackoff: 50, maxBackoff: 300 })
    window.connection.on('state', (state) => window.states.push(state))
    equal(await window.core.get(0), 'before')
  }, [`ws://127.0.0.1:${port}`, first.other[1]])

  await first.stop()
  await eventually('the page noticed', () => page.evaluate(() => window.connection.state === 'reconnecting'))
  const second = await startWriter(folder, [], `127.0.0.1:${port}`)
  second.line('after')
  await page.evaluate(async () => {
    equal(await window.core.get(1), 'after')
    equal([window.connection.state, window.core.peers.length], ['open', 1])
    equal(window.states.slice(-2), ['connecting', 'open'])
  })
  await page.evaluate(slowTransport)
})

/** A peer that asks for everything over a transport that says its bytes do not leave: the sender stops, and goes on. */
async function slowTransport () {
  const { Corestore, createTransportPair } = await import('/js/index.js')
  const stores = [new Corestore({ memory: true }), new Corestore({ memory: true })]
  const writer = stores[0].get({ name: 'big' })
  await writer.append(Array.from({ length: 1000 }, () => new Uint8Array(65_536)))
  const reader = stores[1].get({ key: writer.key })
  const [a, b] = createTransportPair()
  const held = []
  let [sent, slow, most] = [0, true, 0]
  const slowed = {
    send (bytes) {
      sent += bytes.byteLength
      if (slow) held.push(bytes.slice())
      else a.send(bytes)
      most = Math.max(most, this.bufferedAmount)
    },
    close: () => a.close(),
    get bufferedAmount () { return held.reduce((sum, bytes) => sum + bytes.byteLength, 0) },
    set onmessage (listener) { a.onmessage = listener },
    set onclose (listener) { a.onclose = listener },
    set onerror (listener) { a.onerror = listener },
    set onopen (listener) { a.onopen = listener }
  }
  const release = () => { for (const bytes of held.splice(0)) a.send(bytes) }
  stores[0].replicate(slowed)
  stores[1].replicate(b, { initiator: false })
  // Let the handshake pass, hold what follows.
  const letting = setInterval(release, 5)
  await reader.update({ wait: true })
  const done = reader.download({ start: 0, end: 1000 }).done()
  clearInterval(letting)
  // Nothing leaves: what is sent stops growing, far below everything.
  let before = -1
  await until(async () => {
    before = sent
    await new Promise((resolve) => setTimeout(resolve, 200))
    return sent === before && held.length > 0
  })
  if (most > 4 << 20) throw new Error(`${most} bytes were given to a transport that sent none`)
  slow = false
  release()
  await done
  equal(await reader.count(), 1000)
  await Promise.all(stores.map((store) => store.close()))
}
