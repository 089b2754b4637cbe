// The public API of corestore-wasm: Corestore and Hypercore in the browser, on a page's thread or in a Worker.
//
// Shapes follow the JavaScript originals (corestore 7, hypercore 11). Lengths and indexes are blocks, `byteLength` is
// bytes without encryption padding, times are milliseconds. Blocks are `Uint8Array`s; a block handed out is the
// caller's own copy. Every failure is a `CorestoreError` with a `code` and a sentence that says what to do.

// ── loading ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Where the WebAssembly comes from; without it `corestore_wasm_bg.wasm` beside this module is fetched. */
export type WasmSource = URL | string | Response | BufferSource | WebAssembly.Module

/**
 * Loads the WebAssembly. Optional: `ready()` of a store does it too. A second call returns the first one's promise,
 * unless that failed.
 */
export function init(source?: WasmSource | Promise<WasmSource>): Promise<void>

// ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A 32-byte key: as bytes, in hex (64 characters) or in z-base-32 (52 characters). */
export type KeyLike = Uint8Array | string

/** Texts of keys. These work before the WebAssembly is loaded. */
export const id: {
  /** The z-base-32 text of a key. */
  encode(key: KeyLike): string
  /** The 32 bytes of a key in any form. Throws `INVALID_KEY` naming what is wrong with the text. */
  decode(key: KeyLike): Uint8Array
  /** The hex text of a key. */
  hex(key: KeyLike): string
  /** True when `decode` would not throw. */
  isValid(key: unknown): boolean
}

// ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────

export type ErrorCode =
  /** An argument makes no sense; the message names it. */
  | 'BAD_ARGUMENT'
  /** A key's text is neither 64 hex digits nor 52 characters of z-base-32. */
  | 'INVALID_KEY'
  /** The session, or its store, was closed. */
  | 'SESSION_CLOSED'
  /** The request was cancelled (by `cancel`, by `destroy()` or by its signal). */
  | 'REQUEST_CANCELLED'
  /** No answer within `timeout`. */
  | 'REQUEST_TIMEOUT'
  /** The core is not stored here and may not be created. */
  | 'STORAGE_EMPTY'
  /** No key to sign with, or a read-only session or snapshot. */
  | 'SESSION_NOT_WRITABLE'
  /** Past the end, or given up by every peer. */
  | 'BLOCK_NOT_AVAILABLE'
  /** Outside the snapshot, or truncated away under it. */
  | 'SNAPSHOT_NOT_AVAILABLE'
  /** Two histories are signed for this key; the core is frozen. Get a sound copy from its author. */
  | 'CONFLICT'
  /** The encryption key does not open this core's blocks. */
  | 'WRONG_ENCRYPTION_KEY'
  /** A block does not decode with the session's `valueEncoding`. */
  | 'DECODING_ERROR'
  /** The browser gives this site no more space. Nothing of the change was written; reading goes on. */
  | 'STORAGE_FULL'
  /** A stored value cannot be read; the message names it. */
  | 'STORAGE_DAMAGED'
  /** The store cannot be used any more; open it again. */
  | 'STORAGE_BROKEN'
  /** Another tab or worker has this store open. */
  | 'STORAGE_LOCKED'
  /** The store was written by a newer version of this library. */
  | 'STORAGE_NEWER'
  /** This browser, or this private window, has no IndexedDB: use `memory: true`. */
  | 'STORAGE_UNAVAILABLE'
  /** The connection is over; the message says why. */
  | 'CONNECTION_CLOSED'
  /** The WebAssembly could not be loaded. */
  | 'WASM_LOAD_FAILED'

export class CorestoreError extends Error {
  readonly name: 'CorestoreError'
  readonly code: ErrorCode
}

