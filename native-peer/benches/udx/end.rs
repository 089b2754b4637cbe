//! Our end of a measurement; the same lines as `tests/js/udx.mjs` in its modes `pour` and `measure`.

use corestore_peer::swarm::udp::Udp;
use corestore_peer::swarm::udx::{Config, Firewall, Remote, StreamId, StreamOptions};
use corestore_peer::swarm::udx_stream::UdxStream;
use std::io::BufRead;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Runs one end: MODE OWN_ID REMOTE_ID BYTES.
pub(crate) fn run(arguments: &[String]) {
    let [mode, own, other, bytes] = arguments else { panic!("MODE OWN_ID REMOTE_ID BYTES") };
    let (own, other, bytes) = (own.parse().unwrap(), other.parse().unwrap(), bytes.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(serve(mode, own, other, bytes));
}

async fn serve(mode: &str, own: u32, other: u32, bytes: u64) {
    let (udp, _) = Udp::new(Config::default(), [1; 32], 1);
    let (socket, local) = udp.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let options = StreamOptions { firewall: Firewall::Accept, ..StreamOptions::default() };
    let mut stream = udp.open(StreamId(own), options).unwrap();
    println!("{{\"port\":{}}}", local.port());
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
    let port: String = line.chars().filter(char::is_ascii_digit).collect();
    let address = ([127, 0, 0, 1], port.parse::<u16>().unwrap()).into();
    stream.connect(Remote { socket, address, id: other }, None).unwrap();
    if mode == "pour" {
        pour(&mut stream, bytes).await
    } else {
        measure(&mut stream).await
    }
    let retransmits = stream.stats().retransmits;
    let reason = stream.closed().await;
    println!("{{\"closed\":\"{reason}\",\"retransmits\":{retransmits}}}");
}

async fn pour(stream: &mut UdxStream, bytes: u64) {
    let zeros = vec![0; 65_536];
    let mut left = bytes;
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        stream.write_all(zeros.get(..size).unwrap()).await.unwrap();
        left -= u64::try_from(size).unwrap();
    }
    stream.shutdown().await.unwrap();
}

async fn measure(stream: &mut UdxStream) {
    let mut buffer = vec![0; 256 * 1024];
    let (mut received, mut start) = (0, Instant::now());
    loop {
        let length = stream.read(&mut buffer).await.unwrap();
        if received == 0 {
            start = Instant::now();
        }
        if length == 0 {
            break;
        }
        received += length;
    }
    println!("{{\"received\":{received},\"ms\":{}}}", start.elapsed().as_secs_f64() * 1000.0);
    stream.shutdown().await.unwrap();
}
