// A transport that lives on the page, as the Worker and the page hold its two ends.

/** In the Worker: a transport whose bytes go to the page. `say` tells the page to `send` or `close`. */
export class CarriedTransport {
  #say
  #unsent = 0
  onopen = null
  onmessage = null
  onclose = null
  onerror = null
  bufferedAmount = 0

  constructor(say, readyState) {
    this.#say = say
    this.readyState = readyState
  }

  send(bytes) {
    this.#unsent += bytes.byteLength
    this.bufferedAmount += bytes.byteLength
    this.#say('send', bytes)
  }

  close() {
    this.#say('close')
  }

  on(event, ...args) {
    if (event === 'backlog') {
      const [sent, backlog] = args
      this.#unsent -= sent
      this.bufferedAmount = this.#unsent + backlog
      return
    }
    if (event === 'open') this.readyState = 'open'
    this[`on${event}`]?.(event === 'message' ? { data: args[0] } : {})
  }
}

/** On the page: hands the Worker what the transport says. */
export class CarriedEnd {
  #transport
  #say
  #timer = null

  constructor(transport, say) {
    this.#transport = transport
    this.#say = say
    transport.onopen = () => say('open')
    transport.onmessage = ({ data }) => say('message', data)
    transport.onclose = () => this.#over('close')
    transport.onerror = () => this.#over('error')
  }

  send(bytes) {
    // A transport that is closing says so by its own event.
    try { this.#transport.send(bytes) } catch {}
    this.#report(bytes.byteLength)
  }

  close() {
    clearTimeout(this.#timer)
    Object.assign(this.#transport, { onopen: null, onmessage: null, onclose: null, onerror: null })
    try { this.#transport.close() } catch {}
  }

  #over(event) {
    clearTimeout(this.#timer)
    this.#say(event)
  }

  /** Transports do not say when they have sent: look again. */
  #report(sent) {
    clearTimeout(this.#timer)
    const backlog = this.#transport.bufferedAmount ?? 0
    this.#say('backlog', sent, backlog)
    if (backlog > 0) this.#timer = setTimeout(() => this.#report(0), POLL)
  }
}

/** Milliseconds until a transport's backlog is looked at again. */
const POLL = 20
