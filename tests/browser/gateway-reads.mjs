// A gateway serves the page; a key is all the page needs to read, live, from a JavaScript writer somewhere on the swarm.
// The gateway carries sealed bytes.
import assert from 'node:assert/strict'
import { captured } from './lib/capture.mjs'
import { openBrowser, openPage, inState, shows } from './lib/chromium.mjs'
import { temporaryFolder } from './lib/native.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { startGateway, startNetwork, startSwarmPeer } from './lib/swarm.mjs'

await scenario(async () => {
  const bootstrap = await startNetwork()
  const gateway = await captured(await startGateway(bootstrap))
  const writer = startSwarmPeer(await temporaryFolder(), bootstrap)
  const { key, otherKeys: [two] } = await writer.next('its keys', (event) => event.key)
  const append = (text) => writer.line(JSON.stringify({ append: [Buffer.from(text).toString('base64')] }))

  append('a line that was there before')
  const page = await openPage(await openBrowser(), `${gateway.url}/#${key}`)
  await shows(page, key, 0, JSON.stringify({ otherKeys: [two] }))
  await shows(page, two, 0, 'a line that was there before')
  await inState(page, 'live')
  append('a line that comes while the page is open')
  await shows(page, two, 1, 'a line that comes while the page is open')
  await eventually('the peer is shown as relayed', async () =>
    /relayed.*connected/s.test(await page.locator('#peer-rows').innerText()))

  const seen = gateway.seen()
  assert.ok(seen.length > 500, 'the capture holds something')
  const ours = await page.evaluate(() => Array.from(window.corestore.swarm.publicKey))
  assert.ok(seen.includes(Buffer.from(ours)), 'the capture is of this page')
  for (const secret of ['a line that', 'otherKeys', two]) assert.ok(!seen.includes(secret), `the gateway saw ${secret}`)
})