// ── events ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Event listeners in the manner of Node. A listener that throws is reported (`reportError`) and stops no other. */
export class Emitter<Events extends Record<string, unknown[]>> {
  on<E extends keyof Events & string>(event: E, listener: (...args: Events[E]) => void): this
  once<E extends keyof Events & string>(event: E, listener: (...args: Events[E]) => void): this
  off<E extends keyof Events & string>(event: E, listener: (...args: Events[E]) => void): this
  listenerCount(event: keyof Events & string): number
}

// ── Corestore ───────────────────────────────────────────────────────────────────────────────────────────────────

export interface CorestoreOptions {
  /** Name of the IndexedDB database; `'corestore'` when not given. One tab or worker may have it open at a time. */
  name?: string
  /** Keep everything in memory and nothing afterwards. */
  memory?: boolean
  /** 32 bytes all local names derive from. Used by a new store only; a secret. Drawn at random when not given. */
  primaryKey?: KeyLike
  /** 32-byte seed of the key pair shown on connections; drawn anew each time when not given. A secret. */
  identity?: KeyLike
  /** Where the WebAssembly comes from. */
  wasm?: WasmSource
  /**
   * Work in a Worker of the store's own, so that this thread is never held up: storage, hashes, ciphers and WebSockets
   * are there, and a transport given to `replicate` is carried over. What a session shows without being asked (`length`,
   * `contiguousLength`, …) is as the Worker said it last: right after every answer and in every event, and otherwise at
   * most a tenth of a second old. `WASM_LOAD_FAILED` where the page may not start Workers.
   */
  worker?: boolean
}

export interface GetCoreOptions {
  /** A local name; its key pair derives from the store's primary key and this namespace, so it is writable. */
  name?: string
  /** The core with this key. */
  key?: KeyLike
  /** Only a core that is already stored (`STORAGE_EMPTY` otherwise). */
  discoveryKey?: KeyLike
  /** A signing key of one's own, as its 32-byte seed. */
  keyPair?: { seed: KeyLike }
  /** 32 bytes: blocks are encrypted with it on the way in and decrypted on the way out. */
  encryptionKey?: KeyLike
  /** How values become blocks and blocks values; `'binary'` when not given. */
  valueEncoding?: ValueEncoding
  /** `false`: never append through this session. */
  writable?: boolean
  /** `false`: `STORAGE_EMPTY` instead of creating a core that is not stored. */
  createIfMissing?: boolean
  /** `false`: `get` answers `null` at once for a block that is not stored. */
  wait?: boolean
  /** Milliseconds after which `get` gives up; 0 waits without end. */
  timeout?: number
}

export type CorestoreEvents = {
  /** A connection's handshake is done; also after each reconnect. */
  connection: [connection: Connection]
  /** The store is closed. */
  close: []
}

export class Corestore extends Emitter<CorestoreEvents> {
  /** Opens or creates a store. Nothing is read before `ready()` or the first request. */
  constructor(name?: string | CorestoreOptions)

  /** Bytes shown to peers on connections; `null` before `ready()`. */
  readonly publicKey: Uint8Array | null
  readonly opened: boolean
  readonly closed: boolean
  /** Connections that are open, connecting or waiting to reconnect. */
  readonly connections: readonly Connection[]

  /** Resolves when the store is open. Rejects with `STORAGE_LOCKED`, `STORAGE_NEWER`, `STORAGE_UNAVAILABLE`, … */
  ready(): Promise<void>

  /**
   * A session on a core, at once; `ready()` of it, or the first request, waits until it is open. Several sessions may
   * share a core. A string or bytes is a key.
   */
  get(options: GetCoreOptions | KeyLike): Hypercore

  /** A view of the same store whose names are its own. Closing it closes the sessions opened through it. */
  namespace(name: string): Corestore
  /** A view of the same store and namespace, closed on its own. */
  session(): Corestore

  /** Discovery keys of every stored core. */
  list(): Promise<Uint8Array[]>

