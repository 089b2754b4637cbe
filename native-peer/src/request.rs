//! One command on its way: answered already, or waited for. Dropping it gives it up.

use crate::machine::Machine;
use corestore_core::corestore::{CommandError, Outcome, RequestId};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// What a command came to.
pub(crate) type Answer = Result<Outcome, Failure>;

/// Why a command has no outcome.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The store was closed.
    Closed,
    Command(CommandError),
}

/// A future of an [`Answer`].
#[derive(Debug)]
pub(crate) struct Request(State);

#[derive(Debug)]
enum State {
    Answered(Answer),
    Waiting { machine: Arc<Machine>, id: RequestId, receiver: oneshot::Receiver<Answer> },
    Over,
}

impl Request {
    pub(crate) fn answered(answer: Answer) -> Self {
        Self(State::Answered(answer))
    }

    pub(crate) fn waiting(machine: Arc<Machine>, id: RequestId, receiver: oneshot::Receiver<Answer>) -> Self {
        Self(State::Waiting { machine, id, receiver })
    }
}

impl Future for Request {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        if let State::Waiting { receiver, .. } = &mut self.0 {
            return Pin::new(receiver).poll(context).map(|answer| {
                self.0 = State::Over;
                answer.unwrap_or(Err(Failure::Closed))
            });
        }
        match std::mem::replace(&mut self.0, State::Over) {
            State::Answered(answer) => Poll::Ready(answer),
            // Polled after its end.
            State::Waiting { .. } | State::Over => Poll::Pending,
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let State::Waiting { machine, id, .. } = &self.0 {
            machine.cancel(*id);
        }
    }
}
