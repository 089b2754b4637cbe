// The gateway goes away and comes back: the page says so, dials again, and goes on where it was.
import { inState, openBrowser, openPage, shows } from './lib/chromium.mjs'
import { freePort, temporaryFolder } from './lib/native.mjs'
import { scenario } from './lib/scenario.mjs'
import { startGateway, startNetwork, startSwarmPeer } from './lib/swarm.mjs'

await scenario(async () => {
  const bootstrap = await startNetwork()
  const port = await freePort()
  const gateway = await startGateway(bootstrap, [], port)
  const writer = startSwarmPeer(await temporaryFolder(), bootstrap)
  const { key, otherKeys: [two] } = await writer.next('its keys', (event) => event.key)
  const append = (text) => writer.line(JSON.stringify({ append: [Buffer.from(text).toString('base64')] }))

  append('before')
  const page = await openPage(await openBrowser(), `${gateway.url}/#${key}`)
  await shows(page, two, 0, 'before')
  await inState(page, 'live')
  await gateway.stop()
  await inState(page, 'offline')
  append('meanwhile')
  // A page that is opened meanwhile comes from the browser's own files, and waits, too.
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => {}))
  await page.reload()
  await inState(page, 'offline')
  await startGateway(bootstrap, [], port)
  await shows(page, two, 1, 'meanwhile')
  await inState(page, 'live')
})
