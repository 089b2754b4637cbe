// A core written in the page is found by its key and read, live, by a JavaScript peer on the swarm and by another page.
// The page's secret key stays in the page.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { captured } from './lib/capture.mjs'
import { openBrowser, openPage, shows } from './lib/chromium.mjs'
import { temporaryFolder } from './lib/native.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { startGateway, startNetwork, startSwarmPeer } from './lib/swarm.mjs'

await scenario(async () => {
  const bootstrap = await startNetwork()
  const gateway = await captured(await startGateway(bootstrap))
  const page = await openPage(await openBrowser(), gateway.url)
  await eventually('the store is open', () => page.evaluate(() => Boolean(window.corestore)))
  const seed = randomBytes(32)
  const key = await page.evaluate(async ([relay, seed]) => {
    const { store, Swarm, id } = window.corestore
    const lines = store.get({ name: 'lines' })
    const index = store.get({ name: 'index', valueEncoding: 'json' })
    await Promise.all([lines.ready(), index.ready()])
    await index.append({ otherKeys: [id.hex(lines.key)] })
    await lines.append(['one of the page', 'two of the page'])
    const swarm = new Swarm(store, { relay, keyPair: { seed } })
    await swarm.join(index.discoveryKey).flushed()
    Object.assign(window, { swarm, lines })
    return id.hex(index.key)
  }, [gateway.ws, seed.toString('hex')])
  await eventually('the page can be called', () => page.evaluate(() => window.swarm.listening))

  const reader = startSwarmPeer(await temporaryFolder(), bootstrap, key)
  const read = (seq, text) => reader.next(`block ${seq}`, (event) => event.seq === seq && event.sha256 === digest(text))
  await read(1, 'two of the page')
  await page.evaluate(() => window.lines.append('three of the page'))
  await read(2, 'three of the page')

  // Pages meet, too: another browser reads from this page alone.
  await reader.stop()
  const other = await openPage(await openBrowser(), `${gateway.url}/#${key}`)
  const lines = await page.evaluate(() => window.corestore.id.hex(window.lines.key))
  await shows(other, lines, 2, 'three of the page')
  await page.evaluate(() => window.lines.append('four of the page'))
  await shows(other, lines, 3, 'four of the page')

  const seen = gateway.seen()
  assert.ok(seen.includes(Buffer.from(await page.evaluate(() => Array.from(window.swarm.publicKey)))), 'the capture is of this page')
  for (const secret of [seed, 'of the page', 'otherKeys']) assert.ok(!seen.includes(secret), 'the gateway saw a secret')

  await page.evaluate(() => window.swarm.destroy())
  assert.equal(await page.evaluate(() => window.swarm.state), 'closed')
})

function digest (text) {
  return createHash('sha256').update(text).digest('hex')
}
