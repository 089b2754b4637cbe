//! Standard input on a thread of its own, as lines or as raw chunks, with everything that is ready at once.

use bytes::{Bytes, BytesMut};
use std::io::Read;
use tokio::sync::mpsc;

/// How standard input becomes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// A block a line, without its newline.
    Line,
    /// A block per piece as it arrives.
    Chunk,
    /// No input.
    None,
}

/// Pieces of standard input.
#[derive(Debug)]
pub(crate) struct Input {
    chunks: mpsc::Receiver<Bytes>,
    rest: BytesMut,
    mode: Mode,
    ended: bool,
}

impl Input {
    /// Starts reading. The thread ends with the program.
    pub(crate) fn start(mode: Mode) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS);
        if mode != Mode::None {
            std::thread::spawn(move || pump(&sender));
        }
        Self { chunks, rest: BytesMut::new(), mode, ended: mode == Mode::None }
    }

    /// True when nothing will come any more.
    pub(crate) fn is_over(&self) -> bool {
        self.ended
    }

    /// Waits for input and gives all that is ready (a few megabytes at most); `None` at the end, once.
    pub(crate) async fn next(&mut self) -> Option<Vec<Bytes>> {
        let mut blocks = Vec::new();
        let mut bytes = 0_usize;
        while blocks.is_empty() {
            let Some(chunk) = self.chunks.recv().await else {
                self.ended = true;
                let last = std::mem::take(&mut self.rest).freeze();
                return (!last.is_empty()).then(|| vec![last]);
            };
            bytes = bytes.saturating_add(chunk.len());
            self.take(chunk, &mut blocks);
        }
        while bytes < BATCH_BYTES {
            let Ok(chunk) = self.chunks.try_recv() else { break };
            bytes = bytes.saturating_add(chunk.len());
            self.take(chunk, &mut blocks);
        }
        Some(blocks)
    }

    fn take(&mut self, chunk: Bytes, blocks: &mut Vec<Bytes>) {
        if self.mode == Mode::Chunk {
            blocks.push(chunk);
            return;
        }
        let mut start = 0;
        for (at, _) in chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            let piece = chunk.slice(start..at);
            start = at.saturating_add(1);
            blocks.push(if self.rest.is_empty() {
                piece
            } else {
                self.rest.extend_from_slice(&piece);
                std::mem::take(&mut self.rest).freeze()
            });
        }
        self.rest.extend_from_slice(chunk.get(start..).unwrap_or_default());
    }
}

fn pump(chunks: &mpsc::Sender<Bytes>) {
    let mut buffer = vec![0; READ_BYTES];
    let mut stdin = std::io::stdin().lock();
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                let chunk = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
                if chunks.blocking_send(chunk).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

const READ_BYTES: usize = 64 << 10;
const CHUNKS: usize = 16;
const BATCH_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    async fn blocks(mode: Mode, pieces: &[&str]) -> Vec<String> {
        let (sender, chunks) = mpsc::channel(16);
        for piece in pieces {
            sender.send(Bytes::copy_from_slice(piece.as_bytes())).await.unwrap();
        }
        drop(sender);
        let mut input = Input { chunks, rest: BytesMut::new(), mode, ended: false };
        let mut all = Vec::new();
        while let Some(more) = input.next().await {
            all.extend(more.iter().map(|block| String::from_utf8_lossy(block).into_owned()));
        }
        assert!(input.is_over());
        all
    }

    #[tokio::test]
    async fn lines_are_whole_however_they_arrive() {
        assert_eq!(blocks(Mode::Line, &["a\nb", "c\n", "\nla", "st"]).await, ["a", "bc", "", "last"]);
        assert_eq!(blocks(Mode::Line, &["a\n"]).await, ["a"]);
        assert_eq!(blocks(Mode::Line, &[]).await, [""; 0]);
    }

    #[tokio::test]
    async fn chunks_stay_as_they_are() {
        assert_eq!(blocks(Mode::Chunk, &["a\nb", "c"]).await, ["a\nb", "c"]);
    }
}
