// CPU time by process: on a machine with few cores everybody works for the same figure.
import { readFile } from 'node:fs/promises'

/** The seconds each kind of process has used so far: `{ writer, browser, renderer, … }`. */
export async function cpuTimes (browser, writer) {
  const { processInfo } = await browser.send('SystemInfo.getProcessInfo')
  const times = { writer: await nativeSeconds(writer) }
  for (const { type, cpuTime } of processInfo) times[type] = (times[type] ?? 0) + cpuTime
  return times
}

/** What came between two such tellings, without who did nothing. */
export function between (before, after) {
  const times = Object.entries(after).map(([kind, seconds]) => [kind, seconds - (before[kind] ?? 0)])
  return Object.fromEntries(times.filter(([, seconds]) => seconds > 0.005))
}

/** User and system time of a process of ours, where the system tells it. */
async function nativeSeconds (pid) {
  try {
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ').at(-1).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / TICKS
  } catch {
    return 0
  }
}

const TICKS = 100