  /**
   * Replicates every open core, and every stored one a peer asks for, over a WebSocket (`'ws://…'`, `'wss://…'`), which
   * is dialled again after it ends, or over any transport that carries bytes both ways, in order.
   */
  replicate(peer: string | URL | Transport, options?: ReplicateOptions): Connection

  /** Closes every session, connection and, on the root store, the database. What was acknowledged is stored. */
  close(): Promise<void>
}

// ── connections ─────────────────────────────────────────────────────────────────────────────────────────────────

export interface ReplicateOptions {
  /** Who starts the handshake: `true` for who dialled (the default). Both sides of a transport must differ. */
  initiator?: boolean
  /** `false`: a WebSocket that ended is not dialled again. */
  reconnect?: boolean
  /** Milliseconds before the first and the longest wait of the exponential back-off; 500 and 30,000. */
  minBackoff?: number
  maxBackoff?: number
}

/**
 * Bytes both ways, in any pieces, in order: a WebRTC data channel (`binaryType = 'arraybuffer'`), a WebSocket that is
 * already open, one end of an in-page pipe. `onmessage` and `onclose` are set by the connection.
 */
export interface Transport {
  send(bytes: Uint8Array): void
  close(): void
  onmessage: ((event: { data: ArrayBuffer | ArrayBufferView }) => void) | null
  onclose: ((event?: unknown) => void) | null
  onerror?: ((event?: unknown) => void) | null
  onopen?: ((event?: unknown) => void) | null
  /** Bytes given to `send` that are not on the wire yet; serving pauses while there are many. */
  readonly bufferedAmount?: number
  /** As of a WebSocket or data channel; a transport without it is open. */
  readonly readyState?: number | string
}

/** Two ends of a pipe within the page. */
export function createTransportPair(): [Transport, Transport]

export type ConnectionState =
  /** Dialling, or in the handshake. */
  | 'connecting'
  | 'open'
  /** Waiting until it is dialled again. */
  | 'reconnecting'
  | 'closed'

/** Why a connection, or one dialling of it, ended. */
export interface CloseReason {
  /**
   * `local`: we closed it. `remote`: the peer or the network ended it. `unreachable`: it could not be dialled.
   * `violation`: the peer broke the protocol, and the message names the fault. `timeout`: it was silent too long.
   * `duplicate`: it was ourselves, or a connection there is already. `storage`: the store is closed or broken.
   */
  code: 'local' | 'remote' | 'unreachable' | 'violation' | 'timeout' | 'duplicate' | 'storage'
  message: string
}

export type ConnectionEvents = {
  /** The handshake is done: `remotePublicKey` is known. Again after each reconnect. */
  open: [remotePublicKey: Uint8Array]
  /** It ended and will be dialled again in `delay` milliseconds. */
  reconnecting: [info: { reason: CloseReason, delay: number, attempt: number }]
  /** `state` changed. */
  state: [state: ConnectionState]
  /** The peer broke the protocol. A `close` or `reconnecting` follows. */
  error: [reason: CloseReason]
  /** It is over and will not be dialled again. */
  close: [reason: CloseReason]
}

export class Connection extends Emitter<ConnectionEvents> {
  /** The address that is dialled, or `null` over a transport. */
  readonly url: string | null
  readonly state: ConnectionState
  readonly remotePublicKey: Uint8Array | null
  /** Bytes of the encrypted stream, over every dialling. */
  readonly bytesIn: number
  readonly bytesOut: number
  /** Why it ended last; `null` while it never did. */
  readonly lastReason: CloseReason | null
  /**
   * How its bytes travel: over a WebSocket or transport of its own; sealed past a relay; or from a relay that is a peer
   * itself.
   */
  readonly path: 'direct' | 'relayed' | 'gateway'
  /** We dialled, or called. */
  readonly isInitiator: boolean

  /** Resolves at the next `open` (at once when open); rejects when it closes for good. */
  ready(): Promise<void>
  /** Dials now rather than at the end of the wait. */
  reconnect(): void
  /** Ends it for good. */
  destroy(): void
}

