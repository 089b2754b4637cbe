//! Opening a store and finding a core in it by what people call it.

use crate::failure::Failure;
use corestore_peer::store::DurabilityLevel;
use corestore_peer::{CoreOptions, Corestore, DiscoveryKey, Hypercore, OpenError, Options, StoredName, keys};
use std::path::{Path, PathBuf};

/// Arguments every command on a store at rest takes.
#[derive(Debug, clap::Args)]
pub(crate) struct AtRest {
    /// The store's directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) storage: PathBuf,
    /// Print one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What an acknowledgement promises, for commands that store.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Durable {
    /// What a block that was acknowledged survives.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Process)]
    durability: Level,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Level {
    /// The death of this process.
    Process,
    /// A power cut.
    Power,
}

impl Durable {
    /// How to open a store so.
    pub(crate) fn options(self) -> Options {
        Options::default().durability(match self.durability {
            Level::Process => DurabilityLevel::Process,
            Level::Power => DurabilityLevel::Power,
        })
    }
}

/// A 32-byte secret in hex or z-base-32.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) [u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Reads an encryption key; the error does not repeat it.
pub(crate) fn secret(text: &str) -> Result<Secret, String> {
    keys::parse(text).map(Secret).map_err(|_| {
        format!("an encryption key has 32 bytes: 64 hexadecimal digits or 52 letters of z-base-32, not {}", text.len())
    })
}

/// Opens a store that must be there already, without changing it.
pub(crate) async fn look_into(directory: &Path) -> Result<Corestore, Failure> {
    Ok(Corestore::open(directory, Options::default().read_only()).await?)
}

/// Opens a store that must be there already, to change it.
pub(crate) async fn open_to_change(directory: &Path, options: Options) -> Result<Corestore, Failure> {
    Ok(Corestore::open(directory, options.must_exist()).await?)
}

/// Opens the stored core people call `wanted`: a local name, a key or a discovery key.
pub(crate) async fn open_core(
    store: &Corestore,
    wanted: &str,
    encryption_key: Option<&Secret>,
) -> Result<Hypercore, Failure> {
    let missing =
        || Failure::sentence(format!("no core `{wanted}` in this store; `corestore ls` lists those there are"));
    let discovery_key = find(store, wanted).await?.ok_or_else(missing)?;
    let options = CoreOptions::discovery_key(discovery_key).encryption_key(encryption_key.map(|secret| secret.0));
    match store.get(options).await {
        // A name outlives its core.
        Err(OpenError::NotFound) => Err(missing()),
        opened => Ok(opened?),
    }
}

/// The discovery key of the stored core people call `wanted`.
pub(crate) async fn find(store: &Corestore, wanted: &str) -> Result<Option<DiscoveryKey>, Failure> {
    let names = store.list_names().await?;
    if let Some(found) = names.iter().find(|name| label(name) == wanted) {
        return Ok(Some(found.discovery_key));
    }
    let Ok(bytes) = keys::parse(wanted) else { return Ok(None) };
    for discovery_key in store.list().await? {
        let core = store.get(CoreOptions::discovery_key(discovery_key)).await?;
        if core.key().0 == bytes || discovery_key.0 == bytes {
            return Ok(Some(discovery_key));
        }
    }
    Ok(None)
}

/// A local name as people see it; names of other namespaces bear the start of theirs.
pub(crate) fn label(name: &StoredName) -> String {
    if name.namespace == [0; 32] {
        return name.name.clone();
    }
    let namespace: String = hex::encode(name.namespace).chars().take(8).collect();
    format!("{namespace}/{}", name.name)
}
