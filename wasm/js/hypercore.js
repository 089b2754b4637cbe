// A session on a core.

import { Emitter } from './emitter.js'
import { fail } from './error.js'
import { id } from './id.js'
import { blocks, bytes } from './stream.js'
import { decode, encode, encodingOf } from './value.js'

/** Events that come by the block: they are told only while somebody listens. */
export const BY_BLOCK = ['download', 'upload']

export class Hypercore extends Emitter {
  constructor(store, open, options = {}) {
    super()
    this._store = store
    this._shared = store._shared
    this._handle = null
    this._key = options.key ?? null
    this._discoveryKey = options.discoveryKey ?? null
    this._encryptionKey = options.encryptionKey ? id.decode(options.encryptionKey) : undefined
    this._encoding = encodingOf(options.valueEncoding)
    this._wait = options.wait !== false
    this._timeout = options.timeout ?? 0
    this._peers = new Map() // Connection → Peer
    this._extensions = new Map()
    this._closing = null
    this.snapshotted = options.snapshot === true
    this.closed = false
    this._opening = this._open(open)
    this._opening.catch(() => {})
  }

  get opened() {
    return this._handle !== null
  }

  get readable() {
    return !this.closed
  }

  get key() {
    return this._handle?.key ?? this._key
  }

  get discoveryKey() {
    return this._handle?.discoveryKey ?? this._discoveryKey
  }

  get id() {
    const { key } = this
    return key && id.encode(key)
  }

  get length() {
    return this._handle?.length ?? 0
  }

  get byteLength() {
    return this._handle?.byteLength ?? 0
  }

  get fork() {
    return this._handle?.fork ?? 0
  }

  get contiguousLength() {
    return this._handle?.contiguousLength ?? 0
  }

  get remoteContiguousLength() {
    return this._handle?.remoteContiguousLength ?? 0
  }

  get writable() {
    return !this.closed && (this._handle?.writable ?? false)
  }

  get encrypted() {
    return this._handle?.encrypted ?? false
  }

  get frozen() {
    return this._handle?.frozen ?? false
  }

  get conflicted() {
    return this.frozen
  }

  get peers() {
    return [...this._peers.values()]
  }

  ready() {
    return this._opening
  }

  async append(values) {
    const handle = await this._opened()
    const list = Array.isArray(values) ? values : [values]
    const [length, byteLength] = await handle.append(list.map((value) => encode(value, this._encoding)))
    return { length, byteLength }
  }

  async get(index, options = {}) {
    const handle = await this._opened()
    const { wait = this._wait, timeout = this._timeout, raw = false, signal } = options
    const block = await handle.get(index, wait, timeout, raw, signal)
    if (block === null || raw) return block
    return decode(block, options.valueEncoding ? encodingOf(options.valueEncoding) : this._encoding, index)
  }

  async has(start, end = start + 1) {
    const handle = await this._opened()
    if (end === start + 1) return handle.has(start)
    return await handle.count(start, end) === Math.max(0, end - start)
  }

  async count(start = 0, end = this.length) {
    return (await this._opened()).count(start, end)
  }

  async update(options = {}) {
    const handle = await this._opened()
    const { wait = this._findsPeers(), timeout = 0, signal } = options
    return handle.update(wait, timeout, signal)
  }

  async seek(byteOffset, options = {}) {
    const handle = await this._opened()
    return handle.seek(byteOffset, options.timeout ?? this._timeout, options.signal)
  }

  download(range = {}) {
    const stop = new AbortController()
    range.signal?.addEventListener('abort', () => stop.abort(), { once: true, signal: stop.signal })
    if (range.signal?.aborted) stop.abort()
    const done = this._download(range, stop.signal)
    done.catch(() => {})
    return { done: () => done, destroy: () => stop.abort() }
  }

  async _download({ start = 0, end, blocks, linear = false, timeout = 0 }, signal) {
    const handle = await this._opened()
    if (blocks !== undefined) return handle.downloadBlocks(Float64Array.from(blocks), timeout, signal)
    return handle.download(start, end === -1 ? undefined : end, linear, timeout, signal)
  }

