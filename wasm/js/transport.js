// Two ends of a pipe within the page: what one sends, the other receives in a later microtask.

export function createTransportPair() {
  const a = new PipeEnd()
  const b = new PipeEnd()
  a.other = b
  b.other = a
  return [a, b]
}

class PipeEnd {
  #onmessage = null
  #waiting = []
  onopen = null
  onclose = null
  onerror = null
  readyState = 'open'
  bufferedAmount = 0

  get onmessage() {
    return this.#onmessage
  }

  /** What came before anyone listened is handed over. */
  set onmessage(listener) {
    this.#onmessage = listener
    if (listener) for (const data of this.#waiting.splice(0)) listener({ data })
  }

  send(bytes) {
    if (this.readyState === 'closed') return
    const { other } = this
    this.bufferedAmount += bytes.byteLength
    queueMicrotask(() => {
      this.bufferedAmount -= bytes.byteLength
      if (other.#onmessage) other.#onmessage({ data: bytes })
      else other.#waiting.push(bytes)
    })
  }

  close() {
    if (this.readyState === 'closed') return
    this.readyState = 'closed'
    const { other } = this
    queueMicrotask(() => {
      if (other.readyState === 'closed') return
      other.readyState = 'closed'
      other.onclose?.({})
    })
  }
}
