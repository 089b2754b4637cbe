//! How a store is opened.

/// How to open a store. `StoreOptions::default()` suits a peer; change fields from there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreOptions {
    /// What the answer to a durable write promises.
    pub durability: DurabilityLevel,
    /// Opens without changing a byte; several readers may share a store, none beside a writer.
    pub read_only: bool,
    /// Fails with [`OpenError::Missing`] rather than make a store; so does opening for reading only.
    ///
    /// [`OpenError::Missing`]: super::OpenError::Missing
    pub must_exist: bool,
    /// Pages of the index kept in memory, in bytes.
    pub cache_bytes: usize,
    /// Changes gathered in memory before they go to the index, in bytes; up to four times as much while the disk is
    /// slow.
    pub dirty_bytes: usize,
    /// A segment of the log ends with the batch that reaches this many bytes.
    pub log_segment_bytes: u64,
    /// A segment of the tree ends with the page that reaches this many bytes.
    pub tree_segment_bytes: u64,
    /// Opens a store whose log is damaged by dropping every batch from the damaged one on, instead of refusing: peers
    /// can supply what they had.
    pub accept_loss: bool,
}

/// What the answer to a durable write promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DurabilityLevel {
    /// The write survives the death of the process.
    #[default]
    Process,
    /// The write survives a power cut: the log is synced before the answer.
    Power,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            durability: DurabilityLevel::Process,
            read_only: false,
            must_exist: false,
            cache_bytes: 16 << 20,
            dirty_bytes: 4 << 20,
            log_segment_bytes: 64 << 20,
            tree_segment_bytes: 8 << 20,
            accept_loss: false,
        }
    }
}
