//! The HTTP request that opens a WebSocket, and answers for those that do not.

use bytes::BytesMut;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http;

/// Reads the request and accepts it. Gives what came after it; `None` when the request was answered with a refusal.
pub(super) async fn accept<S>(stream: &mut S) -> io::Result<Option<Vec<u8>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let read = tokio::time::timeout(HEAD_TIMEOUT, read_head(stream)).await;
    let (request, rest) = match read.unwrap_or(Ok(Err("408 Request Timeout")))? {
        Ok(found) => found,
        Err(status) => {
            refuse(stream, status).await?;
            return Ok(None);
        }
    };
    match create_response(&request) {
        Ok(response) => {
            let mut head = Vec::new();
            write_response(&mut head, &response).map_err(io::Error::other)?;
            stream.write_all(&head).await?;
            stream.flush().await?;
            Ok(Some(rest))
        }
        Err(_) => {
            refuse(stream, "426 Upgrade Required").await?;
            Ok(None)
        }
    }
}

type Head = Result<(Request, Vec<u8>), &'static str>;

async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Head> {
    let mut buffer = BytesMut::with_capacity(1024);
    loop {
        if let Some(head) = parse(&buffer) {
            return Ok(head);
        }
        if buffer.len() >= MAX_HEAD {
            return Ok(Err("431 Request Header Fields Too Large"));
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// `None` while the head is incomplete.
fn parse(bytes: &[u8]) -> Option<Head> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return None,
        Err(_) => return Some(Err("400 Bad Request")),
    };
    let version = if parsed.version == Some(1) { http::Version::HTTP_11 } else { http::Version::HTTP_10 };
    let mut request = http::Request::builder()
        .method(parsed.method.unwrap_or_default())
        .uri(parsed.path.unwrap_or_default())
        .version(version);
    for header in parsed.headers.iter() {
        request = request.header(header.name, header.value);
    }
    let rest = bytes.get(length..).unwrap_or_default().to_vec();
    Some(request.body(()).map(|request| (request, rest)).map_err(|_| "400 Bad Request"))
}

async fn refuse<S: AsyncWrite + Unpin>(stream: &mut S, status: &str) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 {status}\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{EXPLANATION}",
        EXPLANATION.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

const EXPLANATION: &str = "This is a Corestore peer's WebSocket port: dial it with a Corestore page or program.\n";
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    async fn answer(request: &[u8]) -> (String, Option<Vec<u8>>) {
        let (mut client, mut server) = tokio::io::duplex(64 << 10);
        client.write_all(request).await.unwrap();
        let rest = accept(&mut server).await.unwrap();
        drop(server);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        (text, rest)
    }

    #[tokio::test]
    async fn a_websocket_is_accepted_and_early_bytes_are_kept() {
        let (text, rest) = answer(format!("{GOOD}early").as_bytes()).await;
        assert!(text.starts_with("HTTP/1.1 101"), "{text}");
        assert!(text.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{text}");
        assert_eq!(rest, Some(b"early".to_vec()));
    }

    #[tokio::test]
    async fn strangers_get_an_answer() {
        for (request, status) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "426"),
            (GOOD.replace("Version: 13", "Version: 8"), "426"),
            ("\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), "400"),
            (format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(MAX_HEAD)), "431"),
        ] {
            let (text, rest) = answer(request.as_bytes()).await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
            assert!(text.ends_with(EXPLANATION));
            assert_eq!(rest, None);
        }
    }
}
