// Encrypted cores: shown with their key, and no secret is remembered; without it, nothing is taken for text of theirs.
import assert from 'node:assert/strict'
import { allBlocks, inState, openBrowser, openPage, readerAddress, shows } from './lib/chromium.mjs'
import { startWriter, temporaryFolder } from './lib/native.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { serveSite } from './lib/site.mjs'

const SECRET = '5e'.repeat(32)

await scenario(async () => {
  const { origin } = await serveSite()
  const writer = await startWriter(await temporaryFolder(), ['--encryption-key', SECRET])
  writer.line('a line that is secret')
  const address = readerAddress(origin, writer.url, writer.key)
  const page = await openPage(await openBrowser(), `${address}&encryption=${SECRET}`)
  await inState(page, 'live')
  await shows(page, writer.other[1], 0, 'a line that is secret')
  assert.ok(!JSON.stringify(await page.evaluate(() => ({ ...localStorage }))).includes(SECRET))
  await page.close()

  const without = await openPage(await openBrowser(), address)
  await eventually('block 0 arrived, still encrypted', async () => Object.keys(await allBlocks(without)).length === 1)
  await eventually('the page says that block 0 names nothing', async () =>
    /names no other cores/.test(await without.locator('#state-detail').innerText()))
})
