//! What ends the program early: one sentence on standard error.

use corestore_peer::transport::ListenError;
use corestore_peer::{OpenError, OpenStoreError, ReadError, StorageError, WriteError};
use std::io;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Sentence(String),
    #[error(transparent)]
    OpenStore(#[from] OpenStoreError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Standard output was closed by whoever read it.
    #[error("standard output was closed")]
    OutputGone,
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

impl Failure {
    pub(crate) fn sentence(text: impl Into<String>) -> Self {
        Self::Sentence(text.into())
    }
}
