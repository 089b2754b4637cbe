// Three cores of the native writer, live; and nothing is asked of any host but the page's own and the peer.
import assert from 'node:assert/strict'
import { allBlocks, figure, inState, openBrowser, openPage, readerAddress, shows } from './lib/chromium.mjs'
import { startWriter, temporaryFolder } from './lib/native.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { serveSite } from './lib/site.mjs'

await scenario(async () => {
  const { origin } = await serveSite()
  const writer = await startWriter(await temporaryFolder())
  const [two, three] = writer.other
  const context = await openBrowser()
  const asked = []
  context.on('request', (request) => asked.push(request.url()))
  context.on('page', (page) => page.on('websocket', (socket) => asked.push(socket.url())))

  const page = await openPage(context, readerAddress(origin, writer.url, writer.key))
  await shows(page, writer.key, 0, JSON.stringify({ otherKeys: writer.other }))
  await inState(page, 'live')
  const lines = ['hi', 'a line for core-3', 'äö', 'yes', 'another — with “quotes” & <b>marks</b>', '  spaces  stay  ']
  for (const line of lines) writer.line(line)
  const short = lines.filter((line) => Buffer.byteLength(line) < 5)
  const long = lines.filter((line) => Buffer.byteLength(line) >= 5)
  for (const [seq, line] of short.entries()) await shows(page, two, seq, line)
  for (const [seq, line] of long.entries()) await shows(page, three, seq, line)
  assert.equal(Object.keys(await allBlocks(page)).length, lines.length + 1)

  for (const [core, count] of [[writer.key, 1], [two, short.length], [three, long.length]]) {
    for (const name of ['length', 'downloaded', 'verified']) {
      await eventually(`${name} of ${core.slice(0, 8)} is ${count}`, async () => await figure(page, core, name) === count)
    }
  }
  await eventually('the peer is listed as connected and outbound', async () =>
    /outbound.*connected/s.test(await page.locator('#peer-rows').innerText()))

  const allowed = [new URL(origin).host, new URL(writer.url).host]
  assert.ok(asked.some((url) => url.startsWith('ws://')), 'the peer was asked')
  assert.deepEqual(asked.filter((url) => !allowed.includes(new URL(url).host)), [])
})
