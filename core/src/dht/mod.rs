//! What the network of HyperDHT says: dht-rpc's datagrams, HyperDHT's messages, what is signed in them, and the
//! handshake by which two of its members meet. No routing and no state: bytes only, for native peers and browsers alike.

mod address;
mod announce;
mod blind_relay;
mod command;
mod datagram;
mod dht_relay;
mod handshake;
mod handshake_payload;
mod holepunch;
mod mutable;
mod relayed;
mod sealed;

pub use address::{decode_address, decode_addresses, encode_address, encode_addresses, node_id};
pub use announce::{Announce, LookupReply, MAX_RECORDS, MAX_RELAY_ADDRESSES, PeerRecord, peer_target};
pub use blind_relay::{Pair, Unpair};
pub use command::{Command, Firewall, InternalCommand, PeerError, RpcError};
pub use datagram::{Datagram, Request, Response};
pub use dht_relay::{Announcers, Contact, DhtRelayError, DhtRelayMessage, NoiseProgress, StreamAlias};
pub use handshake::{Handshake, Secrets};
pub use handshake_payload::{HandshakePayload, HolepunchInfo, RelayInfo, RelayThrough, SecretStreamInfo, UdxInfo};
pub use holepunch::HolepunchPayload;
pub use mutable::{MutablePut, MutableValue, PluginRequest};
pub use relayed::{HandshakeMessage, HolepunchMessage, Mode};
pub use sealed::{HolepunchKey, SEALED_OVERHEAD};
