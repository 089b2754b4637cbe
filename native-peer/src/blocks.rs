//! A core's blocks in order, fetched ahead of the reader.

use crate::error::ReadError;
use crate::hypercore::Hypercore;
use crate::request::Request;
use bytes::Bytes;
use corestore_core::corestore::GetOptions;
use futures_util::Stream;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A stream of `(index, block)`. Ends after an error. Dropping it gives up what was asked for ahead.
#[derive(Debug)]
pub struct Blocks {
    core: Hypercore,
    ahead: VecDeque<(u64, Request)>,
    next: u64,
    end: Option<u64>,
    failed: bool,
}

impl Blocks {
    pub(crate) fn new(core: Hypercore, start: u64, end: Option<u64>) -> Self {
        Self { core, ahead: VecDeque::new(), next: start, end, failed: false }
    }

    /// The next block; `None` at the end.
    pub async fn next_block(&mut self) -> Option<Result<(u64, Bytes), ReadError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Asks for blocks up to the window's end; past the log's present end for one only.
    fn fill(&mut self) {
        if self.ahead.len() > WINDOW / 2 {
            return;
        }
        let length = self.core.length();
        while self.ahead.len() < WINDOW
            && self.end.is_none_or(|end| self.next < end)
            && (self.next < length || self.ahead.is_empty())
        {
            let request = self.core.session().get(self.next, GetOptions::default());
            self.ahead.push_back((self.next, request));
            self.next = self.next.saturating_add(1);
        }
    }
}

impl Stream for Blocks {
    type Item = Result<(u64, Bytes), ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.failed {
            return Poll::Ready(None);
        }
        self.fill();
        let Some((index, request)) = self.ahead.front_mut() else { return Poll::Ready(None) };
        let index = *index;
        let Poll::Ready(answer) = Pin::new(request).poll(context) else { return Poll::Pending };
        self.ahead.pop_front();
        Poll::Ready(match self.core.session().block(answer) {
            Ok(block) => block.map(|block| Ok((index, block))),
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        })
    }
}

/// Blocks asked for ahead.
const WINDOW: usize = 64;
