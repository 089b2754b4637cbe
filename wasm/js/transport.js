// Two ends of a pipe within the page: what one sends, the other receives in a later task.

export function createTransportPair() {
  const a = new PipeEnd()
  const b = new PipeEnd()
  a.other = b
  b.other = a
  return [a, b]
}

class PipeEnd {
  onopen = null
  onmessage = null
  onclose = null
  onerror = null
  readyState = 'open'
  bufferedAmount = 0

  send(bytes) {
    if (this.readyState === 'closed') return
    const { other } = this
    this.bufferedAmount += bytes.byteLength
    queueMicrotask(() => {
      this.bufferedAmount -= bytes.byteLength
      other.onmessage?.({ data: bytes })
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
