// One block, whole.

import { VIEWS, count, size, wholeBlockText } from './block-text.js'
import { byId } from './dom.js'

export function openBlock (label, seq, bytes, view) {
  byId('block-title').textContent = `${label}, block ${count(seq)}`
  byId('block-about').textContent = `${size(bytes.byteLength)}, verified, as ${VIEWS[view]}`
  byId('block-text').textContent = wholeBlockText(bytes, view)
  byId('block').showModal()
}

byId('block-close').onclick = () => byId('block').close()
byId('block').onclick = (event) => {
  if (event.target === byId('block')) byId('block').close()
}
