// One core on the page: its key, figures, download, and blocks.

import { BlockList } from './block-list.js'
import { openBlock } from './block-dialog.js'
import { VIEWS, blockText, count, size } from './block-text.js'
import { copyButton, el, throttle } from './dom.js'
import { WholeList } from './whole-list.js'

export class CoreView {
  /** `all`: every block goes into the document. `own`: a core written here has nothing to download. */
  constructor ({ label, key, core }, { view, all = false, own = false }) {
    Object.assign(this, { label, core, view, all, own })
    this.download = null
    this.decided = false
    this.refused = 0
    const options = {
      core: key,
      label: `Blocks of ${label}`,
      load: (seq, { signal, stored } = {}) => core.get(seq, { signal, wait: stored ? false : undefined }),
      format: (bytes) => this.#format(bytes),
      open: (seq, bytes) => openBlock(label, seq, bytes, this.view)
    }
    this.list = all ? new WholeList(options) : new BlockList(options)
    this.element = this.#build(label, key)
    this.refresh = throttle(200, () => this.#refresh())
    this.#listen()
    core.ready().then(this.refresh, () => {})
  }

  refuse () {
    this.refused++
    this.refresh()
  }

  #build (label, key) {
    const heading = `heading-${key}`
    this.figures = el('dl', { className: 'figures' })
    this.progress = el('progress', { max: '1', value: '0', 'aria-label': `Downloaded blocks of ${label}` })
    this.button = el('button', { type: 'button' }, 'Download all')
    this.button.onclick = () => this.#downloadAll()
    this.progressText = el('span', { className: 'hint' })
    this.bulk = el('div', { className: 'bulk', hidden: true }, this.progress, this.progressText, this.button)
    this.jump = this.#jump()
    this.empty = el('p', { className: 'hint empty' }, 'No block yet.')
    return el('section', { className: 'card core', 'aria-labelledby': heading },
      el('header', {},
        el('h2', { id: heading }, label),
        el('span', { className: 'key' }, el('code', { title: key }, `${key.slice(0, 10)}…${key.slice(-4)}`), copyButton(key, `the key of ${label}`)),
        this.#switch(key)),
      this.figures, this.bulk, this.empty, this.list.element, this.jump)
  }

  #switch (key) {
    const choices = Object.entries(VIEWS).map(([view, name]) => {
      const input = el('input', { type: 'radio', name: `view-${key}`, value: view, checked: view === this.view })
      input.onchange = () => this.#setView(view)
      return el('label', {}, input, el('span', {}, name))
    })
    return el('fieldset', { className: 'switch' }, el('legend', { className: 'unseen' }, `Show blocks of ${this.label} as`), ...choices)
  }

  #jump () {
    const input = el('input', { type: 'number', min: '0', 'aria-label': `Go to a block of ${this.label}`, placeholder: 'block' })
    const form = el('form', { className: 'jump' }, input, el('button', { type: 'submit' }, 'Go'))
    form.onsubmit = (event) => {
      event.preventDefault()
      if (input.value !== '') this.list.goTo(Number(input.value))
    }
    return form
  }

  #listen () {
    const { core } = this
    core.on('append', () => this.refresh())
    core.on('download', (index) => {
      this.list.arrived(index)
      this.refresh()
    })
    core.on('truncate', (length) => {
      this.list.setLength(length)
      this.refresh()
    })
    core.on('peer-add', () => {
      this.list.retry()
      this.refresh()
    })
    core.on('conflict', () => this.refresh())
  }

  // What is small is kept whole, so that it is there without a peer; what is large only on request, or as it is read.
  #decide (length) {
    if (this.decided || length === 0) return
    this.decided = true
    if (this.all || length <= KEPT_WHOLE) this.#downloadAll()
  }

  #downloadAll () {
    if (this.own || this.download) return
    this.download = this.core.download({ start: 0, end: -1 })
    this.download.done().catch(() => { this.download = null })
    this.refresh()
  }

  #setView (view) {
    this.view = view
    this.list.setFormat((bytes) => this.#format(bytes))
  }

  #format (bytes) {
    return blockText(bytes, this.view, this.all ? Infinity : LONGEST_ROW)
  }

  async #refresh () {
    const { core } = this
    if (!core.opened || core.closed) return
    this.#decide(core.length)
    this.list.setLength(core.length)
    const info = await core.info().catch(() => null)
    if (info) this.#show(info)
  }

  #show ({ length, byteLength, fork, storedBlocks, peers, frozen }) {
    const stored = Math.min(storedBlocks, length)
    const figures = [['Length', count(length)], ['Size', size(byteLength)], ['Downloaded', count(stored)], ['Verified', count(stored)], ['Peers', count(peers)]]
    if (this.own) figures.splice(2, 2)
    if (fork > 0) figures.push(['Fork', count(fork)])
    if (this.refused > 0) figures.push(['Refused', count(this.refused)])
    this.figures.replaceChildren(...figures.map(([name, value]) => el('div', { 'data-figure': name.toLowerCase() }, el('dt', {}, name), el('dd', {}, value))))
    this.empty.hidden = length > 0
    this.list.element.hidden = length === 0
    this.jump.hidden = length < MANY
    this.element.classList.toggle('frozen', frozen)
    this.bulk.hidden = this.own || length === 0 || stored === length
    this.progress.max = length
    this.progress.value = stored
    this.progressText.textContent = `${Math.floor((stored / (length || 1)) * 100)} % of ${count(length)} blocks`
    this.button.hidden = this.download !== null
  }
}

const KEPT_WHOLE = 10_000
const LONGEST_ROW = 2000
const MANY = 50
