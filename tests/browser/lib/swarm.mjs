// A private network: genuine HyperDHT nodes, peers on it, a gateway or relay to it.
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { startProgram } from './native.mjs'

const SCRIPTS = fileURLToPath(new URL('../../js', import.meta.url))
const PAGE = process.env.SITE ?? fileURLToPath(new URL('../../../target/www', import.meta.url))

/** The first node's address, for `--bootstrap`. */
export async function startNetwork () {
  const network = startProgram('node', [path.join(SCRIPTS, 'dht_testnet.mjs'), '--nodes', '4'])
  const { bootstrap: [{ host, port }] } = await network.next('its nodes', (event) => event.bootstrap)
  return `${host}:${port}`
}

/** `corestore gateway` with the reader page: `{ url, ws, stop, … }`. */
export async function startGateway (bootstrap, more = [], listen = 0) {
  const gateway = startProgram(process.env.CORESTORE, ['gateway', '--json', '--listen', `127.0.0.1:${listen}`, '--bootstrap', bootstrap, '--page', PAGE, ...more])
  const { url, port } = await gateway.next('its address', (event) => event.url)
  return Object.assign(gateway, { url: url.replace(/\/$/, ''), ws: `ws://127.0.0.1:${port}` })
}

/** The address of an npm relay. */
export async function startRelay (bootstrap) {
  const relay = startProgram('node', [path.join(SCRIPTS, 'relay.mjs'), '--bootstrap', bootstrap])
  return (await relay.next('its address', (event) => event.url)).url
}

/** A JavaScript peer of Hyperswarm and Corestore: with a key it reads, without it writes. */
export function startSwarmPeer (folder, bootstrap, key) {
  return startProgram('node', [path.join(SCRIPTS, 'swarm.mjs'), '--storage', folder, '--bootstrap', bootstrap, ...(key ? ['--key', key] : [])])
}
