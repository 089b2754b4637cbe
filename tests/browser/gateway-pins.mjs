// A gateway that keeps a core is a peer like any other, found by the core's key; it serves when the writer is gone.
import { inState, openBrowser, openPage, shows } from './lib/chromium.mjs'
import { startProgram, temporaryFolder } from './lib/native.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { startGateway, startNetwork, startSwarmPeer } from './lib/swarm.mjs'

await scenario(async () => {
  const bootstrap = await startNetwork()
  const writer = startSwarmPeer(await temporaryFolder(), bootstrap)
  const { key, otherKeys: [two] } = await writer.next('its keys', (event) => event.key)
  writer.line(JSON.stringify({ append: [Buffer.from('kept').toString('base64')] }))
  const gateway = await startGateway(bootstrap, ['--pin', key])

  const first = await openPage(await openBrowser(), `${gateway.url}/#${key}`)
  await shows(first, two, 0, 'kept')
  const ways = async (page) => page.locator('#peer-rows [data-way]').evaluateAll((cells) => cells.map((cell) => cell.dataset.way).sort())
  await eventually('writer and gateway are peers', async () => String(await ways(first)) === 'gateway,relayed')
  // Who asks nobody but the gateway gets it.
  const other = startProgram(process.env.CORESTORE, ['read', key, '--json', '--no-swarm', '--storage', await temporaryFolder(),
    '--ws', `${gateway.ws}/replicate`])
  await other.next('the block', (event) => event.value === Buffer.from('kept').toString('base64'))
  // The page that read is a peer like any other, too.
  await Promise.all([writer.stop(), first.context().close()])

  const second = await openPage(await openBrowser(), `${gateway.url}/#${key}`)
  await shows(second, two, 0, 'kept')
  await inState(second, 'live')
  await eventually('the gateway alone is its peer', async () => String(await ways(second)) === 'gateway')
})
