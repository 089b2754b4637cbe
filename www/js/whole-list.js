// The blocks of one core with every one of them in the document (`?all`), for scripts and for printing. The same face
// as `BlockList`.

import { el } from './dom.js'

export class WholeList {
  constructor ({ core, label, load, format, open }) {
    Object.assign(this, { core, load, format, open })
    this.length = 0
    this.rows = []
    this.waiting = []
    this.loading = 0
    this.element = el('div', { className: 'blocks whole', role: 'list', tabindex: '0', 'aria-label': label })
    this.element.onclick = (event) => this.#click(event)
  }

  setLength (length) {
    if (length < this.length) this.invalidate(length)
    this.length = length
    while (this.rows.length < length) {
      const row = { element: el('div', { className: 'row pending', role: 'listitem' }), bytes: null }
      row.element.dataset.index = this.rows.length
      this.waiting.push(this.rows.length)
      this.rows.push(row)
      this.element.append(row.element)
    }
    this.#pump()
  }

  invalidate (seq) {
    for (const row of this.rows.splice(seq)) row.element.remove()
    this.length = this.rows.length
  }

  setFormat (format) {
    this.format = format
    for (const row of this.rows) if (row.bytes) row.element.textContent = format(row.bytes)
  }

  /** A block is stored that was not. */
  arrived (seq) {
    this.waiting.push(seq)
    this.#pump()
  }

  retry () {}

  goTo (seq) {
    this.rows[seq]?.element.scrollIntoView({ block: 'nearest' })
  }

  // A bounded number of reads at a time, of stored blocks only: what is missing comes back through `arrived`.
  #pump () {
    while (this.loading < AT_ONCE && this.waiting.length) {
      const seq = this.waiting.shift()
      const row = this.rows[seq]
      if (row && !row.bytes) this.#fetch(seq, row)
    }
  }

  async #fetch (seq, row) {
    this.loading++
    try {
      const bytes = await this.load(seq, { stored: true })
      if (bytes && this.rows[seq] === row) this.#show(seq, row, bytes)
    } catch (error) {
      row.element.textContent = error.message
    }
    this.loading--
    this.#pump()
  }

  #show (seq, row, bytes) {
    row.bytes = bytes
    row.element.classList.remove('pending')
    row.element.textContent = this.format(bytes)
    row.element.dataset.core = this.core
    row.element.dataset.seq = seq
  }

  #click (event) {
    const row = this.rows[event.target.closest('.row')?.dataset.index]
    if (row?.bytes && !String(getSelection())) this.open(Number(row.element.dataset.seq), row.bytes)
  }
}

const AT_ONCE = 64
