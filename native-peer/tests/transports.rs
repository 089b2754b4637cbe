//! Sockets: busy ports, lost peers, strangers.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

mod common;

use common::{in_time, store, until};
use corestore_peer::transport::DialState;
use corestore_peer::{CloseReason, Corestore, Ended, Options, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A frame of five bytes that is no handshake, and more.
const GARBAGE: [u8; 64] = {
    let mut bytes = [0xa5; 64];
    bytes[0] = 5;
    bytes[1] = 0;
    bytes[2] = 0;
    bytes
};

#[tokio::test]
async fn a_busy_port_is_named() {
    let busy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let error = store().listen_tcp(address.as_str()).await.unwrap_err();
    assert_eq!(error.address, address);
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address));
}

#[tokio::test]
async fn a_lost_peer_is_dialled_again() {
    let (writer, reader) = (store(), store());
    let core = writer.get("log").await.unwrap();
    let listener = writer.listen_tcp("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    let dialer = reader.dial_tcp(address.to_string());
    let copy = reader.get(core.key()).await.unwrap();
    core.append("one").await.unwrap();
    assert_eq!(in_time(copy.get(0)).await.unwrap(), "one");
    drop(listener);
    let id = writer.connections()[0].connection;
    let mut state = dialer.state();
    writer.close().await.unwrap();
    in_time(state.wait_for(|state| matches!(state, DialState::Lost(_)))).await.unwrap();
    in_time(state.wait_for(|state| matches!(state, DialState::Failed(_)))).await.unwrap();
    let other = store();
    let again = other.listen_tcp(address).await.unwrap();
    in_time(state.wait_for(|state| matches!(state, DialState::Connected(_)))).await.unwrap();
    until(|| other.connections().len() == 1).await;
    drop(dialer);
    until(|| other.connections().is_empty()).await;
    drop(again);
    let _ = id;
}

#[tokio::test]
async fn garbage_ends_only_its_own_connection() {
    let (writer, reader) = (store(), store());
    let core = writer.get("log").await.unwrap();
    core.append("one").await.unwrap();
    let listener = writer.listen_tcp("127.0.0.1:0").await.unwrap();
    let mut stranger = TcpStream::connect(listener.local_addr()).await.unwrap();
    stranger.write_all(&GARBAGE).await.unwrap();
    let mut rest = Vec::new();
    // Closed or reset: either way it is over.
    let _ = in_time(stranger.read_to_end(&mut rest)).await;
    let connection = reader.connect_tcp(listener.local_addr().to_string()).await.unwrap();
    let copy = reader.get(core.key()).await.unwrap();
    assert_eq!(in_time(copy.get(0)).await.unwrap(), "one");
    connection.close();
    assert!(matches!(in_time(connection.closed()).await, Ended::Closed(CloseReason::Local)));
}

#[tokio::test]
async fn a_violation_is_named() {
    let store = store();
    let (ours, mut theirs) = tokio::io::duplex(64 << 10);
    let connection = store.replicate(ours, Role::Responder).unwrap();
    theirs.write_all(&GARBAGE).await.unwrap();
    let ended = in_time(connection.closed()).await;
    assert!(matches!(ended, Ended::Closed(CloseReason::Violation(_))), "{ended}");
}

#[tokio::test]
async fn connections_past_the_limit_are_closed() {
    let limited = Corestore::in_memory(&Options::default().max_connections(2)).unwrap();
    let held: Vec<_> = (0..2)
        .map(|_| {
            let (ours, theirs) = tokio::io::duplex(1024);
            (limited.replicate(ours, Role::Responder).unwrap(), theirs)
        })
        .collect();
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let refused = limited.replicate(ours, Role::Responder).unwrap();
    let ended = in_time(refused.closed()).await;
    assert!(matches!(&ended, Ended::Closed(CloseReason::Violation(fault)) if fault.contains("too many")), "{ended}");
    assert_eq!(in_time(theirs.read(&mut [0; 8])).await.unwrap(), 0);
    drop(held);
    until(|| limited.connections().is_empty()).await;
    let (ours, _theirs) = tokio::io::duplex(1024);
    limited.replicate(ours, Role::Responder).unwrap();
    assert_eq!(limited.connections().len(), 1);
}

#[tokio::test]
async fn a_browser_at_the_websocket_port_is_told_what_it_is() {
    let store = store();
    let listener = store.listen_websocket("127.0.0.1:0").await.unwrap();
    let mut browser = TcpStream::connect(listener.local_addr()).await.unwrap();
    browser.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    in_time(browser.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{answer}");
}
