// The blocks of one core as a list of which only what is in view is in the document, so that a million blocks cost no
// more than twenty. Every row is as high as the others; browsers cap an element's height, so beyond `TALLEST` the
// scroll bar's travel stands for a longer list in proportion.

import { el } from './dom.js'

export class BlockList {
  /**
   * @param core      hex of the core's key, for `data-core`
   * @param label     what a screen reader calls the list
   * @param load      `(seq, { signal }) => Promise<Uint8Array>`, which may wait for a peer
   * @param format    `(bytes) => string`
   * @param open      `(seq, bytes)`, when a block is chosen
   */
  constructor ({ core, label, load, format, open }) {
    Object.assign(this, { core, load, format, open })
    this.length = 0
    this.rows = new Map()
    this.recent = new Map()
    this.active = -1
    this.following = true
    this.rowHeight = 0
    this.spacer = el('div', { className: 'spacer', role: 'presentation' })
    this.element = el('div', { className: 'blocks', role: 'listbox', tabindex: '0', 'aria-label': label }, this.spacer)
    this.element.onscroll = () => this.#scrolled()
    this.element.onkeydown = (event) => this.#key(event)
    this.element.onclick = (event) => this.#click(event)
    new ResizeObserver(() => this.#resized()).observe(this.element)
  }

  setLength (length) {
    if (length < this.length) this.invalidate(length)
    this.length = length
    this.active = Math.min(this.active, length - 1)
    this.#layout()
  }

  /** Forgets blocks from `seq` on: another fork may hold others there. */
  invalidate (seq) {
    for (const [index, row] of this.rows) if (index >= seq) this.#drop(index, row)
    for (const index of this.recent.keys()) if (index >= seq) this.recent.delete(index)
  }

  setFormat (format) {
    this.format = format
    for (const row of this.rows.values()) if (row.bytes) this.#show(row, row.bytes)
  }

  /** A block is stored that was not: who waits for it has it already. */
  arrived () {}

  /** Asks again for what could not be had. */
  retry () {
    for (const [seq, row] of this.rows) if (row.failed) this.#fetch(seq, row)
  }

  goTo (seq) {
    this.active = Math.max(0, Math.min(seq, this.length - 1))
    this.#reveal(this.active)
    this.#render()
  }

  // Text may have another size as well.
  #resized () {
    this.rowHeight = 0
    this.#layout()
  }

  #layout () {
    if (!this.rowHeight) this.rowHeight = this.#measure()
    if (!this.rowHeight) return
    this.spacer.style.height = `${Math.min(this.length * this.rowHeight, TALLEST)}px`
    if (this.following) this.element.scrollTop = this.element.scrollHeight
    this.#render()
  }

  // None while the list is not displayed.
  #measure () {
    const probe = el('div', { className: 'row' }, 'x')
    this.element.append(probe)
    const height = probe.offsetHeight
    probe.remove()
    return height
  }

  // Where the view begins, in pixels of the list as if it were not capped.
  #top () {
    const total = this.length * this.rowHeight
    const view = this.element.clientHeight
    if (total <= TALLEST) return this.element.scrollTop
    return (this.element.scrollTop / (TALLEST - view)) * (total - view)
  }

  #render () {
    if (!this.rowHeight) return
    const top = this.#top()
    const first = Math.max(0, Math.floor(top / this.rowHeight) - MARGIN)
    const end = Math.min(this.length, Math.ceil((top + this.element.clientHeight) / this.rowHeight) + MARGIN)
    for (const [seq, row] of this.rows) if (seq < first || seq >= end) this.#drop(seq, row)
    let next = null
    for (let seq = end - 1; seq >= first; seq--) {
      let row = this.rows.get(seq)
      if (!row) {
        row = this.#add(seq)
        this.element.insertBefore(row.element, next)
      }
      row.element.style.transform = `translateY(${this.element.scrollTop + seq * this.rowHeight - top}px)`
      row.element.setAttribute('aria-setsize', this.length)
      row.element.setAttribute('aria-selected', seq === this.active)
      next = row.element
    }
    const active = this.rows.get(this.active)
    if (active) this.element.setAttribute('aria-activedescendant', active.element.id)
    else this.element.removeAttribute('aria-activedescendant')
  }

  #add (seq) {
    const element = el('div', { className: 'row', role: 'option', id: `${this.core}-${seq}`, 'aria-posinset': seq + 1, 'data-index': seq })
    const row = { element, bytes: null, failed: false, abort: null }
    this.rows.set(seq, row)
    const known = this.recent.get(seq)
    if (known) this.#show(row, known, seq)
    else this.#fetch(seq, row)
    return row
  }

  #drop (seq, row) {
    row.abort?.abort()
    row.element.remove()
    this.rows.delete(seq)
  }

  async #fetch (seq, row) {
    row.abort?.abort()
    const abort = new AbortController()
    Object.assign(row, { abort, failed: false })
    this.#note(row, 'waiting for a peer…')
    try {
      const bytes = await this.load(seq, { signal: abort.signal })
      if (abort.signal.aborted) return
      this.#remember(seq, bytes)
      this.#show(row, bytes, seq)
    } catch (error) {
      if (abort.signal.aborted) return
      row.failed = true
      this.#note(row, error.message)
    }
  }

  // Only an element that holds a block's text bears its name.
  #show (row, bytes, seq) {
    row.bytes = bytes
    row.element.classList.remove('pending')
    row.element.textContent = this.format(bytes)
    if (seq === undefined) return
    row.element.dataset.core = this.core
    row.element.dataset.seq = seq
  }

  #note (row, text) {
    row.element.classList.add('pending')
    row.element.textContent = text
  }

  #remember (seq, bytes) {
    if (bytes.byteLength > LARGE) return
    this.recent.delete(seq)
    this.recent.set(seq, bytes)
    if (this.recent.size > REMEMBERED) this.recent.delete(this.recent.keys().next().value)
  }

  #scrolled () {
    const { scrollTop, scrollHeight, clientHeight } = this.element
    this.following = scrollTop + clientHeight >= scrollHeight - this.rowHeight / 2
    this.#render()
  }

  #key (event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.rowHeight) - 1)
    const from = this.active < 0 ? this.length : this.active
    const goal = { ArrowDown: from + 1, ArrowUp: from - 1, PageDown: from + page, PageUp: from - page, Home: 0, End: this.length - 1 }[event.key]
    if (goal !== undefined && this.length) this.goTo(goal)
    else if (event.key === 'Enter' || event.key === ' ') this.#open(this.active)
    else return
    event.preventDefault()
  }

  #click (event) {
    const index = event.target.closest('.row')?.dataset.index
    if (index === undefined || String(getSelection())) return
    this.active = Number(index)
    this.#render()
    this.#open(this.active)
  }

  #open (seq) {
    const bytes = this.rows.get(seq)?.bytes
    if (bytes) this.open(seq, bytes)
  }

  #reveal (seq) {
    const total = this.length * this.rowHeight
    const view = this.element.clientHeight
    const top = this.#top()
    let goal = top
    if (seq * this.rowHeight < top) goal = seq * this.rowHeight
    else if ((seq + 1) * this.rowHeight > top + view) goal = (seq + 1) * this.rowHeight - view
    else return
    this.element.scrollTop = total <= TALLEST ? goal : (goal / (total - view)) * (TALLEST - view)
  }
}

// Firefox gives up near 17.8 million pixels.
const TALLEST = 15_000_000
const MARGIN = 4
const REMEMBERED = 300
const LARGE = 64 * 1024
