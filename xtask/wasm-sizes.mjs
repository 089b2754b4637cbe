// The size of a .wasm as it is, and as web servers send it: node wasm-sizes.mjs FILE
import { readFileSync } from 'node:fs'
import process from 'node:process'
import zlib from 'node:zlib'

const wasm = readFileSync(process.argv[2])
const kib = (bytes) => `${(bytes.length / 1024).toFixed(0)} KiB`
console.log(`size of the .wasm: ${kib(wasm)}, gzip ${kib(zlib.gzipSync(wasm, { level: 9 }))}, brotli ${kib(zlib.brotliCompressSync(wasm))}`)
