//! How stores and cores are opened.

use crate::store::{DurabilityLevel, StoreOptions};
use corestore_core::corestore::{Config, CoreName, OpenCore};
use corestore_core::crypto::{CoreKey, DiscoveryKey};
use corestore_core::manifest::Manifest;

/// How to open a store.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// The primary key (32 bytes, a secret) of a new store; random when not given. A store that has one keeps its own.
    pub primary_key: Option<[u8; 32]>,
    /// Seed (32 bytes, a secret) of the key pair shown on connections; random when not given.
    pub identity: Option<[u8; 32]>,
    /// Most connections at once, 1024 when not given; further ones are closed at once.
    pub max_connections: Option<usize>,
    /// What concerns the files.
    pub store: StoreOptions,
}

impl Options {
    /// With this primary key.
    #[must_use]
    pub fn primary_key(mut self, key: [u8; 32]) -> Self {
        self.primary_key = Some(key);
        self
    }

    /// With this identity.
    #[must_use]
    pub fn identity(mut self, seed: [u8; 32]) -> Self {
        self.identity = Some(seed);
        self
    }

    /// With at most so many connections.
    #[must_use]
    pub fn max_connections(mut self, count: usize) -> Self {
        self.max_connections = Some(count);
        self
    }

    /// With this promise for what is acknowledged.
    #[must_use]
    pub fn durability(mut self, level: DurabilityLevel) -> Self {
        self.store.durability = level;
        self
    }

    /// Without changing a byte of the files.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.store.read_only = true;
        self
    }

    /// Fails rather than make a store.
    #[must_use]
    pub fn must_exist(mut self) -> Self {
        self.store.must_exist = true;
        self
    }

    pub(crate) fn config(&self) -> Config {
        let default = Config::default();
        Config {
            primary_key: self.primary_key,
            identity: self.identity,
            max_connections: self.max_connections.unwrap_or(default.max_connections),
            ..default
        }
    }
}

/// Which core to open, and how. A name or a key alone will do: `store.get("notes")`, `store.get(key)`.
#[derive(Clone, Debug)]
pub struct CoreOptions(pub(crate) OpenCore);

impl CoreOptions {
    /// The core with this local name, in the namespace of the handle; its key pair derives from the primary key.
    pub fn name(name: impl Into<String>) -> Self {
        Self(OpenCore::name(name))
    }

    /// The core with this key.
    pub fn key(key: CoreKey) -> Self {
        Self(OpenCore::key(key))
    }

    /// The stored core with this discovery key; it is never created.
    pub fn discovery_key(key: DiscoveryKey) -> Self {
        Self(OpenCore::of(CoreName::DiscoveryKey(key)))
    }

    /// The core of one's own key pair, given as its 32-byte seed.
    pub fn key_pair(seed: [u8; 32]) -> Self {
        Self(OpenCore::of(CoreName::KeyPair(seed)))
    }

    /// The core with this manifest, with the 32-byte seed of one's own signing key, if any.
    pub fn manifest(manifest: Manifest, seed: Option<[u8; 32]>) -> Self {
        Self(OpenCore::of(CoreName::Manifest(manifest, seed)))
    }

    /// Its blocks are encrypted with this key (32 bytes). `None` changes nothing.
    #[must_use]
    pub fn encryption_key(mut self, key: impl Into<Option<[u8; 32]>>) -> Self {
        self.0.encryption_key = key.into().or(self.0.encryption_key);
        self
    }

    /// Fails with [`crate::OpenError::NotFound`] rather than create it.
    #[must_use]
    pub fn must_exist(mut self) -> Self {
        self.0.create = false;
        self
    }

    /// Never appends through this handle.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.0.read_only = true;
        self
    }

    /// A core of Hypercore 10 and before: its key is the signer's public key.
    #[must_use]
    pub fn compat(mut self) -> Self {
        self.0.compat = true;
        self
    }
}

impl From<&str> for CoreOptions {
    fn from(name: &str) -> Self {
        Self::name(name)
    }
}

impl From<String> for CoreOptions {
    fn from(name: String) -> Self {
        Self::name(name)
    }
}

impl From<CoreKey> for CoreOptions {
    fn from(key: CoreKey) -> Self {
        Self::key(key)
    }
}
