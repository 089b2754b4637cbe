// The JavaScript stack in the page: Hypercore 10, the last one over random-access storage, in random-access-idb.
import Hypercore from 'hypercore'
import Protomux from 'protomux'
import randomAccessIdb from 'random-access-idb'
import { PlainStream } from './plain-stream.mjs'

/** Opens a core by its key and connects it. */
export async function open ({ url, key }) {
  const storage = randomAccessIdb(`javascript-${Math.random()}`)
  const core = new Hypercore((name) => adapted(storage(name)), Buffer.from(key, 'hex'))
  await core.ready()
  const socket = new WebSocket(url)
  await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }))
  core.replicate(Protomux.from(new PlainStream(socket, true)))
  return core
}

/** Makes up for what random-access-idb lacks: it takes Buffers only, and removes nothing. */
function adapted (file) {
  const write = file.write.bind(file)
  file.write = (offset, data, done) => write(offset, Buffer.from(data.buffer, data.byteOffset, data.byteLength), done)
  file.del = file.truncate = (...args) => queueMicrotask(() => args.at(-1)(null))
  return file
}
