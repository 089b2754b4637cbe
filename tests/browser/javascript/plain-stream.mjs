// A WebSocket as the stream that Protomux wants, without a handshake: sodium-javascript has no scalar multiplication on
// Edwards25519, which the handshake needs, so that Hypercore's own stream does not run in a browser.
import { Duplex } from 'streamx'

export class PlainStream extends Duplex {
  constructor (socket, isInitiator) {
    super()
    Object.assign(this, { socket, isInitiator, userData: null, keepAlive: 0, rawStream: this, noiseStream: this })
    this.opened = Promise.resolve(true)
    this.handshakeHash = Buffer.alloc(64, 7)
    this.publicKey = Buffer.alloc(32, isInitiator ? 1 : 2)
    this.remotePublicKey = Buffer.alloc(32, isInitiator ? 2 : 1)
    socket.binaryType = 'arraybuffer'
    socket.onmessage = ({ data }) => this.push(Buffer.from(data))
    socket.onclose = () => this.destroy()
  }

  setKeepAlive () {}

  _write (data, done) {
    this.socket.send(data)
    done(null)
  }

  _destroy (done) {
    this.socket.close()
    done(null)
  }
}
