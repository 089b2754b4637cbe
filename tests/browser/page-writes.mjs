// A core written in the page arrives at a native peer, and through it at a JavaScript reader.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { openBrowser, openPage } from './lib/chromium.mjs'
import { startProgram, startWriter, temporaryFolder } from './lib/native.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { serveSite } from './lib/site.mjs'

const READER = fileURLToPath(new URL('../js/reader.mjs', import.meta.url))

await scenario(async () => {
  const { origin } = await serveSite()
  const folder = await temporaryFolder()
  const page = await openPage(await openBrowser(), origin)
  await eventually('the store is open', () => page.evaluate(() => Boolean(window.corestore)))
  // Two cores, in the manner of the writer: the first one names the second.
  const key = await page.evaluate(async () => {
    const { store, id } = window.corestore
    const lines = store.get({ name: 'lines' })
    const index = store.get({ name: 'index', valueEncoding: 'json' })
    await Promise.all([lines.ready(), index.ready()])
    await index.append({ otherKeys: [id.hex(lines.key)] })
    await lines.append(['one', 'two'])
    return id.hex(index.key)
  })

  // The reader needs somebody to dial; whom it dials knows nothing of the page's cores.
  const writer = await startWriter(folder)
  const native = startProgram(process.env.CORESTORE, ['read', key, '--json', '--no-swarm', '--storage', path.join(folder, 'native'), '--tcp',
    `127.0.0.1:${writer.tcp}`, '--serve', '127.0.0.1:0', '--serve-ws', '127.0.0.1:0'])
  const served = await native.next('its WebSocket’s port', (event) => event.event === 'serving' && event.ws)
  const { tcp } = await native.next('its TCP port', (event) => event.event === 'serving' && event.tcp)
  await page.evaluate((url) => { window.corestore.store.replicate(url) }, `ws://127.0.0.1:${served.ws}`)
  await native.next('the second block', (event) => event.seq === 1 && event.value === Buffer.from('two').toString('base64'))

  const reader = startProgram('node', [READER, '--key', key, '--storage', path.join(folder, 'js'), '--port', String(tcp)])
  await reader.next('the second block', (event) => event.seq === 1 && event.sha256 === digest('two'))
  // Live, from the panel of the page.
  await page.locator('#write summary').click()
  await page.getByLabel("Core's name").fill('lines')
  await page.getByLabel('Line', { exact: true }).fill('typed into the page')
  await page.getByRole('button', { name: 'Append' }).click()
  const typed = 'typed into the page'
  await native.next('the typed line', (event) => event.seq === 2 && event.value === Buffer.from(typed).toString('base64'))
  await reader.next('the typed line', (event) => event.seq === 2 && event.sha256 === digest(typed))
  assert.deepEqual(reader.events.filter((event) => event.sha256).map((event) => event.sha256), ['one', 'two', typed].map(digest))
})

function digest (text) {
  return createHash('sha256').update(text).digest('hex')
}
