//! Following one core: every block in order, again from where it was cut after a truncation.

use crate::failure::Failure;
use bytes::Bytes;
use corestore_peer::{CoreEvent, CoreKey, Hypercore, ReadError, Subscription};
use tokio::sync::mpsc;

/// What a followed core has to tell.
#[derive(Debug)]
pub(crate) enum News {
    Block { core: CoreKey, seq: u64, block: Bytes, fork: u64 },
    Truncated { core: CoreKey, length: u64, fork: u64 },
    Refused { core: CoreKey, reason: String },
    Failed { core: CoreKey, seq: u64, error: ReadError },
}

/// Follows `core` from block `next` on until nobody listens or reading fails for good.
pub(crate) async fn follow(core: Hypercore, mut next: u64, news: mpsc::Sender<News>) {
    let mut events = core.subscribe();
    loop {
        let mut blocks = core.live_blocks(next);
        let told = loop {
            let read = tokio::select! {
                biased;
                event = events.next_event() => match event {
                    Some(event) => Err(event),
                    None => return,
                },
                read = blocks.next_block() => Ok(read),
            };
            match read {
                Ok(None) => return,
                Ok(Some(Err(error))) => break News::Failed { core: core.key(), seq: next, error },
                Ok(Some(Ok((seq, block)))) => {
                    let fork = core.fork();
                    // A truncation may have overtaken the block: then it is read again.
                    if let Some(news) = pending(&mut events, core.key()) {
                        break news;
                    }
                    next = seq.saturating_add(1);
                    if news.send(News::Block { core: core.key(), seq, block, fork }).await.is_err() {
                        return;
                    }
                }
                Err(event) => {
                    if let Some(news) = important(event, core.key()) {
                        break news;
                    }
                }
            }
        };
        let over = matches!(told, News::Failed { .. });
        if let News::Truncated { length, .. } = &told {
            next = next.min(*length);
        }
        if news.send(told).await.is_err() || over {
            return;
        }
    }
}

fn pending(events: &mut Subscription<CoreEvent>, core: CoreKey) -> Option<News> {
    std::iter::from_fn(|| events.try_next_event()).find_map(|event| important(event, core))
}

fn important(event: CoreEvent, core: CoreKey) -> Option<News> {
    match event {
        CoreEvent::Truncated { length, fork } => Some(News::Truncated { core, length, fork }),
        CoreEvent::VerificationFailed { reason, .. } => Some(News::Refused { core, reason }),
        CoreEvent::Conflicted { .. } => Some(News::Failed { core, seq: 0, error: ReadError::Conflict { core } }),
        _ => None,
    }
}

/// The one sentence that ends the program.
pub(crate) fn sentence(error: ReadError) -> Failure {
    match error {
        ReadError::WrongEncryptionKey { core } => Failure::sentence(format!(
            "the blocks of core {core} do not decrypt: the encryption key is wrong, or the core is not encrypted"
        )),
        other => Failure::from(other),
    }
}
