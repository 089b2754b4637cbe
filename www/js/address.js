// The page's own address: `#KEY` where a gateway serves the page, `?relay=wss://HOST#KEY` by way of another relay,
// `?peer=ws://HOST:PORT#KEY` for a peer that replicates directly; optionally `&encryption=HEX` in the fragment (which no
// browser sends to a server) and `?all` for a document that holds every block.

export function parseAddress (href) {
  const url = new URL(href)
  const [key, ...rest] = url.hash.replace(/^#/, '').split('&')
  const fragment = new URLSearchParams(rest.join('&'))
  return {
    key: key.trim(),
    peer: (url.searchParams.get('peer') ?? '').trim(),
    relay: (url.searchParams.get('relay') ?? '').trim(),
    encryption: (fragment.get('encryption') ?? '').trim(),
    all: url.searchParams.has('all')
  }
}

/** The address that opens the same again. */
export function formatAddress (href, { key, peer, relay, encryption, all }) {
  const url = new URL(href)
  const search = []
  for (const [name, value] of [['peer', peer], ['relay', relay]]) {
    if (value) search.push(`${name}=${encodeURIComponent(value).replaceAll('%3A', ':').replaceAll('%2F', '/')}`)
  }
  if (all) search.push('all')
  url.search = search.join('&')
  url.hash = encryption ? `${key}&encryption=${encryption}` : key
  return url.href
}

/** What is wrong with a peer's or relay's address, in a sentence; `null` when nothing is, or when there is none. */
export function peerProblem (peer) {
  if (!peer) return null
  let url
  try {
    url = new URL(peer)
  } catch {
    return 'This is no address; it looks like ws://127.0.0.1:4000.'
  }
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') return 'A page reaches peers at ws:// or wss:// addresses only.'
  if (url.hash) return 'Such an address has no #; the key goes into its own field.'
  return null
}
