// A headless browser, and what there is to see on the page.
import { chromium } from 'playwright-core'
import { eventually, later } from './scenario.mjs'

export const FLAGS = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync']

/** A browser context of its own, whose storage is gone afterwards. */
export async function openBrowser () {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS })
  later(() => browser.close())
  return browser.newContext()
}

/** The page at an address; what it complains of is told on stderr. */
export async function openPage (context, address) {
  const page = await context.newPage()
  page.on('pageerror', (error) => console.error('the page threw:', error))
  page.on('console', (message) => { if (message.type() === 'error') console.error('the page says:', message.text()) })
  await page.goto(address)
  return page
}

export const readerAddress = (origin, peer, key, more = '') => `${origin}/?peer=${peer}${more}#${key}`

/** Waits until the page says it is in a state. */
export const inState = (page, state) => eventually(`the page is ${state}`, async () =>
  await page.locator('#state').getAttribute('data-state') === state)

/** The text of a block's element, `null` while there is none. */
export const blockText = (page, core, seq) => page.evaluate(([core, seq]) =>
  document.querySelector(`[data-core="${core}"][data-seq="${seq}"]`)?.textContent ?? null, [core, seq])

/** Waits until a block is shown with this text. */
export const shows = (page, core, seq, text) => eventually(`block ${seq} of ${core.slice(0, 8)} reads ${text.slice(0, 60)}`, async () =>
  await blockText(page, core, seq) === text)

/** Every block in the document: `{ "core/seq": text }`. */
export const allBlocks = (page) => page.evaluate(() => Object.fromEntries([...document.querySelectorAll('[data-seq]')].map((element) =>
  [`${element.dataset.core}/${element.dataset.seq}`, element.textContent])))

/** A figure above a core's list, as a number. */
export const figure = (page, core, name) => page.evaluate(([core, name]) => {
  const section = document.getElementById(`heading-${core}`)?.closest('section')
  return Number(section?.querySelector(`[data-figure=${name}] dd`)?.textContent.replaceAll(',', '') ?? NaN)
}, [core, name])
