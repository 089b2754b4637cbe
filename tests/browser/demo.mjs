// What `cargo xtask demo --headless` watches: node demo.mjs ADDRESS LINE…
// Lines are typed into the writer once the page is live; every one must appear on it.
import process from 'node:process'
import { openBrowser, openPage, shows } from './lib/chromium.mjs'
import { eventually, scenario } from './lib/scenario.mjs'

const [address, ...lines] = process.argv.slice(2)

await scenario(async () => {
  const page = await openPage(await openBrowser(), address)
  const named = await eventually('the page shows block 0 of core-1', () => page.evaluate(() => {
    const block = document.querySelector(`[data-core="${location.hash.slice(1)}"][data-seq="0"]`)
    return block ? JSON.parse(block.textContent).otherKeys : null
  }))
  await eventually('both named cores are followed', () => page.evaluate((named) =>
    document.querySelector('#state').dataset.state === 'live' && named.every((key) => document.getElementById(`heading-${key}`)), named))
  console.log('the page is live')
  const next = [0, 0]
  for (const line of lines) {
    const which = Buffer.byteLength(line) < 5 ? 0 : 1
    await shows(page, named[which], next[which], line)
    console.log(`seen on the page: core-${which + 2}, block ${next[which]++}: ${line}`)
  }
})
