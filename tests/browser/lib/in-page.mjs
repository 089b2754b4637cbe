// What checks in a page use: comparing, codes of errors, waiting, and two stores over a pipe.

/** Runs in every page before its own scripts. */
export function helpers () {
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)
  window.equal = (actual, expected) => {
    if (!same(actual, expected)) throw new Error(`${JSON.stringify(actual)} is not ${JSON.stringify(expected)}\n${new Error().stack}`)
  }
  /** The code of what `body` throws or rejects with. */
  window.code = async (body) => {
    try {
      await body()
    } catch (error) {
      if (error.name !== 'CorestoreError' || error.message.length < 10) throw error
      return error.code
    }
    throw new Error(`nothing was thrown\n${new Error().stack}`)
  }
  window.until = async (question) => {
    for (let i = 0; i < 2000; i++) {
      if (await question()) return
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    throw new Error(`never came true: ${question}`)
  }
  /** The package, whose stores work in Workers when `window.worker` says so. */
  window.load = async () => {
    const module = await import('/js/index.js')
    const options = (given) => ({ worker: window.worker, ...(typeof given === 'string' ? { name: given } : given) })
    class Corestore extends module.Corestore { constructor (given) { super(options(given)) } }
    return { ...module, Corestore }
  }
  /** A writer of `count` blocks and a reader who knows its key. */
  window.pair = async (count) => {
    const { Corestore, createTransportPair } = await load()
    const stores = [new Corestore({ memory: true }), new Corestore({ memory: true })]
    const writer = stores[0].get({ name: 'log', valueEncoding: 'utf-8' })
    await writer.append(Array.from({ length: count }, (_, i) => `block ${i}`))
    const reader = stores[1].get({ key: writer.key, valueEncoding: 'utf-8' })
    await reader.ready()
    const [a, b] = createTransportPair()
    const connections = [stores[0].replicate(a), stores[1].replicate(b, { initiator: false })]
    return { stores, writer, reader, connections }
  }
}
