//! Multicast DNS (RFC 6762, services by RFC 6763) for the swarm: what the machine tells the local network, and what it
//! hears there. It holds no protocol of the swarm; `docs/local-network.md` has the records.

use corestore_core::crypto::PublicKey;
use corestore_core::hyperswarm::{Nearby, Tag};
use mdns_sd::{IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo, TxtProperty};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

/// Our record on the local network, and the thread that answers for it. Dropping it takes the record back.
pub(super) struct MulticastDns {
    daemon: ServiceDaemon,
    public_key: PublicKey,
    /// Our DHT socket's.
    port: u16,
    /// The record's name, while there is one.
    told: Option<String>,
}

/// What the local network said.
#[derive(Debug)]
pub(super) enum Heard {
    Found(Nearby),
    Lost(PublicKey),
}

impl MulticastDns {
    /// Begins to listen, inside a tokio runtime.
    pub(super) fn start(public_key: PublicKey, port: u16, hear: impl Fn(Heard) + Send + 'static) -> io::Result<Self> {
        let daemon = ServiceDaemon::new().map_err(io::Error::other)?;
        // The DHT speaks IPv4; what runs on this machine is reached by its addresses on the network.
        daemon.disable_interface(vec![IfKind::IPv6, IfKind::LoopbackV4]).map_err(io::Error::other)?;
        let events = daemon.browse(SERVICE).map_err(io::Error::other)?;
        tokio::spawn(listen(daemon.clone(), events, hear));
        Ok(Self { daemon, public_key, port, told: None })
    }

    /// Tells the local network of us, in place of what it was told before.
    pub(super) fn tell(&mut self, tags: &[Tag]) {
        let record = if tags.is_empty() { None } else { record(&self.public_key, self.port, tags) };
        match (record, self.told.take()) {
            (Some(record), _) => {
                let name = record.get_fullname().to_owned();
                // What the thread does not take is told at the next change; peers are found by the DHT meanwhile.
                self.told = self.daemon.register(record).is_ok().then_some(name);
            }
            (None, Some(name)) => drop(self.daemon.unregister(&name)),
            (None, None) => {}
        }
    }
}

impl Drop for MulticastDns {
    fn drop(&mut self) {
        self.tell(&[]);
        if let Ok(over) = self.daemon.shutdown() {
            // The record is taken back before the process ends.
            let _ = over.recv_timeout(PARTING);
        }
    }
}

async fn listen(daemon: ServiceDaemon, mut events: Receiver<ServiceEvent>, hear: impl Fn(Heard) + Send) {
    let mut names: BTreeMap<String, PublicKey> = BTreeMap::new();
    loop {
        while let Ok(event) = events.recv_async().await {
            match event {
                ServiceEvent::ServiceResolved(service) => {
                    let Some(nearby) = nearby(&service) else { continue };
                    if names.len() < MAX_NAMES {
                        names.insert(service.fullname.clone(), nearby.public_key);
                    }
                    hear(Heard::Found(nearby));
                }
                ServiceEvent::ServiceRemoved(_, name) => {
                    names.remove(&name).into_iter().for_each(|key| hear(Heard::Lost(key)));
                }
                _ => {}
            }
        }
        // The thread ended, or we were too slow for it.
        tokio::time::sleep(PAUSE).await;
        match daemon.browse(SERVICE) {
            Ok(again) => events = again,
            Err(_) => return,
        }
    }
}

fn record(public_key: &PublicKey, port: u16, tags: &[Tag]) -> Option<ServiceInfo> {
    let name: String = hex::encode(public_key.0).chars().take(NAME_LENGTH).collect();
    let key = TxtProperty::from((KEY, hex::encode(public_key.0)));
    let tags = tags.iter().zip(0..).map(|(tag, place)| TxtProperty::from((format!("{TAG}{place}"), tag.0)));
    let properties: Vec<TxtProperty> = std::iter::once(key).chain(tags).collect();
    let info = ServiceInfo::new(SERVICE, &name, &format!("{name}.local."), "", port, properties);
    // A key that is no name is a fault here, and nothing a peer can bring about.
    Some(info.ok()?.enable_addr_auto())
}

fn nearby(service: &ResolvedService) -> Option<Nearby> {
    let properties = service.get_properties();
    let mut key = [0; 32];
    hex::decode_to_slice(properties.get_property_val_str(KEY)?, &mut key).ok()?;
    let tag = |property: &TxtProperty| {
        let named = property.key().strip_prefix(TAG).is_some_and(|place| place.parse::<u8>().is_ok());
        property.val().filter(|_| named).and_then(|value| value.try_into().ok()).map(Tag)
    };
    let tags = properties.iter().filter_map(tag).take(Nearby::MAX_TAGS).collect();
    let addresses = service.get_addresses_v4().into_iter().map(|ip| SocketAddrV4::new(ip, service.port)).collect();
    Some(Nearby { public_key: PublicKey(key), tags, addresses })
}

const SERVICE: &str = "_corestore._udp.local.";
/// Digits of the key by which a record is named.
const NAME_LENGTH: usize = 32;
/// Property that holds the key.
const KEY: &str = "k";
/// Properties that hold a tag each begin with it; a number follows.
const TAG: &str = "t";
/// Records whose owner is remembered.
const MAX_NAMES: usize = 1024;
const PAUSE: Duration = Duration::from_secs(5);
const PARTING: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_it_was_written_and_garbage_is_nobody() {
        let (public_key, tags) = (PublicKey([7; 32]), vec![Tag([1; 16]), Tag([2; 16])]);
        let told = record(&public_key, 9, &tags).unwrap();
        let read = nearby(&told.as_resolved_service()).unwrap();
        assert_eq!((read.public_key, read.tags), (public_key, tags));
        let strange: [&[(&str, &str)]; 3] = [&[], &[("k", "07")], &[("k", "zz"), ("t0", "short")]];
        for properties in strange {
            let info = ServiceInfo::new(SERVICE, "x", "x.local.", "10.0.0.1", 9, properties).unwrap();
            assert_eq!(nearby(&info.as_resolved_service()), None);
        }
        let many: Vec<Tag> = (0..32).map(|byte| Tag([byte; 16])).collect();
        assert_eq!(nearby(&record(&public_key, 9, &many).unwrap().as_resolved_service()).unwrap().tags, many);
    }
}
