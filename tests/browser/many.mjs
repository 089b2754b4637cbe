// Twenty thousand blocks: what is out of view is not in the document, every block can be reached, and `?all` asks for all.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { allBlocks, figure, inState, openBrowser, openPage, readerAddress, shows } from './lib/chromium.mjs'
import { startWriter, temporaryFolder } from './lib/native.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { serveSite } from './lib/site.mjs'

const MANY = 20_000
const FEW = 1_500

await scenario(async () => {
  const { origin } = await serveSite()
  const folder = await temporaryFolder()
  const preload = path.join(folder, 'preload.jsonl')
  const value = (text) => `${JSON.stringify({ value: Buffer.from(text).toString('base64') })}\n`
  await writeFile(preload, Array.from({ length: MANY }, (_, i) => value(`line number ${i}`)).join('') +
    Array.from({ length: FEW }, (_, i) => value(i.toString(36))).join(''))
  const writer = await startWriter(folder, ['--preload-file', preload])
  const [two, three] = writer.other
  const context = await openBrowser()
  const page = await openPage(context, readerAddress(origin, writer.url, writer.key))
  await inState(page, 'live')

  await shows(page, three, MANY - 1, `line number ${MANY - 1}`)
  assert.equal(await figure(page, three, 'length'), MANY)
  const goTo = async (seq) => {
    const box = page.getByLabel('Go to a block of core-3')
    await box.fill(String(seq))
    await box.press('Enter')
    await shows(page, three, seq, `line number ${seq}`)
  }
  for (const seq of [0, 12_345, 7, MANY - 1]) await goTo(seq)
  const rows = await page.locator('.row').count()
  assert.ok(rows < 200, `${rows} rows are in the document`)
  assert.ok(await figure(page, three, 'downloaded') < MANY, 'a long core is not downloaded unasked')

  await page.getByRole('region', { name: 'core-3' }).getByRole('button', { name: 'Download all' }).click()
  await eventually('all of core-3 is downloaded', async () => await figure(page, three, 'downloaded') === MANY, 80_000)
  await page.close()

  const all = await openPage(context, readerAddress(origin, writer.url, two, '&all'))
  await eventually('every block of core-2 is in the document', async () => Object.keys(await allBlocks(all)).length === FEW)
  const blocks = await allBlocks(all)
  for (let i = 0; i < FEW; i++) assert.equal(blocks[`${two}/${i}`], i.toString(36))
})