// ── Swarm ───────────────────────────────────────────────────────────────────────────────────────────────────────

export interface SwarmOptions {
  /** Address of a relay that speaks `@hyperswarm/dht-relay`: a `corestore gateway`, or the npm package. */
  relay: string | URL
  /** The 32-byte seed of the key pair by which others know the page; drawn when not given. It never leaves the page. */
  keyPair?: { seed: KeyLike }
  /** Milliseconds before the first and the longest wait until the relay is dialled again; 500 and 30,000. */
  minBackoff?: number
  maxBackoff?: number
}

export interface JoinOptions {
  /** Be found by others; `true` when not given. */
  server?: boolean
  /** Find others; `true` when not given. */
  client?: boolean
  /** Call at most so many peers of the topic. */
  limit?: number
}

export interface PeerInfo {
  readonly publicKey: Uint8Array
  /** Topics under which it was found; none when it called. */
  readonly topics: readonly Uint8Array[]
  /** We called it. */
  readonly client: boolean
  readonly banned: boolean
  /** Have nothing to do with it, or have again. */
  ban(banned?: boolean): void
}

export interface Discovery {
  readonly topic: Uint8Array
  readonly isServer: boolean
  readonly isClient: boolean
  /** Resolves when the topic was looked up and everybody found was tried; to `false` when the swarm ended before. */
  flushed(): Promise<boolean>
  refresh(): Promise<boolean>
  /** Leaves the topic. */
  destroy(): Promise<void>
}

export type SwarmEvents = {
  /** A peer is connected, and the store replicates over the connection. */
  connection: [connection: Connection, info: PeerInfo]
  /** Figures changed. */
  update: []
  /** `state` changed. */
  state: [state: ConnectionState]
  /** The relay was lost and is dialled again in `delay` milliseconds. */
  reconnecting: [info: { reason: CloseReason, delay: number, attempt: number }]
  close: []
}

/**
 * The page as a member of HyperDHT, in the manner of Hyperswarm: it finds peers by topics (a core's discovery key) and is
 * found. A relay carries its words; handshakes, signatures and encryption are made in the page, so the relay learns topics,
 * keys, addresses, times and sizes, and nothing else. Every connection replicates the store.
 */
export class Swarm extends Emitter<SwarmEvents> {
  /** Dials the relay, again and again until `destroy()`. */
  constructor(store: Corestore, options: SwarmOptions)

  readonly relay: string
  /** Of the connection to the relay. */
  readonly state: ConnectionState
  readonly lastReason: CloseReason | null
  /** `null` before `ready()`. */
  readonly publicKey: Uint8Array | null
  /** The key of a relay that is a peer too, as it says. */
  readonly relayPublicKey: Uint8Array | null
  readonly connections: ReadonlySet<Connection>
  /** Peers by their keys in hex. */
  readonly peers: ReadonlyMap<string, PeerInfo>
  readonly topics: readonly Discovery[]
  /** Peers being called. */
  readonly connecting: number
  /** Peers known. */
  readonly known: number
  /** Others can call us: never by way of the npm package's relay, which loses announcements. */
  readonly listening: boolean
  /** A lookup or a call is under way. */
  readonly looking: boolean
  readonly destroyed: boolean

  ready(): Promise<void>
  /** Joins a topic of 32 bytes, or joins it in another way. */
  join(topic: KeyLike, options?: JoinOptions): Discovery
  /** Leaves a topic; connections stay. Resolves when it is announced no more. */
  leave(topic: KeyLike): Promise<void>
  status(topic: KeyLike): Discovery | null
  /** Keeps a connection to the peer with this key. */
  joinPeer(key: KeyLike): void
  leavePeer(key: KeyLike): void
  /** Resolves when nothing is under way; to `false` when the swarm ended before. */
  flush(): Promise<boolean>
  /** Looks every topic up again. */
  refresh(): void
  /** Dials the relay now rather than at the end of a wait. */
  reconnect(): void
  /** Takes back what was announced (for a second at most, not at all with `force`) and ends every connection it brought. */
  destroy(options?: { force?: boolean }): Promise<void>
}

