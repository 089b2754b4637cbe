//! A link on real sockets that loses and delays.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Two sockets; what comes in on one goes out of the other. Ends when dropped.
pub(crate) struct LossyLink {
    /// Where the second end finds the first.
    pub(crate) towards_first: SocketAddr,
    /// Where the first end finds the second.
    pub(crate) towards_second: SocketAddr,
    ended: Arc<AtomicBool>,
}

#[derive(Default)]
struct Pipe {
    queue: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    filled: Condvar,
}

impl LossyLink {
    /// A link between two ends. `loss` in per cent, `delay` in ms, one way.
    pub(crate) fn start(first: SocketAddr, second: SocketAddr, loss: u64, delay: u64) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (at_first, at_second) = (socket(), socket());
        let addresses = (at_second.local_addr().unwrap(), at_first.local_addr().unwrap());
        let delay = Duration::from_millis(delay);
        carry(&at_first, &at_second, second, (loss, delay), &ended);
        carry(&at_second, &at_first, first, (loss, delay), &ended);
        Self { towards_first: addresses.0, towards_second: addresses.1, ended }
    }
}

impl Drop for LossyLink {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    socket
}

/// Takes from `inward`, gives to `to` through `outward`.
fn carry(
    inward: &UdpSocket,
    outward: &UdpSocket,
    to: SocketAddr,
    (loss, delay): (u64, Duration),
    ended: &Arc<AtomicBool>,
) {
    let pipe = Arc::new(Pipe::default());
    let (inward, outward) = (inward.try_clone().unwrap(), outward.try_clone().unwrap());
    let (taking, done) = (Arc::clone(&pipe), Arc::clone(ended));
    std::thread::spawn(move || {
        let (mut buffer, mut random) = ([0; 65_536], 0x9e37_79b9_7f4a_7c15u64 ^ u64::from(to.port()));
        while !done.load(Ordering::Relaxed) {
            let Ok(length) = inward.recv(&mut buffer) else { continue };
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if random % 1000 >= loss * 10 {
                let datagram = buffer.get(..length).unwrap_or_default().to_vec();
                taking.queue.lock().unwrap().push_back((Instant::now() + delay, datagram));
                taking.filled.notify_one();
            }
        }
    });
    let done = Arc::clone(ended);
    std::thread::spawn(move || {
        while !done.load(Ordering::Relaxed) {
            let mut queue = pipe.queue.lock().unwrap();
            let Some((due, _)) = queue.front() else {
                drop(pipe.filled.wait_timeout(queue, Duration::from_millis(100)).unwrap());
                continue;
            };
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                drop(queue);
                std::thread::sleep(wait);
                continue;
            }
            let (_, datagram) = queue.pop_front().unwrap();
            drop(queue);
            let _ = outward.send_to(&datagram, to);
        }
    });
}
