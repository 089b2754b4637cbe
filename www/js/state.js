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

function withConnection (session, now) {
  const { connection, swarm, first, note } = session
  const { length, peers } = first.core
  const stored = length > 0
  if (!connection && !swarm) {
    return stored ? { state: 'offline', title: 'Offline – showing what is stored', detail: 'No peer and no relay is given.' }
      : { state: 'waiting', title: 'Nothing stored for this key', detail: 'Give the address of a peer, or of a relay.' }
  }
  if (stored && peers.length > 0) return { state: 'live', title: 'Live', detail: note ?? `following ${whom(session, peers)}` }
  return connection ? withPeer(session, stored, now) : withSwarm(session, stored, now)
}

function whom ({ connection, peer }, peers) {
  if (connection?.state === 'open') return peer
  return peers.length === 1 ? '1 peer of the swarm' : `${peers.length} peers of the swarm`
}

function withPeer (session, stored, now) {
  const { connection, first, peer } = session
  switch (connection.state) {
    case 'open':
      return { state: 'waiting', title: 'Waiting for the writer', detail: waiting(stored, first.core.peers.length) }
    case 'connecting':
      return { state: 'connecting', title: 'Connecting', detail: stored ? `to ${peer}; showing what is stored` : `to ${peer}` }
    default:
      return lost(`${reason(connection)} ${next(connection, session.retryAt, now)}`, stored)
  }
}

function withSwarm (session, stored, now) {
  const { swarm, first } = session
  const shown = stored ? '; showing what is stored' : ''
  if (swarm.state === 'connecting') return { state: 'connecting', title: 'Connecting', detail: `to the relay ${swarm.relay}${shown}` }
  if (swarm.state !== 'open') return lost(`${swarm.lastReason?.message ?? 'The relay cannot be reached.'} ${next(swarm, session.retryAt, now)}`, stored)
  if (swarm.connections.size > 0) return { state: 'waiting', title: 'Waiting for the writer', detail: waiting(stored, first.core.peers.length) }
  if (swarm.looking) return { state: 'connecting', title: 'Looking for peers', detail: `by way of ${swarm.relay}${shown}` }
  return lost('Nobody who has this core is on the swarm now; the page goes on looking.', stored)
}

function lost (detail, stored) {
  return { state: stored ? 'offline' : 'waiting', title: stored ? 'Offline – showing what is stored' : 'Waiting for the writer', detail }
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
