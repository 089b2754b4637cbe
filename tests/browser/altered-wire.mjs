// A byte altered between the writer and the page: refused, reported, and read from a sound connection afterwards.
import assert from 'node:assert/strict'
import { alteringProxy } from './lib/altering-proxy.mjs'
import { allBlocks, blockText, inState, openBrowser, openPage, readerAddress, shows } from './lib/chromium.mjs'
import { startWriter, temporaryFolder } from './lib/native.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { serveSite } from './lib/site.mjs'

await scenario(async () => {
  const { origin } = await serveSite()
  const writer = await startWriter(await temporaryFolder())
  const proxy = await alteringProxy(writer.url)
  const page = await openPage(await openBrowser(), readerAddress(origin, proxy.url, writer.key))
  await inState(page, 'live')
  writer.line('a sound line before')
  await shows(page, writer.other[1], 0, 'a sound line before')

  proxy.alter(true)
  const line = 'this line is altered on the way '.repeat(10).trim()
  writer.line(line)
  await eventually('the refusal is reported', async () => await page.locator('#alerts .alert[data-refused=connection]').count() > 0)
  assert.match(await page.locator('#alerts').innerText(), /Refused what came from ws:/)
  assert.equal(await blockText(page, writer.other[1], 1), null)

  proxy.alter(false)
  await page.evaluate(() => window.corestore.session.connection.reconnect())
  await shows(page, writer.other[1], 1, line)
  await inState(page, 'live')
  const shown = Object.values(await allBlocks(page))
  assert.deepEqual(shown.filter((text) => text.startsWith('a sound') || text.startsWith('this line')).sort(), ['a sound line before', line])
})
