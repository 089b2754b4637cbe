// Bundles the page's script into a folder that can be served: node bundle.mjs FOLDER
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))
const folder = process.argv[2]
await build({
  entryPoints: [here('reader.mjs')],
  inject: [here('globals.mjs')],
  outfile: path.join(folder, 'reader.js'),
  bundle: true,
  minify: true,
  format: 'esm',
  platform: 'browser',
  conditions: ['browser'],
  define: { global: 'globalThis' },
  logLevel: 'error'
})
await writeFile(path.join(folder, 'index.html'), '<!doctype html><title>hypercore 10</title>')
