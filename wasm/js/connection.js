// A connection: a WebSocket over its diallings, or one transport.

import { Emitter } from './emitter.js'
import { fail } from './error.js'

export class Connection extends Emitter {
  constructor(shared, url) {
    super()
    this.url = url
    this.path = 'direct'
    this.isInitiator = true
    this.state = 'connecting'
    this.remotePublicKey = null
    this.lastReason = null
    this._shared = shared
    this._number = 0
    this._bytes = [0, 0]
    this._waiting = []
    this._key = {}
    this._online = () => this.reconnect()
  }

  /** To a WebSocket, or over a transport. */
  static direct(shared, peer, options) {
    const url = typeof peer === 'string' || peer instanceof URL ? String(peer) : null
    if (url === null && typeof peer?.send !== 'function') {
      throw fail('BAD_ARGUMENT', 'A peer is a WebSocket address, or a transport with send and close.')
    }
    if (url !== null) checkAddress(url)
    const connection = new Connection(shared, url)
    connection.isInitiator = options.initiator !== false
    shared.connections.set(connection._key, connection)
    globalThis.addEventListener?.('online', connection._online)
    connection._start(peer, options)
    return connection
  }

  /** To a peer that a swarm brought: it has its number already. */
  static relayed(shared, number, facts) {
    const connection = Object.assign(new Connection(shared, null), facts)
    connection._number = number
    shared.connections.set(number, connection)
    return connection
  }

  get bytesIn() {
    return this._traffic()[0]
  }

  get bytesOut() {
    return this._traffic()[1]
  }

  ready() {
    if (this.state === 'open') return Promise.resolve()
    if (this.state === 'closed') return Promise.reject(fail('CONNECTION_CLOSED', this.lastReason.message))
    return new Promise((resolve, reject) => this._waiting.push({ resolve, reject }))
  }

  reconnect() {
    if (this.state === 'reconnecting') this._shared.handle?.redial(this._number)
  }

  destroy() {
    if (this.state === 'closed') return
    if (this._number === 0) this._event('connection-close', 'local', 'We closed the connection.')
    else this._shared.handle.hangUp(this._number)
  }

  async _start(peer, options) {
    const { initiator = true, reconnect = true, minBackoff = 500, maxBackoff = 30_000 } = options
    const early = this.url === null ? listen(peer) : []
    try {
      await this._shared.open()
      if (this.state === 'closed') return
      const { handle } = this._shared
      let number = this.url === null
        ? handle.attach(peer, initiator)
        : handle.dial(this.url, initiator, reconnect, minBackoff, maxBackoff)
      for (const [listener, event] of early.splice(0)) peer[listener]?.(event)
      // Only a Worker's comes later, and before any event of the connection.
      if (typeof number !== 'number') number = await number
      if (this.state === 'closed') {
        handle.hangUp(number)
        return handle.forget(number)
      }
      this._number = number
      this._shared.connections.delete(this._key)
      this._shared.connections.set(number, this)
    } catch (error) {
      this._event('connection-close', 'storage', error.message)
    }
  }

  _event(event, ...args) {
    switch (event) {
      case 'connecting':
        return this._enter('connecting')
      case 'connection-open': {
        this.remotePublicKey = args[0]
        this._enter('open')
        this.emit('open', args[0])
        for (const { resolve } of this._waiting.splice(0)) resolve()
        for (const view of [...this._shared.views]) view.emit('connection', this)
        return
      }
      case 'reconnecting': {
        const [code, message, delay, attempt] = args
        this._ended({ code, message })
        this._enter('reconnecting')
        this.emit('reconnecting', { reason: this.lastReason, delay, attempt })
        return
      }
      case 'connection-close': {
        const [code, message] = args
        if (this.state === 'closed') return
        this._bytes = this._traffic()
        this._ended({ code, message })
        this._shared.connections.delete(this._key)
        this._shared.connections.delete(this._number)
        if (this._number !== 0) this._shared.handle?.forget(this._number)
        globalThis.removeEventListener?.('online', this._online)
        this._enter('closed')
        this.emit('close', this.lastReason)
        for (const { reject } of this._waiting.splice(0)) reject(fail('CONNECTION_CLOSED', message))
      }
    }
  }

  _ended(reason) {
    this.lastReason = reason
    if (reason.code === 'violation') this.emit('error', reason)
  }

  _enter(state) {
    if (this.state === state) return
    this.state = state
    this.emit('state', state)
  }

  _traffic() {
    if (this._number === 0 || this.state === 'closed' || this._shared.closed) return this._bytes
    return this._shared.handle.traffic(this._number)
  }
}

/** Keeps what a transport says while the WebAssembly is loading. */
function listen(peer) {
  const early = []
  peer.onmessage = (event) => early.push(['onmessage', event])
  peer.onclose = (event) => early.push(['onclose', event])
  return early
}

export function checkAddress(url) {
  let protocol = ''
  try {
    protocol = new URL(url).protocol
  } catch {
    // Named below.
  }
  if (protocol !== 'ws:' && protocol !== 'wss:') {
    throw fail('BAD_ARGUMENT', `"${url}" is no WebSocket address: write ws://HOST:PORT, or wss:// on a secure page.`)
  }
}
