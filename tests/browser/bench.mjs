// The browser's rows of the speed table, beside what raw IndexedDB writes reach in the same run. Not a test: it asserts
// what arrived, never a time. `CORESTORE=… node bench.mjs [--rounds 3] [--json] [--profile FILE]`
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import process from 'node:process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { openBrowser } from './lib/chromium.mjs'
import { startWriter, temporaryFolder } from './lib/native.mjs'
import { scenario } from './lib/scenario.mjs'
import { PACKAGE, serveSite } from './lib/site.mjs'
import { inPage } from './lib/workloads.mjs'

const { values: given } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, json: { type: 'boolean' }, profile: { type: 'string' } }
})
const ROUNDS = Number(given.rounds)
const SIZES = [{ name: '20k × 1 KiB', count: 20_000, size: 1024 }, { name: '1k × 64 KiB', count: 1000, size: 65_536 }]
const APPENDS = 200
const READS = 2000
const rows = []

await scenario(async () => {
  const { origin } = await serveSite(PACKAGE)
  const context = await openBrowser()
  for (const workload of SIZES) {
    const writer = await preloaded(workload)
    for (let round = 0; round < ROUNDS; round++) {
      await measure(context, origin, { ...workload, url: writer.url, key: writer.other[1] }, round)
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
async function measure (context, origin, workload, round) {
  const raw = await run(context, origin, 'raw', workload)
  const ours = await run(context, origin, 'ours', workload, round === 0 ? given.profile : undefined)
  assert.equal(ours.stored, workload.count, 'every block is stored')
  rows.push({ workload: workload.name, round, raw, ours })
  if (given.json) console.log(JSON.stringify(rows.at(-1)))
}

async function run (context, origin, what, workload, profile) {
  const page = await context.newPage()
  page.on('pageerror', (error) => console.error('the page threw:', error))
  await page.goto(`${origin}/package.json`)
  const cdp = await context.newCDPSession(page)
  if (profile) {
    await cdp.send('Profiler.enable')
    await cdp.send('Profiler.setSamplingInterval', { interval: 500 })
    await cdp.send('Profiler.start')
  }
  const result = await page.evaluate(inPage, { what, ...workload })
  if (profile) await writeFile(`${workload.size}-${profile}`, JSON.stringify((await cdp.send('Profiler.stop')).profile))
  await cdp.send('Performance.enable')
  const { metrics } = await cdp.send('Performance.getMetrics')
  result.heap = metrics.find((metric) => metric.name === 'JSHeapUsedSize').value
  await page.close()
  return result
}

function print () {
  for (const { name, count, size } of SIZES) {
    const of = rows.filter((row) => row.workload === name)
    const rate = (seconds) => (size > 10_000 ? `${(count * size / seconds / 1e6).toFixed(1)} MB/s` : `${Math.round(count / seconds)} blocks/s`)
    console.log(`\n${name}: medians of ${of.length} rounds (least–most)`)
    say('raw IndexedDB writes, packed', of.map((row) => row.raw.write), rate)
    say('bulk download, stored', of.map((row) => row.ours.download), rate)
    say('  as a part of raw', of.map((row) => row.raw.write / row.ours.download), (part) => part.toFixed(2))
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

