// A truncation and the fork after it, live.
import { blockText, figure, inState, openBrowser, openPage, readerAddress, shows } from './lib/chromium.mjs'
import { startWriter, temporaryFolder } from './lib/native.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { serveSite } from './lib/site.mjs'

await scenario(async () => {
  const { origin } = await serveSite()
  const writer = await startWriter(await temporaryFolder())
  const three = writer.other[1]
  const page = await openPage(await openBrowser(), readerAddress(origin, writer.url, writer.key))
  await inState(page, 'live')
  for (let i = 0; i < 5; i++) writer.line(`line ${i} as first written`)
  await shows(page, three, 4, 'line 4 as first written')
  writer.line('!truncate core-3 2')
  await writer.next('that it truncated', (event) => event.event === 'truncate')
  writer.line('another line 2')
  await shows(page, three, 2, 'another line 2')
  await shows(page, three, 1, 'line 1 as first written')
  await eventually('what was cut is gone', async () => await blockText(page, three, 4) === null)
  await eventually('the fork is shown', async () => await figure(page, three, 'fork') === 1 && await figure(page, three, 'length') === 3)
})
