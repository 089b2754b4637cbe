// The browser's rows of the speed table, beside what raw IndexedDB writes reach in the same run. Not a test: it asserts
// what arrived, never a time. `CORESTORE=… node bench.mjs [--rounds 3] [--json] [--profile FILE]`
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import process from 'node:process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { between, cpuTimes } from './lib/cpu.mjs'
import { openMeasuredBrowser } from './lib/devtools.mjs'
import { startProgram, startWriter, temporaryFolder } from './lib/native.mjs'
import { scenario } from './lib/scenario.mjs'
import { PACKAGE, READER, serveSite } from './lib/site.mjs'
import * as inPage from './lib/workloads.mjs'

const { values: given } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, json: { type: 'boolean' }, profile: { type: 'string' } }
})
const ROUNDS = Number(given.rounds)
const SIZES = [{ name: '20k × 1 KiB', count: 20_000, size: 1024 }, { name: '1k × 64 KiB', count: 1000, size: 65_536 }]
const APPENDS = 200
const READS = 2000
const CONTESTANTS = ['raw', 'page', 'worker', 'javascript']
/** The JavaScript stack gets a part of the work: all of it takes minutes. */
const PART = 40
/** The reader page downloads shorter cores unasked. */
const MANY = 10_000
const JAVASCRIPT = fileURLToPath(new URL('javascript', import.meta.url))
const rows = []

await scenario(async () => {
  const sites = { package: await serveSite(PACKAGE), reader: await serveSite(READER), javascript: await javascriptSite() }
  const browser = await openMeasuredBrowser()
  for (const workload of SIZES) {
    const writer = await preloaded(workload)
    writer.javascript = sites.javascript && await javascriptPeer(workload)
    for (let round = 0; round < ROUNDS; round++) {
      const row = await measure(browser, sites, workload, writer, round)
      rows.push({ workload: workload.name, round, ...row })
      if (given.json) console.log(JSON.stringify(rows.at(-1)))
    }
    await writer.stop()
    await writer.javascript?.stop()
  }
  SIZES.forEach(print)
}, 1_200_000)

/** A native writer whose core-3 holds the workload's blocks. */
async function preloaded ({ count, size }) {
  const folder = await temporaryFolder()
  const file = path.join(folder, 'preload.jsonl')
  const out = createWriteStream(file)
  for (let i = 0; i < count; i++) {
    if (!out.write(`${JSON.stringify({ value: randomBytes(size).toString('base64') })}\n`)) await once(out, 'drain')
  }
  out.end()
  await once(out, 'close')
  return startWriter(folder, ['--preload-file', file])
}

/** The JavaScript stack's page; none where its packages are not installed. */
async function javascriptSite () {
  const folder = await temporaryFolder()
  const bundler = spawn('node', [path.join(JAVASCRIPT, 'bundle.mjs'), folder], { stdio: 'inherit' })
  const [status] = await once(bundler, 'exit')
  return status === 0 ? serveSite(folder) : null
}

/** A JavaScript peer with the first part of such a workload. */
async function javascriptPeer ({ count, size }) {
  const args = [path.join(JAVASCRIPT, 'serve.mjs'), await temporaryFolder(), count / PART, size]
  const peer = startProgram('node', args)
  return Object.assign(peer, await peer.next('its address', (event) => event.url))
}

/** One round, each part in a page of its own: raw writes, ours in the page's thread and in a Worker, the JavaScript stack,
 * and the reader page. */
async function measure (browser, { package: { origin }, reader, javascript }, workload, writer, round) {
  const raw = await rawRound(browser, origin, workload, writer)
  const profile = round === 0 ? given.profile : undefined
  const page = await ourRound(browser, origin, workload, writer, { worker: false, profile })
  const worker = await ourRound(browser, origin, workload, writer, { worker: true })
  const theirs = javascript && await javascriptRound(browser, javascript.origin, workload, writer.javascript)
  const shown = workload.count > MANY ? await readerRound(browser, reader.origin, workload, writer) : null
  return { raw, page, worker, javascript: theirs ?? {}, reader: shown }
}

async function javascriptRound (browser, origin, { count }, peer) {
  const page = await browser.open(`${origin}/index.html`)
  await page.evaluate(inPage.prepare)
  const first = await page.evaluate(inPage.javascriptFirst, { url: peer.url, key: peer.key })
  const part = count / PART
  const [bulk, cpu] = await withCpu(browser, peer, () => page.evaluate(inPage.javascriptDownload, { count: part, reads: READS / PART }))
  assert.equal(bulk.stored, part, 'every block is stored')
  await page.close()
  // As if it had done all of it at that speed.
  const whole = Object.fromEntries(['download', 'sequential', 'random'].map((what) => [what, bulk[what] * PART]))
  return { first, tasks: bulk.tasks, ...whole, cpu: Object.fromEntries(Object.entries(cpu).map(([kind, seconds]) => [kind, seconds * PART])) }
}

