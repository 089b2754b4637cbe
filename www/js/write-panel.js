// Cores of this browser's own: a line typed here is signed here, and leaves through every connection whose peer asks.
// On a swarm each is announced, so that its key is enough to find this page.

import { CoreView } from './core-view.js'
import { hex } from './block-text.js'
import { byId } from './dom.js'
import { ownNames, rememberOwnName } from './store.js'

export function openWritePanel (store, all, swarm) {
  const written = new Map()
  const open = async (name) => {
    if (written.has(name)) return written.get(name)
    const core = store.get({ name })
    written.set(name, core)
    await core.ready()
    rememberOwnName(name)
    swarm?.join(core.discoveryKey)
    const view = new CoreView({ label: name, key: hex(core.key), core }, { view: 'text', all, own: true })
    byId('written').append(view.element)
    return core
  }
  byId('write-form').onsubmit = async (event) => {
    event.preventDefault()
    const line = byId('write-line')
    try {
      const core = await open(byId('write-name').value.trim())
      if (line.value) await core.append(line.value)
      line.value = ''
      problem('')
    } catch (error) {
      problem(error.message)
    }
    line.focus()
  }
  for (const name of ownNames()) open(name).catch((error) => problem(error.message))
}

function problem (text) {
  byId('write-problem').hidden = !text
  byId('write-problem').textContent = text
}
