//! A native Corestore peer over tokio.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use corestore_peer::{Corestore, Options};
//!
//! let store = Corestore::open("./data", Options::default()).await?;
//! let core = store.get("notes").await?;
//! core.append("hello").await?;
//! let listener = store.listen_tcp("127.0.0.1:0").await?;
//! println!("{} at {}", core.key(), listener.local_addr());
//! # Ok(())
//! # }
//! ```
//!
//! Local work pays no thread hop: a handle enters the machine in place, under one lock, and returns at once when the
//! answer is there. Everything runs inside a tokio runtime; none of its features beyond `net` and `time` is needed.
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "a test may fail loudly"
    )
)]

mod any_store;
mod blocks;
mod committer;
mod connection;
mod corestore;
mod download;
mod error;
mod events;
mod extension;
pub mod gateway;
mod hypercore;
pub mod keys;
mod machine;
mod options;
mod proofs;
mod request;
pub mod store;
mod subscription;
pub mod swarm;
mod timer;
pub mod transport;

pub use blocks::Blocks;
pub use connection::{Connection, Ended};
pub use corestore::Corestore;
pub use corestore_core::corestore::{
    CloseReason, ConnectionId, ConnectionInfo, CoreInfo, DownloadRange, GetOptions, Role, StoredName,
};
pub use corestore_core::crypto::{CoreKey, DiscoveryKey, Hash, PublicKey};
pub use corestore_core::log::{Audit, AuditFault};
pub use corestore_core::manifest::Manifest;
pub use corestore_core::merkle::{Proof, ProofRequest, RequestBlock, RequestSeek, RequestUpgrade};
pub use corestore_core::storage::StorageError;
pub use download::Download;
pub use error::{OpenError, OpenStoreError, ProofError, ReadError, WriteError};
pub use events::{CoreEvent, StoreEvent};
pub use extension::Extension;
pub use hypercore::{Appended, Hypercore};
pub use options::{CoreOptions, Options};
pub use subscription::{Lagging, Subscription};
