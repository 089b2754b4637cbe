// What the page says about itself: one pure function from facts to a state, a title and a sentence.

/** @returns `{ state, title, detail }`; the state is one word, for scripts and styles */
export function describe ({ problem, session, now }) {
  if (problem) return { state: 'problem', title: 'Not possible', detail: problem }
  if (!session) return { state: 'empty', title: 'Nothing to read yet', detail: 'Paste a key to begin.' }
  const frozen = session.entries.find(({ core }) => core.frozen)
  if (frozen) {
    return {
      state: 'conflict',
      title: 'Core conflicted',
      detail: `Two different histories are signed for ${frozen.label}. It is frozen; what is shown came before.`
    }
  }
  if (session.problem) return { state: 'problem', title: 'Not possible', detail: session.problem }
  return withConnection(session, now)
}

function withConnection ({ connection, first, note, retryAt, peer }, now) {
  const { length, peers } = first.core
  const stored = length > 0
  if (!connection) {
    return stored ? { state: 'offline', title: 'Offline – showing what is stored', detail: 'No peer address is given.' }
      : { state: 'waiting', title: 'Nothing stored for this key', detail: 'Give the address of a peer.' }
  }
  switch (connection.state) {
    case 'open':
      if (stored && peers.length > 0) return { state: 'live', title: 'Live', detail: note ?? `following ${peer}` }
      return { state: 'waiting', title: 'Waiting for the writer', detail: waiting(stored, peers.length) }
    case 'connecting':
      return { state: 'connecting', title: 'Connecting', detail: stored ? `to ${peer}; showing what is stored` : `to ${peer}` }
    default:
      return {
        state: stored ? 'offline' : 'waiting',
        title: stored ? 'Offline – showing what is stored' : 'Waiting for the writer',
        detail: `${reason(connection)} ${next(connection, retryAt, now)}`
      }
  }
}

function waiting (stored, peers) {
  if (stored) return 'The peer answers, but does not share this core now; showing what is stored.'
  return peers > 0 ? 'The peer has this core, and no block in it yet.' : 'The peer answers, but does not know this core yet.'
}

function reason ({ lastReason }) {
  switch (lastReason?.code) {
    case 'unreachable': return 'The peer cannot be reached.'
    case 'violation': return `The connection was ended: ${lastReason.message}.`
    case 'timeout': return 'The peer fell silent.'
    default: return 'The peer is gone.'
  }
}

function next ({ state }, retryAt, now) {
  if (state === 'closed') return ''
  const seconds = Math.ceil((retryAt - now) / 1000)
  return seconds > 0 ? `Trying again in ${seconds} s.` : 'Trying again.'
}
