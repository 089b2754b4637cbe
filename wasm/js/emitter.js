// Event listeners in the manner of Node.

export class Emitter {
  #listeners = new Map()

  on(event, listener) {
    if (!this.#listeners.has(event)) this.#listeners.set(event, [])
    this.#listeners.get(event).push({ listener, once: false })
    this._listened(event)
    return this
  }

  once(event, listener) {
    this.on(event, listener)
    this.#listeners.get(event).at(-1).once = true
    return this
  }

  off(event, listener) {
    const rest = (this.#listeners.get(event) ?? []).filter((entry) => entry.listener !== listener)
    this.#listeners.set(event, rest)
    this._listened(event)
    return this
  }

  listenerCount(event) {
    return this.#listeners.get(event)?.length ?? 0
  }

  /** The listeners of an event changed. */
  _listened(_event) {}

  emit(event, ...args) {
    const entries = this.#listeners.get(event)
    if (entries === undefined || entries.length === 0) return false
    for (const { listener, once } of [...entries]) {
      if (once) this.off(event, listener)
      try {
        listener.apply(this, args)
      } catch (error) {
        reportError(error)
      }
    }
    return true
  }
}
