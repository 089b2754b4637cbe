// What a router does to ports, by UDP datagrams.
//   node ports.mjs echo HOST   says {"ports":[…]}; tells whoever asks one of them the port it sees, and knocks at that
//                              port from one that was not asked
//   node ports.mjs ask HOST PORT…   asks each of the ports from one socket; says {"seen":[…],"knocked":BOOLEAN}
import { createSocket } from 'node:dgram'
import { say } from './common.mjs'

const [mode, host, ...ports] = process.argv.slice(2)

const bound = (address) => new Promise((resolve) => {
  const socket = createSocket('udp4')
  socket.bind(0, address, () => resolve(socket))
})

async function echo () {
  const stranger = await bound(host)
  const sockets = await Promise.all([1, 2, 3].map(() => bound(host)))
  for (const socket of sockets) {
    socket.on('message', (_, { address, port }) => {
      stranger.send('knock', port, address, () => socket.send(String(port), port, address))
    })
  }
  say({ ports: sockets.map((socket) => socket.address().port) })
}

async function ask () {
  const socket = await bound('0.0.0.0')
  const seen = []
  let knocked = false
  socket.on('message', (message) => {
    if (String(message) === 'knock') knocked = true
    else seen.push(Number(message))
    if (seen.length < ports.length) return
    say({ seen, knocked })
    socket.close()
  })
  for (const port of ports) socket.send('port?', Number(port), host)
}

await (mode === 'echo' ? echo() : ask())
