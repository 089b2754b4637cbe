// What the packages expect of Node.
import { Buffer } from 'buffer'

const process = { nextTick: (call, ...args) => queueMicrotask(() => call(...args)), env: {}, versions: {}, platform: 'browser' }
Object.assign(globalThis, { Buffer, process })
export { Buffer, process }
