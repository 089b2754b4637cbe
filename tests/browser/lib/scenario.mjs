// One scenario: what it starts ends with it, and it ends in bounded time.
import process from 'node:process'

const LIMIT = 100_000
const cleanups = []

/** Runs `body`; whatever happens, everything given to `later` is undone, last first, and the process ends. */
export async function scenario (body, ms = LIMIT) {
  let code = 1
  const limit = new Promise((resolve, reject) => setTimeout(reject, ms, new Error(`not done within ${ms / 1000} s`)).unref())
  const asked = new Promise((resolve, reject) => process.once('SIGTERM', () => reject(new Error('asked to end'))))
  try {
    await Promise.race([body(), limit, asked])
    code = 0
  } catch (error) {
    console.error(error)
  }
  for (const undo of cleanups.reverse()) {
    await Promise.race([Promise.resolve().then(undo), new Promise((resolve) => setTimeout(resolve, 8000))]).catch(console.error)
  }
  process.exit(code)
}

export function later (undo) {
  cleanups.push(undo)
}

/** Asks until `question` answers something true; its answer. What was last wrong is in the error. */
export async function eventually (what, question, ms = 45_000) {
  const end = Date.now() + ms
  let wrong = null
  while (Date.now() < end) {
    try {
      const answer = await question()
      if (answer) return answer
      wrong = null
    } catch (error) {
      wrong = error
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`never came true: ${what}`, { cause: wrong })
}
