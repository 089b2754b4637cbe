// Blocks and bytes in order, as async iterables. Gets are made ahead of the one that is waited for.

export function blocks(core, options = {}) {
  const stop = stopper(options.signal)
  return stream(readBlocks(core, options, stop.signal), stop)
}

export function bytes(core, options = {}) {
  const stop = stopper(options.signal)
  return stream(readBytes(core, options, stop.signal), stop)
}

async function * readBlocks(core, options, signal) {
  const { start = 0, live = false, snapshot = true, readAhead = 16, ...get } = options
  const follows = live && options.end === undefined
  if (options.end === undefined) await core.update({ signal })
  else await core.ready()
  const pinned = options.end ?? core.length
  const end = () => (follows ? Infinity : options.end !== undefined || snapshot ? pinned : core.length)
  const ahead = []
  let next = start
  for (let index = start; index < end(); index++) {
    // Past the present length only the block that is waited for is asked for.
    while (next < end() && (next === index || (ahead.length < readAhead && next < core.length))) {
      const block = core.get(next++, { ...get, signal })
      block.catch(() => {})
      ahead.push(block)
    }
    yield await ahead.shift()
  }
}

async function * readBytes(core, { byteOffset = 0, byteLength }, signal) {
  if (byteLength === undefined) await core.update({ signal })
  else await core.ready()
  let left = byteLength ?? Math.max(0, core.byteLength - byteOffset)
  if (left === 0) return
  const found = byteOffset === 0 ? [0, 0] : await core.seek(byteOffset, { signal })
  if (found === null) return
  let [index, skip] = found
  const range = core.download({ start: index, linear: true, signal })
  try {
    while (left > 0) {
      const block = await core.get(index++, { valueEncoding: 'binary', signal })
      const part = block.subarray(skip, skip + left)
      skip = 0
      left -= part.byteLength
      yield part
    }
  } finally {
    range.destroy()
  }
}

function stopper(signal) {
  const stop = new AbortController()
  if (signal?.aborted) stop.abort()
  signal?.addEventListener('abort', () => stop.abort(), { once: true, signal: stop.signal })
  return stop
}

/** Leaving the loop, or `destroy()`, gives up what is still asked for. */
function stream(generator, stop) {
  let destroyed = false
  return {
    [Symbol.asyncIterator]() {
      return this
    },
    async next() {
      if (destroyed) return { done: true, value: undefined }
      try {
        const result = await generator.next()
        if (result.done) stop.abort()
        return result
      } catch (error) {
        stop.abort()
        if (destroyed) return { done: true, value: undefined }
        destroyed = true
        throw error
      }
    },
    async return(value) {
      this.destroy()
      return { done: true, value }
    },
    destroy() {
      destroyed = true
      stop.abort()
    }
  }
}
