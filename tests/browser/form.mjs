// The form and the keyboard: what is wrong is said at its field; a block opens without a mouse.
import assert from 'node:assert/strict'
import { inState, openBrowser, openPage, shows } from './lib/chromium.mjs'
import { startWriter, temporaryFolder } from './lib/native.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { serveSite } from './lib/site.mjs'

await scenario(async () => {
  const { origin } = await serveSite()
  const writer = await startWriter(await temporaryFolder())
  for (let i = 0; i < 3; i++) writer.line(`{"line":${i}}`)
  const page = await openPage(await openBrowser(), origin)
  await inState(page, 'empty')
  const key = page.getByLabel('Key of core-1')
  const peer = page.getByLabel('Peer address')
  const send = page.getByRole('button', { name: 'Read', exact: true })

  await key.fill('not a key')
  await peer.fill('http://127.0.0.1:1')
  await send.click()
  assert.equal(await key.getAttribute('aria-invalid'), 'true')
  assert.equal(await peer.getAttribute('aria-invalid'), 'true')
  assert.ok((await page.locator('#key-problem').innerText()).length > 10)
  assert.match(await page.locator('#peer-problem').innerText(), /ws:\/\//)
  assert.equal(await page.evaluate(() => document.activeElement.id), 'key')

  await key.fill(writer.key)
  await peer.fill(writer.url)
  await peer.press('Enter')
  await inState(page, 'live')
  assert.equal(page.url(), `${origin}/?peer=${writer.url}#${writer.key}`)
  await shows(page, writer.other[1], 2, '{"line":2}')

  const list = page.getByRole('listbox', { name: 'Blocks of core-3' })
  await list.focus()
  for (const press of ['Home', 'ArrowDown', 'Enter']) await page.keyboard.press(press)
  const dialog = page.getByRole('dialog', { name: 'core-3, block 1' })
  assert.equal(await dialog.locator('pre').innerText(), '{"line":1}')
  await page.keyboard.press('Escape')
  await eventually('the dialog is closed', async () => await dialog.count() === 0)

  const section = page.getByRole('region', { name: 'core-3' })
  await section.getByRole('radio', { name: 'Hex' }).check({ force: true })
  await shows(page, writer.other[1], 0, Buffer.from('{"line":0}').toString('hex'))
  const unnamed = await page.evaluate(() => [...document.querySelectorAll('button, input')].filter((element) =>
    !element.labels?.length && !element.textContent && !element.getAttribute('aria-label')).map((element) => element.outerHTML))
  assert.deepEqual(unnamed, [])
})
