//! A download under way.

use crate::error::ReadError;
use crate::request::Request;
use corestore_core::crypto::CoreKey;

/// A range being downloaded. Dropping it stops asking for what is not here yet.
#[derive(Debug)]
#[must_use = "dropping a download cancels it"]
pub struct Download {
    core: CoreKey,
    request: Request,
}

impl Download {
    pub(crate) fn new(core: CoreKey, request: Request) -> Self {
        Self { core, request }
    }

    /// Waits until every block is stored; a range without an end never is.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn done(self) -> Result<(), ReadError> {
        self.request.await.map(|_| ()).map_err(|failure| ReadError::of(self.core, failure))
    }

    /// Stops asking.
    pub fn cancel(self) {}
}