// ── Hypercore ───────────────────────────────────────────────────────────────────────────────────────────────────

export type ValueEncoding = 'binary' | 'utf-8' | 'json'
/** What `append` takes: strings are UTF-8, other values need `valueEncoding: 'json'`. */
export type Value = Uint8Array | string | unknown

export interface SessionOptions {
  valueEncoding?: ValueEncoding
  encryptionKey?: KeyLike
  writable?: boolean
  wait?: boolean
  timeout?: number
}

export interface GetOptions {
  /** `false`: `null` at once for a block that is not stored. */
  wait?: boolean
  /** Milliseconds; 0 waits without end. */
  timeout?: number
  /** The stored bytes, neither decrypted nor decoded. */
  raw?: boolean
  valueEncoding?: ValueEncoding
  signal?: AbortSignal
}

export interface UpdateOptions {
  /**
   * Wait for peers. When not given: only if a peer replicates this core, or a connection is being made for the first
   * time.
   */
  wait?: boolean
  /** Milliseconds after which it gives up (`REQUEST_TIMEOUT`); 0, or nothing, for never. */
  timeout?: number
  signal?: AbortSignal
}

export interface DownloadRange {
  /** First block; 0 when not given. */
  start?: number
  /** First block past the range; without it (or `-1`) the download follows the log as it grows and never is done. */
  end?: number
  /** These blocks instead of a range. */
  blocks?: Iterable<number>
  /** In order. */
  linear?: boolean
  /** Milliseconds after which it is given up (`REQUEST_TIMEOUT`); 0, or nothing, for never. */
  timeout?: number
  signal?: AbortSignal
}

export interface Download {
  /** Resolves when every block is stored; rejects with `REQUEST_CANCELLED` after `destroy()`. */
  done(): Promise<void>
  destroy(): void
}

export interface ReadStreamOptions {
  start?: number
  /** First block past the end. */
  end?: number
  /** Go on with blocks as they are appended. */
  live?: boolean
  /** `true` (the default without `live`): end at the length there is when reading begins. */
  snapshot?: boolean
  wait?: boolean
  timeout?: number
  /** Blocks asked for ahead of the one being read; 16 when not given. */
  readAhead?: number
  valueEncoding?: ValueEncoding
  signal?: AbortSignal
}

export interface ByteStreamOptions {
  byteOffset?: number
  byteLength?: number
  signal?: AbortSignal
}

/** Blocks in order: `for await (const block of stream)`. Leaving the loop, or `destroy()`, stops the reading. */
export interface ReadStream<T> extends AsyncIterableIterator<T> {
  destroy(): void
}

export interface Peer {
  /** The connection it came over. */
  readonly connection: Connection
  readonly remotePublicKey: Uint8Array
}

export interface Info {
  key: Uint8Array
  discoveryKey: Uint8Array
  length: number
  byteLength: number
  fork: number
  contiguousLength: number
  /** The longest contiguous length any peer has said. */
  remoteContiguousLength: number
  /** Blocks stored here. */
  storedBlocks: number
  writable: boolean
  encrypted: boolean
  /** A conflict was proved: two histories are signed for this key. */
  frozen: boolean
  /** Peers replicating this core now. */
  peers: number
}

export interface ExtensionHandlers {
  onmessage?(payload: Uint8Array, peer: Peer): void
}

export interface Extension {
  readonly name: string
  /** Sends to every peer of this core; peers without the extension ignore it. */
  broadcast(payload: Uint8Array | string): void
  destroy(): void
}

