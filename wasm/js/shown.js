// What a session shows, as a list of values that a Worker sends its page.

export const SHOWN = ['length', 'byteLength', 'fork', 'contiguousLength', 'remoteContiguousLength', 'storedBlocks', 'writable',
  'encrypted', 'frozen', 'peers']

export function show(handle) {
  return SHOWN.map((name) => handle[name])
}
