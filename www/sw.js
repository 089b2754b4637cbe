// Keeps this page's own files, so that it opens without network. The network comes first: a newer page is never
// hidden by an older one. What peers send never passes through here; it is kept in IndexedDB.

const CACHE = 'corestore-reader-files'

self.addEventListener('install', (event) => {
  event.waitUntil(keepFiles().then(() => self.skipWaiting()))
})

self.addEventListener('activate', (event) => {
  event.waitUntil(self.clients.claim())
})

self.addEventListener('fetch', (event) => {
  const { request } = event
  if (request.method !== 'GET' || new URL(request.url).origin !== self.location.origin) return
  // What says how things are now is of no use later.
  if (request.cache === 'no-store') return
  event.respondWith(fromNetworkOrCache(request))
})

async function keepFiles () {
  const files = await (await fetch('./files.json', { cache: 'no-cache' })).json()
  const cache = await caches.open(CACHE)
  await cache.addAll(['./', ...files])
}

async function fromNetworkOrCache (request) {
  const cache = await caches.open(CACHE)
  try {
    const response = await fetch(request)
    if (response.ok) await cache.put(withoutSearch(request), response.clone())
    return response
  } catch (error) {
    const kept = await cache.match(withoutSearch(request))
    if (kept) return kept
    throw error
  }
}

// The page's address names a peer behind the question mark; the file is the same.
function withoutSearch (request) {
  const url = new URL(request.url)
  url.search = ''
  url.hash = ''
  return url.href
}