async function rawRound (browser, origin, workload, writer) {
  const page = await browser.open(`${origin}/package.json`)
  await page.evaluate(inPage.prepare)
  await page.evaluate(inPage.rawOpen)
  const [write, cpu] = await withCpu(browser, writer, () => page.evaluate(inPage.rawWrites, workload))
  const strict = await page.evaluate(inPage.rawStrict, { appends: APPENDS })
  await page.close()
  return { download: write, append: strict, cpu }
}

async function ourRound (browser, origin, workload, writer, { worker, profile }) {
  const where = { url: writer.url, key: writer.other[1], worker }
  const page = await browser.open(`${origin}/package.json`)
  await page.evaluate(inPage.prepare)
  const first = await page.evaluate(inPage.firstBlock, where)
  await page.evaluate(inPage.settle)
  if (profile) await startProfile(page)
  const [bulk, cpu] = await withCpu(browser, writer, () => page.evaluate(inPage.download, workload))
  assert.equal(bulk.stored, workload.count, 'every block is stored')
  if (profile) await writeFile(`${workload.size}-${profile}`, JSON.stringify((await page.tell('Profiler.stop')).profile))
  const others = await page.evaluate(inPage.readsAndAppends, { ...workload, reads: READS, appends: APPENDS })
  const wasm = await page.evaluate(inPage.finish, where)
  await page.tell('Performance.enable')
  const { metrics } = await page.tell('Performance.getMetrics')
  await page.close()
  return { first, ...bulk, ...others, cpu, wasm, heap: metrics.find((metric) => metric.name === 'JSHeapUsedSize').value }
}

async function readerRound (browser, origin, workload, writer) {
  const page = await browser.open(`${origin}/?peer=${writer.url}#${writer.key}`)
  await page.evaluate(inPage.prepare)
  const bulk = await page.evaluate(inPage.readerDownload, { ...workload, key: writer.other[1] })
  await page.evaluate(inPage.forgetReader)
  await page.close()
  return bulk
}

async function withCpu (browser, writer, work) {
  const before = await cpuTimes(browser, writer.pid)
  const result = await work()
  return [result, between(before, await cpuTimes(browser, writer.pid))]
}

async function startProfile (page) {
  await page.tell('Profiler.enable')
  await page.tell('Profiler.setSamplingInterval', { interval: 500 })
  await page.tell('Profiler.start')
}

function print ({ name, count, size }) {
  const of = rows.filter((row) => row.workload === name)
  const large = size > 10_000
  const rate = (seconds) => (large ? `${(count * size / seconds / 1e6).toFixed(1)} MB/s` : `${Math.round(count / seconds)} blocks/s`)
  const times = (many) => (seconds) => `${Math.round(many / seconds)}/s`
  const ms = (seconds) => `${Math.round(seconds * 1000)} ms`
  const mb = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`
  console.log(`\n${name}: medians of ${of.length} rounds (least – most)\n${line('', ['raw IndexedDB', 'page thread', 'Worker', `JavaScript stack (1/${PART} of it)`])}`)
  const say = (title, show, value) => {
    const cells = CONTESTANTS.map((who) => cell(of.map((row) => value(row[who], row)), show))
    console.log(line(title, cells))
  }
  say('bulk, stored (raw: packed writes)', rate, (who) => who.download)
  say('  as a part of raw', (part) => part.toPrecision(2), (who, row) => who.download && row.raw.download / who.download)
  const kinds = [...new Set(of.flatMap((row) => CONTESTANTS.flatMap((who) => Object.keys(row[who].cpu ?? {}))))]
  for (const kind of kinds) say(`  CPU time, ${kind.split('.')[0]}`, ms, (who) => who.cpu && (who.cpu[kind] ?? 0))
  say('  tasks over 50 ms in the page', String, (who) => who.tasks?.length)
  say('  the longest', (duration) => `${Math.round(duration)} ms`, (who) => who.tasks && Math.max(0, ...who.tasks))
  say('first block after load', ms, (who) => who.first)
  say('get, in order', times(READS), (who) => who.sequential)
  say('get, at random', times(READS), (who) => who.random)
  say('get, at random, 64 in flight', times(READS), (who) => who.random64)
  say('append of 1 KiB, strict, awaited', times(APPENDS), (who) => who.append)
  say('memory: JS heap of the page', mb, (who) => who.heap)
  say('memory: WebAssembly', mb, (who) => who.wasm || undefined)
  if (of[0].reader) {
    console.log(`reader page, all blocks asked for: ${cell(of.map((row) => row.reader.download), ms)}; tasks over 50 ms: ${
      cell(of.map((row) => row.reader.tasks.length), String)}; the longest ${cell(of.map((row) => Math.max(0, ...row.reader.tasks)), (duration) => `${Math.round(duration)} ms`)}`)
  }
}

function cell (values, show) {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b)
  if (sorted.length === 0) return ''
  const middle = show(sorted[sorted.length >> 1])
  return sorted.length === 1 ? middle : `${middle} (${show(sorted[0])} – ${show(sorted.at(-1))})`
}

function line (title, cells) {
  return `  ${title.padEnd(34)} ${cells.map((text) => text.padEnd(34)).join(' ')}`.trimEnd()
}
