// What runs in the page for bench.mjs. Each function is sent to the page as text, so that it holds all it needs; what
// one leaves for the next is in `window.bench`. Times are seconds.

/** Helpers of the others. */
export function prepare () {
  window.bench = {
    seconds: async (work) => {
      const start = performance.now()
      await work()
      return (performance.now() - start) / 1000
    },
    random: (length) => {
      const bytes = new Uint8Array(length)
      for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536))
      return bytes
    }
  }
}

/** Makes a database for `rawWrites`. */
export async function rawOpen () {
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
  Object.assign(window.bench, { name, database, transact, next: 0 })
}

/** The bytes of a workload, packed: a row is a run of 64 small blocks with their tree nodes, or one large block. */
export async function rawWrites ({ count, size }) {
  const { bench } = window
  const perRow = size > 10_000 ? 1 : 64
  const perTransaction = size > 10_000 ? 16 : 512
  const row = bench.random(perRow * (size + 2 * 40))
  return bench.seconds(async () => {
    for (let done = 0; done < count; done += perTransaction) {
      const rows = Math.ceil(Math.min(perTransaction, count - done) / perRow)
      await bench.transact('relaxed', (store) => { for (let i = 0; i < rows; i++) store.put(row, bench.next++) })
    }
  })
}

/** Small transactions that reach the disk, one after the other. */
export async function rawStrict ({ appends }) {
  const { bench } = window
  const small = bench.random(1024)
  const strict = await bench.seconds(async () => {
    for (let i = 0; i < appends; i++) await bench.transact('strict', (store) => store.put(small, bench.next++))
  })
  bench.database.close()
  indexedDB.deleteDatabase(bench.name)
  return strict
}

/** Loads the package and gets the first block of a core; how long that took. */
export async function firstBlock ({ url, key, worker }) {
  const { bench } = window
  return bench.seconds(async () => {
    const { Corestore } = await import('/js/index.js')
    bench.name = `ours-${Math.random()}`
    bench.store = new Corestore({ name: bench.name, worker })
    bench.core = bench.store.get({ key })
    bench.connection = bench.store.replicate(url)
    await bench.core.get(0)
  })
}

/** What is not measured but comes before the download. */
export async function settle () {
  const { bench } = window
  await bench.core.update()
  bench.own = bench.store.get({ name: 'own' })
  await bench.own.ready()
  await new Promise((resolve) => setTimeout(resolve, 100))
}

/** Downloads every block, until all are stored. Counts tasks of this page's thread over 50 ms. */
export async function download ({ count }) {
  const { bench } = window
  const tasks = []
  const observer = new PerformanceObserver((list) => { for (const entry of list.getEntries()) tasks.push(entry.duration) })
  observer.observe({ type: 'longtask' })
  const seconds = await bench.seconds(async () => {
    await bench.core.download({ start: 0, end: count }).done()
    // What was promised before it is stored with it.
    await bench.own.append(new Uint8Array(1))
  })
  for (const entry of observer.takeRecords()) tasks.push(entry.duration)
  observer.disconnect()
  return { download: seconds, tasks, stored: await bench.core.count(0, count) }
}

/** As `firstBlock`, in the JavaScript stack. */
export async function javascriptFirst (where) {
  const { bench } = window
  return bench.seconds(async () => {
    const { open } = await import('/reader.js')
    bench.core = await open(where)
    await bench.core.get(0)
  })
}

/** As `download`, and the reads, in the JavaScript stack. */
export async function javascriptDownload ({ count, reads }) {
  const { bench } = window
  const { core } = bench
  const tasks = []
  const observer = new PerformanceObserver((list) => { for (const entry of list.getEntries()) tasks.push(entry.duration) })
  observer.observe({ type: 'longtask' })
  const seconds = await bench.seconds(() => core.download({ start: 0, end: count }).done())
  for (const entry of observer.takeRecords()) tasks.push(entry.duration)
  observer.disconnect()
  const sequential = await bench.seconds(async () => { for (let i = 0; i < reads; i++) await core.get(i % count) })
  const random = await bench.seconds(async () => { for (let i = 0; i < reads; i++) await core.get(Math.floor(Math.random() * count)) })
  return { download: seconds, tasks, stored: core.contiguousLength, sequential, random }
}

/** Asks the reader page for all of a core of 20,000 blocks, and waits until it shows that it has them; as `download`. */
export async function readerDownload ({ key, count }) {
  const { bench } = window
  const section = () => document.getElementById(`heading-${key}`)?.closest('section')
  const figure = (name) => section()?.querySelector(`[data-figure=${name}] dd`)?.textContent.replaceAll(',', '')
  const until = async (question) => { while (!question()) await new Promise((resolve) => setTimeout(resolve, 50)) }
  await until(() => figure('length') === String(count))
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const tasks = []
  const observer = new PerformanceObserver((list) => { for (const entry of list.getEntries()) tasks.push(entry.duration) })
  observer.observe({ type: 'longtask' })
  const seconds = await bench.seconds(async () => {
    section().querySelector('.bulk button').click()
    await until(() => figure('downloaded') === String(count))
  })
  for (const entry of observer.takeRecords()) tasks.push(entry.duration)
  observer.disconnect()
  return { download: seconds, tasks }
}

/** Closes and removes what the reader page keeps. */
export async function forgetReader () {
  await window.corestore.store.close()
  indexedDB.deleteDatabase('corestore-reader')
}

/** Reads and appends on the store that holds it all. */
export async function readsAndAppends ({ count, reads, appends }) {
  const { bench } = window
  const { core, own } = bench
  const sequential = await bench.seconds(async () => { for (let i = 0; i < reads; i++) await core.get(i % count) })
  const at = () => Math.floor(Math.random() * count)
  const random = await bench.seconds(async () => { for (let i = 0; i < reads; i++) await core.get(at()) })
  const random64 = await bench.seconds(async () => {
    let left = reads
    await Promise.all(Array.from({ length: 64 }, async () => { while (left-- > 0) await core.get(at()) }))
  })
  const small = bench.random(1024)
  const append = await bench.seconds(async () => { for (let i = 0; i < appends; i++) await own.append(small) })
  return { sequential, random, random64, append }
}

/** Bytes of the WebAssembly's memory (unknown in a Worker); closes and removes the store. */
export async function finish ({ worker }) {
  const { bench } = window
  const wasm = worker ? 0 : (await (await import('/js/corestore_wasm.js')).default()).memory.buffer.byteLength
  await bench.store.close()
  indexedDB.deleteDatabase(bench.name)
  return wasm
}
