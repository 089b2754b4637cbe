// By which relay the page joins the swarm: the one its address names, or the gateway that serves it.

import { rememberGateway, wasGateway } from './store.js'

/** The relay's address; `null`: none. Only where the address names nobody is the server asked whether it is a gateway. */
export async function findRelay ({ peer, relay }) {
  if (peer || relay) return relay || null
  return await servedByGateway() ? gatewayAddress() : null
}

// Without network, or while the gateway restarts, it is what it was.
async function servedByGateway () {
  try {
    const response = await fetch(new URL('./health', location.href), { cache: 'no-store' })
    if (response.status === 503) return wasGateway()
    const { publicKey } = response.ok ? await response.json().catch(() => ({})) : {}
    rememberGateway(typeof publicKey === 'string')
    return typeof publicKey === 'string'
  } catch {
    return wasGateway()
  }
}

function gatewayAddress () {
  const url = new URL('./', location.href)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  return url.href.split(/[?#]/)[0]
}
