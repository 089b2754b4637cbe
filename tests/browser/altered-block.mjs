// A peer whose encryption is sound serves an altered block: the proof fails, it is reported, and nothing is kept.
import assert from 'node:assert/strict'
import { blockText, figure, inState, openBrowser, openPage, readerAddress, shows } from './lib/chromium.mjs'
import { javascriptPeer } from './lib/javascript-peer.mjs'
import { temporaryFolder } from './lib/native.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { serveSite } from './lib/site.mjs'

await scenario(async () => {
  const { origin } = await serveSite()
  const peer = await javascriptPeer(await temporaryFolder())
  const page = await openPage(await openBrowser(), readerAddress(origin, peer.url, peer.key))
  await inState(page, 'live')
  await peer.cores[1].append('good')
  await shows(page, peer.other[0], 0, 'good')

  peer.alter(peer.cores[2])
  await peer.cores[2].append('what the author wrote')
  await eventually('the refusal is reported', async () => await page.locator('#alerts .alert[data-refused=core-3]').count() > 0)
  assert.match(await page.locator('#alerts').innerText(), /Refused a block of core-3 from ws:/)
  assert.equal(await blockText(page, peer.other[1], 0), null)
  assert.equal(await page.evaluate((key) => window.corestore.store.get({ key }).has(0), peer.other[1]), false)
  await eventually('the core counts it', async () => await figure(page, peer.other[1], 'refused') > 0)
})
