//! Where this machine is on the networks around it.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

/// Our addresses on local networks, with this port; only `host` when the sockets are bound to it alone.
pub(super) fn addresses(host: Ipv4Addr, port: u16) -> Vec<SocketAddrV4> {
    if !host.is_unspecified() {
        return vec![SocketAddrV4::new(host, port)];
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let usable = interfaces.iter().filter(|interface| !interface.is_loopback());
    let addresses = usable.filter_map(|interface| match interface.ip() {
        IpAddr::V4(ip) => Some(SocketAddrV4::new(ip, port)),
        IpAddr::V6(_) => None,
    });
    addresses.take(MAX_ADDRESSES).collect()
}

/// A machine with containers has many; peers are told so many.
const MAX_ADDRESSES: usize = 16;
