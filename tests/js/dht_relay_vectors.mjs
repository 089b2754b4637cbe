// Prints the vectors of the protocol dht-relay, made by @hyperswarm/dht-relay itself: tests/vectors/dht-relay.json.
//   node dht_relay_vectors.mjs > ../vectors/dht-relay.json
import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(import.meta.url)
const home = path.dirname(require.resolve('@hyperswarm/dht-relay'))
const messages = require(path.join(home, 'lib/messages.js'))
const { announcers } = require(path.join(home, 'lib/codecs.js'))
const c = createRequire(path.join(home, 'index.js'))('compact-encoding')

const bytes = (length, fill) => Buffer.alloc(length, fill)
const [publicKey, remotePublicKey, topic, token, peerId] = [1, 2, 3, 4, 5].map((fill) => bytes(32, fill))
const [secretKey, signature] = [bytes(64, 6), bytes(64, 7)]
const payload = Buffer.from('payload')
const relayAddresses = [{ host: '127.0.0.1', port: 49737 }, { host: '192.0.2.200', port: 80 }]
const remote = { remoteId: bytes(32, 8), holepunchSecret: bytes(32, 9) }
const ids = { alias: 7, remoteAlias: 0x01020304, serverAlias: 0xfffffffe, handshakeId: 300, id: 70000, signee: 9 }
const sign = { id: ids.id, signee: ids.signee, token, peerId }

const entries = [
  ['handshake', { publicKey }],
  ['handshake', { publicKey, custodial: true, secretKey }],
  ['ping', null],
  ['pong', null],
  ['connect', { ...ids, publicKey, remotePublicKey }],
  ['connect', { ...ids, publicKey, remotePublicKey, custodial: true, secretKey }],
  ['connection', { ...ids, remotePublicKey }],
  ['connection', { ...ids, remotePublicKey, custodial: true, handshakeHash: signature }],
  ['connected', ids],
  ['incoming', { ...ids, remotePublicKey, payload }],
  ['deny', ids],
  ['accept', ids],
  ['destroy', { ...ids, paired: true }],
  ['destroy', { ...ids, paired: false, error: 'PEER_NOT_FOUND: schlägt fehl' }],
  ['listen', { ...ids, publicKey }],
  ['listen', { ...ids, publicKey, custodial: true, secretKey }],
  ['listening', { ...ids, host: '203.0.113.9', port: 65535 }],
  ['close', ids],
  ['closed', ids],
  ['open', ids],
  ['open', { ...ids, custodial: true, handshakeHash: signature }],
  ['end', ids],
  ['data', { ...ids, data: [] }],
  ['data', { ...ids, data: [payload, Buffer.alloc(0), bytes(300, 10)] }],
  ['result', { ...ids, data: c.encode(announcers, {
    token,
    from: { id: peerId, host: '127.0.0.1', port: 1 },
    to: { id: null, host: '10.0.0.1', port: 49737 },
    peers: [{ publicKey, relayAddresses }, { publicKey: remotePublicKey, relayAddresses: [] }]
  }) }],
  ['finished', ids],
  ['lookup', { ...ids, topic }],
  ['announce', { ...ids, topic, publicKey }],
  ['announce', { ...ids, topic, publicKey, custodial: true, secretKey }],
  ['unannounce', { ...ids, topic, publicKey }],
  ['unannounce', { ...ids, topic, publicKey, custodial: true, secretKey }],
  ['signAnnounce', { ...sign, relayAddresses: [] }],
  ['signAnnounce', { ...sign, relayAddresses }],
  ['signUnannounce', { ...sign, relayAddresses }],
  ['signature', { id: ids.id, signature }],
  ['signature', { id: ids.id, signature: null }],
  ['noiseSend', { id: ids.id, isInitiator: true, remoteStreamAlias: ids.alias, payload }],
  ['noiseSend', { id: ids.id, isInitiator: false, payload }],
  ['noiseReceive', { id: ids.id, isInitiator: true, payload }],
  ['noiseReceive', { id: ids.id, isInitiator: false, serverAlias: ids.serverAlias, payload }],
  ['noiseReply', { id: ids.id, isInitiator: true, payload }],
  ['noiseReply', { id: ids.id, isInitiator: true, complete: true, payload, ...remote }],
  ['noiseReply', { id: ids.id, payload, remotePublicKey }],
  ['noiseReply', { id: ids.id, payload: null, remotePublicKey }],
  ['noiseReply', { id: ids.id, complete: true, payload, ...remote }]
]

const shown = (value) => {
  if (value === undefined) return null
  if (value === null || typeof value !== 'object') return value
  if (ArrayBuffer.isView(value)) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(shown)
  // `family` is 4 for every address.
  return Object.fromEntries(Object.entries(value).filter(([key]) => key !== 'family').map(([key, value]) => [key, shown(value)]))
}

const kinds = Object.keys(messages)
console.log(JSON.stringify({
  about: 'The messages of the protocol dht-relay, as its own package writes and reads them.',
  source: '@hyperswarm/dht-relay@0.4.3 lib/messages.js, lib/codecs.js; compact-encoding 2.19.2',
  protocol: '@hyperswarm/dht-relay',
  entries: entries.map(([name, message]) => {
    const encoded = c.encode(messages[name], message)
    const decoded = shown(c.decode(messages[name], encoded)) ?? {}
    if (name === 'result') decoded.data = shown(c.decode(announcers, Buffer.from(decoded.data, 'hex')))
    return { name, kind: kinds.indexOf(name), hex: Buffer.from(encoded).toString('hex'), decoded }
  })
}, null, 1))
