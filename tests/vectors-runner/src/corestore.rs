//! Key pairs of local names.

use crate::json::{Value, fixed, hex, list, text};
use crate::report::Report;
use corestore_core::corestore::names::{DEFAULT_NAMESPACE, PrimaryKey, key_pair, namespace};
use corestore_core::corestore::{Config, CoreName, Corestore, Event, Input, OpenCore, Outcome, Output};
use corestore_core::crypto::{CoreKey, PublicKey, discovery_key};
use corestore_core::manifest::Manifest;
use corestore_core::storage::{MemoryStore, Store};
use corestore_core::time::Instant;

pub(crate) fn corestore(file: &Value, report: &mut Report) {
    for entry in list(file, "entries") {
        let names = list(entry, "namespaces").iter().map(text);
        let named = names.fold(DEFAULT_NAMESPACE, |parent, name| namespace(&parent, name));
        report.equal("namespace key", &named, &fixed(&entry["namespaceKey"]));
        let primary_key = fixed(&entry["primaryKey"]);
        let name = text(&entry["name"]);
        let pair = key_pair(&PrimaryKey(primary_key), &named, name);
        report.equal("public key", &pair.public_key(), &PublicKey(fixed(&entry["publicKey"])));
        report.check("secret key", [pair.seed(), pair.public_key().0].concat() == hex(&entry["secretKey"]));
        let key = Manifest::single(1, pair.public_key()).key();
        report.equal("core key", &key, &CoreKey(fixed(&entry["coreKey"])));
        report.equal("discovery key", &discovery_key(&key).0, &fixed(&entry["discoveryKey"]));
        let opened = open(primary_key, named, name) == Some(key);
        // The reference takes an empty name for none at all; ours is a name like any other.
        report.equal("opens by name", &(opened && !name.is_empty()), &entry["opensByName"].as_bool().expect("a flag"));
    }
}

/// The key of the core that a store with this primary key opens under the name.
fn open(primary_key: [u8; 32], namespace: [u8; 32], name: &str) -> Option<CoreKey> {
    let config = Config { primary_key: Some(primary_key), ..Config::default() };
    let mut machine = Corestore::new(config, [1; 32], Instant::ZERO);
    let mut store = MemoryStore::default();
    let wanted = machine.open_core(OpenCore::of(CoreName::Name { namespace: Some(namespace), name: name.to_owned() }));
    loop {
        match machine.poll_output() {
            Output::Storage { op, request } => {
                let result = store.execute(request);
                machine.handle_input(Instant::ZERO, Input::Stored { op, result });
            }
            Output::Event(Event::Resolved { request, result: Ok(Outcome::Opened(_, info)) }) if request == wanted => {
                return Some(info.key);
            }
            Output::Idle { .. } => return None,
            _ => {}
        }
    }
}