export type HypercoreEvents = {
  ready: []
  /** The log grew, by an own append or by a peer's proof. */
  append: []
  /** The log was cut to `length` blocks and is on `fork` now. */
  truncate: [length: number, fork: number]
  /** A block arrived from a peer, was verified and is stored. */
  download: [index: number, byteLength: number, peer: Peer | null]
  /** A block was sent to a peer. */
  upload: [index: number, byteLength: number, peer: Peer | null]
  /** Stored blocks `start` to `end` (not included) were dropped. */
  clear: [start: number, end: number]
  /** The core left the store; the session closes. */
  purge: []
  'peer-add': [peer: Peer]
  'peer-remove': [peer: Peer]
  /** Two valid signatures over different histories: the core is frozen. */
  conflict: [length: number, fork: number]
  /** A peer sent something untrue; nothing of it was stored. */
  'verification-error': [error: Error, peer: Peer | null]
  'remote-contiguous-length': [length: number]
  close: []
}

export class Hypercore extends Emitter<HypercoreEvents> {
  /** 32 bytes; `null` until open unless it was given. */
  readonly key: Uint8Array | null
  readonly discoveryKey: Uint8Array | null
  /** The key in z-base-32. */
  readonly id: string | null
  /** Blocks; 0 until open. */
  readonly length: number
  readonly byteLength: number
  readonly fork: number
  /** Blocks from 0 on that are stored without a gap. */
  readonly contiguousLength: number
  readonly remoteContiguousLength: number
  readonly writable: boolean
  /** True until the session is closed. */
  readonly readable: boolean
  readonly encrypted: boolean
  /** True after a conflict: nothing is appended, downloaded or replicated any more. */
  readonly frozen: boolean
  /** The same as `frozen`. */
  readonly conflicted: boolean
  readonly snapshotted: boolean
  readonly opened: boolean
  readonly closed: boolean
  readonly peers: readonly Peer[]

  ready(): Promise<void>

  /** Appends one block, or several as one batch under one signature; resolves when they are stored. */
  append(blocks: Value | Value[]): Promise<{ length: number, byteLength: number }>

  /** A block, from peers if it is not stored. `null` only with `wait: false`. */
  get(index: number, options: GetOptions & { raw: true }): Promise<Uint8Array | null>
  get<T = Uint8Array>(index: number, options?: GetOptions): Promise<T | null>

  /** True when block `start` is stored, or all of `start..end`. */
  has(start: number, end?: number): Promise<boolean>
  /** How many blocks of `start..end` are stored; of all when not given. */
  count(start?: number, end?: number): Promise<number>

  /** Looks for a longer log; resolves to whether it grew. */
  update(options?: UpdateOptions): Promise<boolean>

  /** The block that holds a byte, and the byte's offset in it; `null` when past the end. */
  seek(byteOffset: number, options?: { timeout?: number, signal?: AbortSignal }): Promise<[block: number, offset: number] | null>

  /** Downloads blocks in the background. */
  download(range?: DownloadRange): Download

  /** Cuts the log to `length` blocks, on the next fork unless one is given. */
  truncate(length: number, fork?: number): Promise<void>
  /** Drops stored blocks `start` to `end` (not included; one block when not given); they may be fetched again. */
  clear(start: number, end?: number): Promise<void>
  /**
   * Removes the core from the store: blocks, keys, all. Every session of it closes. Getting it by its name makes the same
   * core anew, empty; peers that have its old blocks stop following what is appended to it then.
   */
  purge(): Promise<void>

  createReadStream<T = Uint8Array>(options?: ReadStreamOptions): ReadStream<T>
  createByteStream(options?: ByteStreamOptions): ReadStream<Uint8Array>

  /** A read-only session pinned to the present length. */
  snapshot(options?: SessionOptions): Hypercore
  /** Another session on the same core. */
  session(options?: SessionOptions): Hypercore

  info(): Promise<Info>
  registerExtension(name: string, handlers?: ExtensionHandlers): Extension

  /** Closes the session; what waits on it rejects with `SESSION_CLOSED`. */
  close(): Promise<void>
}

export default Corestore
