//! The protocol `@hyperswarm/dht-relay` 0.4.3: a member of the DHT that has no UDP, a browser, is one through a relay. Its
//! key pair stays with it; what needs it is asked for.

mod announcers;
mod decode;
mod encode;
mod message;

pub use announcers::{Announcers, Contact};
pub use decode::DhtRelayError;
pub use message::{DhtRelayMessage, NoiseProgress, StreamAlias};
