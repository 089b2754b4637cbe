// A gateway keeps encrypted cores without being able to read them: the page that is given their key reads them there when
// the writer is gone, and the gateway's files hold nothing of their text.
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { inState, openBrowser, openPage, shows } from './lib/chromium.mjs'
import { startProgram, temporaryFolder } from './lib/native.mjs'
import { eventually, scenario } from './lib/scenario.mjs'
import { startGateway, startNetwork, startSwarmPeer } from './lib/swarm.mjs'

const SECRET = '5e'.repeat(32)
const HIDDEN = 'a line for those who have the key'
const OPEN = 'a line for everybody'

await scenario(async () => {
  const bootstrap = await startNetwork()
  const writer = startProgram(process.env.CORESTORE, ['write', '--json', '--bootstrap', bootstrap, '--encryption-key', SECRET,
    '--storage', await temporaryFolder()])
  const { key, otherKeys: [two, three] } = await writer.next('its keys', (event) => event.key)
  writer.line(HIDDEN)
  const plain = startSwarmPeer(await temporaryFolder(), bootstrap)
  const { key: plainKey } = await plain.next('its keys', (event) => event.key)
  plain.line(JSON.stringify({ append: [Buffer.from(OPEN).toString('base64')] }))
  const kept = await temporaryFolder()
  // What core-1 names is encrypted, too: each core is pinned by its own key.
  const pins = [key, two, three, plainKey].flatMap((pin) => ['--pin', pin])
  const gateway = await startGateway(bootstrap, ['--storage', kept, ...pins])

  // The gateway has it all once somebody who asks nobody else has.
  const other = startProgram(process.env.CORESTORE, ['read', key, '--json', '--no-swarm', '--encryption-key', SECRET,
    '--storage', await temporaryFolder(), '--ws', `${gateway.ws}/replicate`])
  await other.next('the line', (event) => event.value === Buffer.from(HIDDEN).toString('base64'))
  await Promise.all([writer.stop(), other.stop()])

  const page = await openPage(await openBrowser(), `${gateway.url}/#${key}&encryption=${SECRET}`)
  await shows(page, three, 0, HIDDEN)
  await inState(page, 'live')
  await eventually('the gateway alone is its peer', async () =>
    String(await page.locator('#peer-rows [data-way]').evaluateAll((cells) => cells.map((cell) => cell.dataset.way))) === 'gateway')

  await eventually('what is not encrypted is in the gateway\'s files', () => holds(kept, OPEN))
  await gateway.stop()
  for (const secret of [HIDDEN, SECRET, Buffer.from(SECRET, 'hex')]) assert.ok(!await holds(kept, secret))
})

/** Whether some file of a folder has these bytes. */
async function holds (folder, bytes) {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && (await readFile(path.join(entry.parentPath ?? entry.path, entry.name))).includes(bytes)) return true
  }
  return false
}
