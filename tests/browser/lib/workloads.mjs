// What runs in the page for bench.mjs: `raw` writes the bytes to IndexedDB in packed rows, `ours` downloads them.

/** Self-contained: it is sent to the page as text. Times are seconds. */
export async function inPage ({ what, count, size, url, key, worker }) {
  const seconds = async (work) => {
    const start = performance.now()
    await work()
    return (performance.now() - start) / 1000
  }
  const random = (length) => {
    const bytes = new Uint8Array(length)
    for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536))
    return bytes
  }
  return what === 'raw' ? raw() : ours()

  async function raw () {
    const name = `raw-${Math.random()}`
    const database = await new Promise((resolve, reject) => {
      const request = indexedDB.open(name, 1)
      request.onupgradeneeded = () => request.result.createObjectStore('rows')
      request.onsuccess = () => resolve(request.result)
      request.onerror = () => reject(request.error)
    })
    const transact = (durability, put) => new Promise((resolve, reject) => {
      const transaction = database.transaction(['rows'], 'readwrite', { durability })
      put(transaction.objectStore('rows'))
      transaction.oncomplete = resolve
      transaction.onabort = () => reject(transaction.error)
      transaction.commit()
    })
    // A row is a run of 64 small blocks with their tree nodes, or one large block.
    const perRow = size > 10_000 ? 1 : 64
    const perTransaction = size > 10_000 ? 16 : 512
    const row = random(perRow * (size + 2 * 40))
    let next = 0
    const write = await seconds(async () => {
      for (let done = 0; done < count; done += perTransaction) {
        const rows = Math.ceil(Math.min(perTransaction, count - done) / perRow)
        await transact('relaxed', (store) => { for (let i = 0; i < rows; i++) store.put(row, next++) })
      }
    })
    const small = random(1024)
    const strict = await seconds(async () => {
      for (let i = 0; i < 200; i++) await transact('strict', (store) => store.put(small, next++))
    })
    database.close()
    indexedDB.deleteDatabase(name)
    return { write, strict }
  }

  async function ours () {
    const loading = performance.now()
    const { Corestore, init } = await import('/js/index.js')
    const name = `ours-${Math.random()}`
    const tasks = []
    const observer = new PerformanceObserver((list) => { for (const entry of list.getEntries()) tasks.push(entry.duration) })
    const store = new Corestore({ name, worker })
    const core = store.get({ key })
    store.replicate(url)
    await core.get(0)
    const first = (performance.now() - loading) / 1000
    await core.update()
    const own = store.get({ name: 'own' })
    await own.ready()
    await new Promise((resolve) => setTimeout(resolve, 100))
    observer.observe({ type: 'longtask' })
    const download = await seconds(async () => {
      await core.download({ start: 0, end: count }).done()
      // What was promised before it is stored with it.
      await own.append(new Uint8Array(1))
    })
    await new Promise((resolve) => setTimeout(resolve, 100))
    for (const entry of observer.takeRecords()) tasks.push(entry.duration)
    observer.disconnect()
    const stored = await core.count(0, count)
    const reads = 2000
    const sequential = await seconds(async () => { for (let i = 0; i < reads; i++) await core.get(i % count) })
    const at = () => Math.floor(Math.random() * count)
    const one = await seconds(async () => { for (let i = 0; i < reads; i++) await core.get(at()) })
    const random64 = await seconds(async () => {
      let left = reads
      await Promise.all(Array.from({ length: 64 }, async () => { while (left-- > 0) await core.get(at()) }))
    })
    const small = random(1024)
    const append = await seconds(async () => { for (let i = 0; i < 200; i++) await own.append(small) })
    const wasm = worker ? 0 : (await init(), (await (await import('/js/corestore_wasm.js')).default()).memory.buffer.byteLength)
    await store.close()
    indexedDB.deleteDatabase(name)
    return { first, download, stored, tasks, sequential, random: one, random64, append, wasm }
  }
}
