// The page reads live from a JavaScript writer by way of a relay of the npm package; the page may come from anywhere.
import { openBrowser, openPage, inState, shows } from './lib/chromium.mjs'
import { temporaryFolder } from './lib/native.mjs'
import { scenario } from './lib/scenario.mjs'
import { serveSite } from './lib/site.mjs'
import { startNetwork, startRelay, startSwarmPeer } from './lib/swarm.mjs'

await scenario(async () => {
  const { origin } = await serveSite()
  const bootstrap = await startNetwork()
  const relay = await startRelay(bootstrap)
  const writer = startSwarmPeer(await temporaryFolder(), bootstrap)
  const { key, otherKeys: [two] } = await writer.next('its keys', (event) => event.key)
  const append = (text) => writer.line(JSON.stringify({ append: [Buffer.from(text).toString('base64')] }))

  const page = await openPage(await openBrowser(), `${origin}/?relay=${relay}#${key}`)
  append('first')
  await shows(page, two, 0, 'first')
  await inState(page, 'live')
  append('second')
  await shows(page, two, 1, 'second')
})
