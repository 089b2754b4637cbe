// What the jobs share: the packages of tests/js, the blocks, and work done some at a time.
import { createRequire } from 'node:module'
import net from 'node:net'

const require = createRequire(new URL('../js/package.json', import.meta.url))
export const Corestore = require('corestore')
export const Hyperswarm = require('hyperswarm')
const SecretStream = require('@hyperswarm/secret-stream')

// Block `index` of `size` bytes is that many bytes of a pool of xorshift32 output (13, 17, 5; seed 0x9e3779b9) from
// index * 1024 mod 2 MiB on, the first 8 replaced with the index (u64, little-endian).
const SPAN = 2 << 20
const SEED = 0x9e3779b9
const pool = Buffer.alloc(SPAN + (64 << 10))
const step = (state) => {
  state ^= state << 13
  state ^= state >>> 17
  return state ^ (state << 5)
}
for (let at = 0, state = SEED | 0; at < pool.length; at += 4) {
  state = step(state)
  pool.writeInt32LE(state, at)
}

export function block (index, size) {
  const from = (index * 1024) % SPAN
  const bytes = Buffer.from(pool.subarray(from, from + size))
  bytes.writeBigUInt64LE(BigInt(index), 0)
  return bytes
}

export function check (bytes, index, size) {
  if (!bytes || !block(index, size).equals(bytes)) throw new Error(`block ${index} is not what was written`)
}

// `count` distinct numbers below `length`, the same for the same seed.
export function sample (length, count, seed = 1) {
  const picked = new Set()
  let state = (SEED ^ Math.imul(seed, 0x85ebca6b)) | 0
  while (picked.size < Math.min(count, length)) {
    state = step(state)
    picked.add((state >>> 0) % length)
  }
  return [...picked]
}

export async function each (count, inFlight, work) {
  let next = 0
  const worker = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: Math.min(Math.max(inFlight, 1), count) }, worker))
}

export const hex = (bytes) => bytes.toString('hex')
export const treeHash = async (core) => hex(await core.treeHash())

export function carry (store, socket, dialled) {
  socket.setNoDelay(true)
  const stream = new SecretStream(dialled, socket)
  stream.on('error', () => {})
  store.replicate(stream)
  return stream
}

export function dial (store, address) {
  const [host, port] = address.split(':')
  const socket = net.connect(Number(port), host)
  return { socket, stream: carry(store, socket, true) }
}
