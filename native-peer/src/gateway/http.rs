//! The one port: who asks for what.

use super::admission::{Refusal, forwarded_for};
use super::metrics::Counted;
use super::relay;
use super::shared::{Admitted, Shared};
use crate::transport::MAX_MESSAGE;
use crate::transport::websocket::Messages;
use bytes::Bytes;
use corestore_core::corestore::Role;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::{Role as WsRole, WebSocketConfig};

type Answer = Response<Full<Bytes>>;

/// A TCP connection's place, until nobody uses it.
pub(super) type Ticket = Arc<dyn Send + Sync>;

/// Serves one TCP connection.
pub(super) async fn serve<I>(shared: Arc<Shared>, io: I, peer: IpAddr, ticket: Ticket)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answers = service_fn(|request| {
        let answer = answer(&shared, request, peer, &ticket);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(io), answers)
        .with_upgrades();
    let mut stopping = shared.stopping.clone();
    // Whoever speaks no HTTP was told so; nobody else needs to know.
    tokio::select! {
        served = connection => drop(served),
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
}

fn answer(shared: &Arc<Shared>, mut request: Request<Incoming>, peer: IpAddr, ticket: &Ticket) -> Answer {
    let address = if shared.proxy { forwarded(&request).unwrap_or(peer) } else { peer };
    if wants_websocket(&request) {
        return upgrade(shared, &mut request, address, Arc::clone(ticket));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "GET it\n");
    }
    match request.uri().path() {
        "/health" => health(shared),
        "/metrics" => {
            let mut answer = text(StatusCode::OK, shared.metrics.text());
            let kind = HeaderValue::from_static("text/plain; version=0.0.4");
            answer.headers_mut().insert(header::CONTENT_TYPE, kind);
            answer
        }
        path => match shared.page.get(path) {
            Some(file) => {
                let mut answer = Response::new(Full::new(file.bytes.clone()));
                let headers = answer.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.media_type));
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
                answer
            }
            None if path == "/" => text(StatusCode::OK, WITHOUT_PAGE),
            None => text(StatusCode::NOT_FOUND, "there is no such file\n"),
        },
    }
}

fn wants_websocket(request: &Request<Incoming>) -> bool {
    let named = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    named.is_some_and(|named| named.eq_ignore_ascii_case("websocket"))
}

fn forwarded(request: &Request<Incoming>) -> Option<IpAddr> {
    let last = request.headers().get_all("x-forwarded-for").iter().next_back()?;
    forwarded_for(last.to_str().ok()?)
}

fn upgrade(shared: &Arc<Shared>, request: &mut Request<Incoming>, address: IpAddr, ticket: Ticket) -> Answer {
    if *shared.stopping.borrow() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the gateway shuts down\n");
    }
    let admitted = match shared.enter(address) {
        Ok(admitted) => admitted,
        Err(reason) => return refuse(reason),
    };
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.version_mut() = request.version();
    *head.headers_mut() = request.headers().clone();
    let Ok(accepted) = create_response(&head) else {
        return text(StatusCode::BAD_REQUEST, "this is no WebSocket handshake\n");
    };
    let replicate = request.uri().path() == "/replicate";
    let upgraded = hyper::upgrade::on(request);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let Ok(io) = upgraded.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(io), WsRole::Server, Some(config())).await;
        match replicate {
            true => serve_store(&shared, admitted, Messages::new(socket)).await,
            false => relay::run(shared, admitted, socket).await,
        }
        drop(ticket);
    });
    accepted.map(|()| Full::default())
}

/// The gateway's own store, over one WebSocket.
async fn serve_store<S>(shared: &Shared, admitted: Admitted, stream: S)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let counted = Counted::new(&shared.metrics, |metrics| &metrics.replicating, 1);
    if let Ok(connection) = shared.store.replicate(stream, Role::Responder) {
        let mut stopping = shared.stopping.clone();
        tokio::select! {
            _ = connection.closed() => {}
            _ = stopping.wait_for(|stopping| *stopping) => connection.close(),
        }
    }
    drop((counted, admitted));
}

fn health(shared: &Shared) -> Answer {
    let ok = !*shared.stopping.borrow();
    let (key, connections) = (shared.key_pair.public_key(), shared.metrics.connections.get());
    let body = format!("{{\"ok\":{ok},\"publicKey\":\"{key}\",\"connections\":{connections}}}\n");
    let mut answer = text(if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn refuse(reason: Refusal) -> Answer {
    let status = if reason == Refusal::Full { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::TOO_MANY_REQUESTS };
    let mut answer = text(status, format!("{reason}\n"));
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    answer
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(MAX_UNSENT)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

const WITHOUT_PAGE: &str = "A gateway of Corestore. It serves no page: start it with --page.\n";
/// How long the head of a request may take, and a silence between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// What a WebSocket keeps for reading and for writing, in bytes: an idle one is cheap.
const BUFFER: usize = 4 << 10;
/// Bytes of messages not yet on the socket before writing waits.
const MAX_UNSENT: usize = MAX_MESSAGE + (1 << 20);