  async truncate(length = 0, fork) {
    return (await this._opened()).truncate(length, fork)
  }

  async clear(start, end = start + 1) {
    return (await this._opened()).clear(start, end)
  }

  async purge() {
    const handle = await this._opened()
    await handle.purge()
    await this.close()
  }

  createReadStream(options) {
    return blocks(this, options)
  }

  createByteStream(options) {
    return bytes(this, options)
  }

  snapshot(options = {}) {
    const open = async () => (await this._opened()).snapshot()
    return this._store._session(open, this._inherit({ ...options, snapshot: true }))
  }

  session(options = {}) {
    const open = async () => {
      const handle = await this._opened()
      return this._shared.handle.openCore({
        key: handle.key,
        encryptionKey: options.encryptionKey ? id.decode(options.encryptionKey) : this._encryptionKey,
        create: false,
        readOnly: options.writable === false
      })
    }
    return this._store._session(open, this._inherit(options))
  }

  async info() {
    const handle = await this._opened()
    await handle.refresh?.()
    const { key, discoveryKey, length, byteLength, fork, contiguousLength, remoteContiguousLength } = handle
    const { storedBlocks, writable, encrypted, frozen, peers } = handle
    return {
      key, discoveryKey, length, byteLength, fork, contiguousLength, remoteContiguousLength, storedBlocks, writable,
      encrypted, frozen, peers
    }
  }

  registerExtension(name, handlers = {}) {
    this._extensions.set(name, handlers)
    return {
      name,
      broadcast: (payload) => {
        this._handle?.sendExtension(name, encode(payload, 'binary'))
      },
      destroy: () => this._extensions.delete(name)
    }
  }

  close() {
    this._closing ??= this._close()
    return this._closing
  }

  async _close() {
    this.closed = true
    this._store._sessions.delete(this)
    for (const event of BY_BLOCK) this._listened(event)
    await this._opening.catch(() => {})
    if (this._handle !== null) {
      this._shared.leave(this, this._handle.number)
      if (!this._shared.closed) await this._handle.close()
    }
    this.emit('close')
  }

  async _open(open) {
    const handle = await open()
    this._handle = handle
    this._shared.join(this, handle.number)
    // Peers that came before this session did.
    for (const [connection, peer] of this._shared.peersOf(handle.number)) this._peers.set(connection, peer)
    queueMicrotask(() => this.emit('ready'))
  }

  async _opened() {
    if (this.closed) throw closed()
    await this._opening
    if (this.closed) throw closed()
    return this._handle
  }

  _inherit(options) {
    const { _encoding: valueEncoding, _encryptionKey: encryptionKey, _wait: wait, _timeout: timeout } = this
    return { valueEncoding, encryptionKey, wait, timeout, key: this.key, discoveryKey: this.discoveryKey, ...options }
  }

  _listened(event) {
    this._shared.listen(this, event, !this.closed && this.listenerCount(event) > 0)
  }

  _findsPeers() {
    const connecting = [...this._shared.connections.values()].some((one) => one.state === 'connecting')
    const looking = [...this._shared.swarms].some((swarm) => swarm.looking)
    return this._peers.size > 0 || connecting || looking
  }

  _event(event, connection, ...args) {
    switch (event) {
      case 'peer-add':
      case 'peer-remove': {
        const [peer] = args
        if (event === 'peer-add') this._peers.set(connection, peer)
        else this._peers.delete(connection)
        return this.emit(event, peer)
      }
      case 'download':
      case 'upload':
        return this.emit(event, ...args, this._peers.get(connection) ?? null)
      case 'verification-error':
        return this.emit(event, new Error(args[0]), this._peers.get(connection) ?? null)
      case 'extension': {
        const [name, payload] = args
        return this._extensions.get(name)?.onmessage?.(payload, this._peers.get(connection) ?? null)
      }
      case 'purge':
        this.emit(event)
        // Whoever purged it says when that is done.
        return this.close().catch(() => {})
      default:
        return this.emit(event, ...args)
    }
  }
}

function closed() {
  return fail('SESSION_CLOSED', 'The session is closed: get the core again.')
}
