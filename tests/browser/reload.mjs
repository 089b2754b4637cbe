// What was read stays: after a reload with the writer stopped, and then with the page's own server stopped as well.
import assert from 'node:assert/strict'
import { allBlocks, inState, openBrowser, openPage, readerAddress, shows } from './lib/chromium.mjs'
import { startWriter, temporaryFolder } from './lib/native.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { serveSite } from './lib/site.mjs'

await scenario(async () => {
  const site = await serveSite()
  const writer = await startWriter(await temporaryFolder())
  const page = await openPage(await openBrowser(), readerAddress(site.origin, writer.url, writer.key))
  await inState(page, 'live')
  for (let i = 0; i < 8; i++) {
    writer.line(`s${i}`)
    writer.line(`line number ${i}`)
  }
  await shows(page, writer.other[0], 7, 's7')
  await shows(page, writer.other[1], 7, 'line number 7')
  const before = await eventually('all 17 blocks are shown', async () => {
    const blocks = await allBlocks(page)
    return Object.keys(blocks).length === 17 && blocks
  })

  await writer.stop()
  await inState(page, 'offline')
  await page.reload()
  const same = (what) => eventually(what, async () => {
    assert.deepEqual(await allBlocks(page), before)
    return true
  })
  await same('the same blocks are shown without the writer')
  await inState(page, 'offline')

  await page.evaluate(() => navigator.serviceWorker.ready.then(() => true))
  await eventually('the page’s files are kept', () => page.evaluate(async () =>
    Boolean(navigator.serviceWorker.controller) && Boolean(await caches.match('./corestore/index.js'))))
  await site.stop()
  await page.reload()
  await same('the same blocks are shown without any server')

  // Without a peer's address too, from the list of what was read before.
  await page.goto(site.origin)
  await page.locator('#recent-list a').first().click()
  await same('the list of recent keys opens them')
})
