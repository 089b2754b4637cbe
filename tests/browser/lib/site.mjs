// The built page, or the package, served on loopback.
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { later } from './scenario.mjs'

/** The reader page. */
export const READER = process.env.SITE ?? fileURLToPath(new URL('../../../target/www', import.meta.url))
/** The package as npm gets it; its `package.json` will do as a page. */
export const PACKAGE = process.env.PACKAGE ?? fileURLToPath(new URL('../../../target/wasm-package', import.meta.url))
const TYPES = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript', '.svg': 'image/svg+xml', '.json': 'application/json', '.wasm': 'application/wasm' }

/** `{ origin, stop }` */
export async function serveSite (folder = READER) {
  const server = http.createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost')
    const file = path.join(folder, path.normalize(pathname === '/' ? '/index.html' : pathname))
    try {
      const body = await readFile(file)
      response.writeHead(200, { 'content-type': TYPES[path.extname(file)] ?? 'application/octet-stream', 'cache-control': 'no-cache' })
      response.end(body)
    } catch {
      response.writeHead(404).end('no such file')
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const stop = () => new Promise((resolve) => {
    server.close(resolve)
    server.closeAllConnections()
  })
  later(stop)
  return { origin: `http://127.0.0.1:${server.address().port}`, stop }
}
