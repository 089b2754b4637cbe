//! Events to many subscribers, each with a bounded queue of its own. Nobody waits for a slow subscriber: progress it
//! has no room for is counted and told as one event; changes of state are always kept.

use futures_util::Stream;
use futures_util::task::AtomicWaker;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

/// Events a subscriber may miss.
pub trait Lagging: Clone {
    /// True when the event only tells of progress, which a slow subscriber can look up later.
    fn is_progress(&self) -> bool;
    /// The event that tells a subscriber how many it missed.
    fn lagged(missed: u64) -> Self;
}

/// A stream of events, from the moment of subscribing to the close of the store.
///
/// A subscriber that has 1024 events waiting misses further progress events; the next one it gets after those
/// waiting says how many. Truncations, conflicts and disconnections are never missed.
#[derive(Debug)]
pub struct Subscription<E>(Arc<Queue<E>>);

/// Events kept for a subscriber before it misses any.
const CAPACITY: usize = 1024;

#[derive(Debug)]
struct Queue<E> {
    inner: Mutex<Inner<E>>,
    waker: AtomicWaker,
}

#[derive(Debug)]
struct Inner<E> {
    events: VecDeque<E>,
    missed: u64,
    closed: bool,
}

impl<E: Lagging> Subscription<E> {
    /// The next event; `None` once the store is closed and every event was taken.
    pub async fn next_event(&mut self) -> Option<E> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The next event, if one is there already.
    pub fn try_next_event(&mut self) -> Option<E> {
        self.0.lock().take()
    }
}

impl<E: Lagging> Stream for Subscription<E> {
    type Item = E;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<E>> {
        self.0.waker.register(context.waker());
        let mut inner = self.0.lock();
        match inner.take() {
            Some(event) => Poll::Ready(Some(event)),
            None if inner.closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<E> Queue<E> {
    fn lock(&self) -> MutexGuard<'_, Inner<E>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Lagging> Inner<E> {
    fn take(&mut self) -> Option<E> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let missed = std::mem::take(&mut self.missed);
        (missed > 0).then(|| E::lagged(missed))
    }

    fn put(&mut self, event: &E) {
        if event.is_progress() && self.missed == 0 && self.events.len() < CAPACITY {
            self.events.push_back(event.clone());
        } else if event.is_progress() {
            self.missed = self.missed.saturating_add(1);
        } else {
            let missed = std::mem::take(&mut self.missed);
            if missed > 0 {
                self.events.push_back(E::lagged(missed));
            }
            self.events.push_back(event.clone());
        }
    }
}

/// The sending side of any number of subscriptions.
#[derive(Debug)]
pub(crate) struct Publisher<E>(Vec<Weak<Queue<E>>>);

impl<E> Default for Publisher<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E: Lagging> Publisher<E> {
    pub(crate) fn subscribe(&mut self, closed: bool) -> Subscription<E> {
        let inner = Mutex::new(Inner { events: VecDeque::new(), missed: 0, closed });
        let queue = Arc::new(Queue { inner, waker: AtomicWaker::new() });
        self.0.push(Arc::downgrade(&queue));
        Subscription(queue)
    }

    pub(crate) fn publish(&mut self, event: &E) {
        self.each(|inner| inner.put(event));
    }

    pub(crate) fn close(&mut self) {
        self.each(|inner| inner.closed = true);
    }

    /// True when nobody listens.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.iter().all(|queue| queue.strong_count() == 0)
    }

    fn each(&mut self, act: impl Fn(&mut Inner<E>)) {
        self.0.retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            act(&mut queue.lock());
            queue.waker.wake();
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    enum Event {
        Progress(usize),
        Change,
        Lagged(u64),
    }

    impl Lagging for Event {
        fn is_progress(&self) -> bool {
            matches!(self, Self::Progress(_))
        }

        fn lagged(missed: u64) -> Self {
            Self::Lagged(missed)
        }
    }

    #[test]
    fn a_slow_subscriber_misses_progress_but_no_change() {
        let mut publisher = Publisher::default();
        let mut slow = publisher.subscribe(false);
        (0..CAPACITY + 3).for_each(|at| publisher.publish(&Event::Progress(at)));
        publisher.publish(&Event::Change);
        publisher.publish(&Event::Progress(0));
        let all: Vec<Event> = std::iter::from_fn(|| slow.try_next_event()).collect();
        assert_eq!(all.len(), CAPACITY + 3);
        assert_eq!(all[CAPACITY - 1], Event::Progress(CAPACITY - 1));
        assert_eq!(all[CAPACITY..], [Event::Lagged(3), Event::Change, Event::Lagged(1)]);
        publisher.publish(&Event::Progress(7));
        assert_eq!(slow.try_next_event(), Some(Event::Progress(7)));
    }

    #[test]
    fn dropped_subscriptions_are_forgotten() {
        let mut publisher = Publisher::<Event>::default();
        let subscription = publisher.subscribe(false);
        assert!(!publisher.is_idle());
        drop(subscription);
        assert!(publisher.is_idle());
    }
}
