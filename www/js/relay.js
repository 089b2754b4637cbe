// By which relay the page joins the swarm, and whether a gateway serves the page.

/**
 * `{ relay, gateway }`: the relay's address (`null`: none), and the host of the gateway that serves this page, if one
 * does. With a peer's address alone nobody is asked.
 */
export async function findRelay ({ peer, relay }) {
  if (peer && !relay) return { relay: null, gateway: null }
  const gateway = await servedByGateway() ? location.host : null
  if (relay) return { relay, gateway }
  return { relay: gateway && gatewayAddress(), gateway }
}

async function servedByGateway () {
  try {
    const response = await fetch(new URL('./health', location.href), { cache: 'no-store' })
    return response.ok && typeof (await response.json()).publicKey === 'string'
  } catch {
    return false
  }
}

function gatewayAddress () {
  const url = new URL('./', location.href)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  return url.href.split(/[?#]/)[0]
}
