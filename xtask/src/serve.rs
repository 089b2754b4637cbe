//! A small static server on loopback, for the page.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Serves a folder from threads of its own until the program ends; its address. The port that was asked for keeps the
/// page's origin, and so its stored cores; when it is taken another one serves.
pub(crate) fn start(folder: PathBuf, port: u16) -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .map_err(|error| format!("cannot listen on loopback: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("the listener has no address: {error}"))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            let folder = folder.clone();
            // A connection that breaks off concerns nobody else.
            std::thread::spawn(move || drop(answer(stream, &folder)));
        }
    });
    Ok(address)
}

/// One request a connection.
fn answer(stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?.take(LONGEST_REQUEST));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method != "GET" && method != "HEAD" {
        return reply(stream, "405 Method Not Allowed", "text/plain", b"only GET and HEAD", true);
    }
    match file(folder, target).and_then(|path| Some((std::fs::read(&path).ok()?, media_type(&path)))) {
        Some((body, kind)) => reply(stream, "200 OK", kind, &body, method == "GET"),
        None => reply(stream, "404 Not Found", "text/plain", b"no such file", method == "GET"),
    }
}

fn reply(mut stream: TcpStream, status: &str, kind: &str, body: &[u8], with_body: bool) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-cache\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    if with_body {
        stream.write_all(body)?;
    }
    stream.flush()
}

/// The file a request names; none outside the folder.
fn file(folder: &Path, target: &str) -> Option<PathBuf> {
    let path = target.split(['?', '#']).next()?.trim_start_matches('/');
    let path = Path::new(if path.is_empty() { "index.html" } else { path });
    path.components().all(|part| matches!(part, Component::Normal(_))).then(|| folder.join(path))
}

fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_REQUEST: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::file;
    use std::path::Path;

    #[test]
    fn only_files_below_the_folder_are_served() {
        let folder = Path::new("site");
        assert_eq!(file(folder, "/?peer=ws://h:1"), Some(folder.join("index.html")));
        assert_eq!(file(folder, "/js/a.js"), Some(folder.join("js/a.js")));
        assert_eq!(file(folder, "/../secret"), None);
        assert_eq!(file(folder, "/a/../../secret"), None);
    }
}
