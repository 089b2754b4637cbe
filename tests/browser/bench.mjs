// The browser's rows of the speed table, beside what raw IndexedDB writes reach in the same run. Not a test: it asserts
// what arrived, never a time. `CORESTORE=… node bench.mjs [--rounds 3] [--json] [--worker] [--profile FILE]`
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import process from 'node:process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { between, cpuTimes } from './lib/cpu.mjs'
import { openMeasuredBrowser } from './lib/devtools.mjs'
import { startWriter, temporaryFolder } from './lib/native.mjs'
import { scenario } from './lib/scenario.mjs'
import { PACKAGE, serveSite } from './lib/site.mjs'
import * as inPage from './lib/workloads.mjs'

const { values: given } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, json: { type: 'boolean' }, worker: { type: 'boolean' }, profile: { type: 'string' } }
})
const ROUNDS = Number(given.rounds)
const SIZES = [{ name: '20k × 1 KiB', count: 20_000, size: 1024 }, { name: '1k × 64 KiB', count: 1000, size: 65_536 }]
const APPENDS = 200
const READS = 2000
const rows = []

await scenario(async () => {
  const { origin } = await serveSite(PACKAGE)
  const browser = await openMeasuredBrowser()
  for (const workload of SIZES) {
    const writer = await preloaded(workload)
    for (let round = 0; round < ROUNDS; round++) {
      await measure(browser, origin, workload, writer, round)
    }
    await writer.stop()
  }
  print()
}, 600_000)

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

/** One round: raw writes, then ours, each in a page of its own. */
async function measure (browser, origin, workload, writer, round) {
  const raw = await rawRound(browser, origin, workload, writer)
  const ours = await ourRound(browser, origin, workload, writer, round)
  assert.equal(ours.stored, workload.count, 'every block is stored')
  rows.push({ workload: workload.name, round, raw, ours })
  if (given.json) console.log(JSON.stringify(rows.at(-1)))
}

async function rawRound (browser, origin, workload, writer) {
  const page = await browser.open(`${origin}/package.json`)
  await page.evaluate(inPage.prepare)
  await page.evaluate(inPage.rawOpen)
  const before = await cpuTimes(browser, writer.pid)
  const write = await page.evaluate(inPage.rawWrites, workload)
  const cpu = between(before, await cpuTimes(browser, writer.pid))
  const strict = await page.evaluate(inPage.rawStrict, { appends: APPENDS })
  await page.close()
  return { write, strict, cpu }
}

async function ourRound (browser, origin, workload, writer, round) {
  const where = { url: writer.url, key: writer.other[1], worker: given.worker }
  const page = await browser.open(`${origin}/package.json`)
  await page.evaluate(inPage.prepare)
  const first = await page.evaluate(inPage.firstBlock, where)
  await page.evaluate(inPage.settle)
  const profiled = given.profile !== undefined && round === 0
  if (profiled) await startProfile(page)
  const before = await cpuTimes(browser, writer.pid)
  const bulk = await page.evaluate(inPage.download, workload)
  const cpu = between(before, await cpuTimes(browser, writer.pid))
  if (profiled) await writeFile(`${workload.size}-${given.profile}`, JSON.stringify((await page.tell('Profiler.stop')).profile))
  const others = await page.evaluate(inPage.readsAndAppends, { ...workload, reads: READS, appends: APPENDS })
  const wasm = await page.evaluate(inPage.finish, where)
  await page.tell('Performance.enable')
  const { metrics } = await page.tell('Performance.getMetrics')
  await page.close()
  return { first, ...bulk, ...others, cpu, wasm, heap: metrics.find((metric) => metric.name === 'JSHeapUsedSize').value }
}

async function startProfile (page) {
  await page.tell('Profiler.enable')
  await page.tell('Profiler.setSamplingInterval', { interval: 500 })
  await page.tell('Profiler.start')
}

function print () {
  for (const { name, count, size } of SIZES) {
    const of = rows.filter((row) => row.workload === name)
    const rate = (seconds) => (size > 10_000 ? `${(count * size / seconds / 1e6).toFixed(1)} MB/s` : `${Math.round(count / seconds)} blocks/s`)
    console.log(`\n${name}: medians of ${of.length} rounds (least–most)`)
    say('raw IndexedDB writes, packed', of.map((row) => row.raw.write), rate)
    say('bulk download, stored', of.map((row) => row.ours.download), rate)
    say('  as a part of raw', of.map((row) => row.raw.write / row.ours.download), (part) => part.toFixed(2))
    for (const [who, title] of [['raw', 'raw'], ['ours', 'download']]) {
      const kinds = [...new Set(of.flatMap((row) => Object.keys(row[who].cpu)))]
      for (const kind of kinds) say(`  CPU of ${title}: ${kind.split('.')[0]}`, of.map((row) => row[who].cpu[kind] ?? 0), (seconds) => `${Math.round(seconds * 1000)} ms`)
    }
    say('first block after load', of.map((row) => row.ours.first), (seconds) => `${Math.round(seconds * 1000)} ms`)
    for (const [key, title] of [['sequential', 'get, in order'], ['random', 'get, at random'], ['random64', 'get, at random, 64 in flight']]) {
      say(title, of.map((row) => row.ours[key]), (seconds) => `${Math.round(READS / seconds)}/s`)
    }
    say('append of 1 KiB, strict, awaited', of.map((row) => row.ours.append), (seconds) => `${Math.round(APPENDS / seconds)}/s`)
    say('raw strict transactions, awaited', of.map((row) => row.raw.strict), (seconds) => `${Math.round(APPENDS / seconds)}/s`)
    say('tasks over 50 ms in the download', of.map((row) => row.ours.tasks.length), String)
    say('  the longest', of.map((row) => Math.max(0, ...row.ours.tasks)), (ms) => `${Math.round(ms)} ms`)
    say('memory: JS heap', of.map((row) => row.ours.heap), (bytes) => `${(bytes / 1e6).toFixed(1)} MB`)
    say('memory: WebAssembly', of.map((row) => row.ours.wasm), (bytes) => `${(bytes / 1e6).toFixed(1)} MB`)
  }
}

function say (title, values, show) {
  const sorted = [...values].sort((a, b) => a - b)
  console.log(`  ${title.padEnd(34)} ${show(sorted[sorted.length >> 1])} (${show(sorted[0])} – ${show(sorted.at(-1))})`)
}

