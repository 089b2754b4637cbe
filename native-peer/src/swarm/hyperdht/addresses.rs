//! Which addresses mean something where (`bogon`), and which of two machines share a local network.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Local networks and hosts, and what providers put between.
pub(super) fn is_private(host: &Ipv4Addr) -> bool {
    let [a, b, ..] = host.octets();
    host.is_private() || host.is_loopback() || host.is_link_local() || (a == 100 && (64..128).contains(&b))
}

/// Addresses no machine has.
pub(super) fn is_reserved(host: &Ipv4Addr) -> bool {
    let [a, b, c, _] = host.octets();
    let examples = matches!((a, b, c), (192, 0, 0) | (192, 0, 2) | (198, 51, 100) | (203, 0, 113));
    a == 0 || a >= 224 || examples || (a == 198 && (18..20).contains(&b))
}

/// The address of `theirs` that is most likely on a network of ours.
pub(super) fn match_local(ours: &[SocketAddrV4], theirs: &[SocketAddrV4]) -> Option<SocketAddrV4> {
    let shared = |their: &SocketAddrV4| ours.iter().map(|our| shared_octets(our.ip(), their.ip())).max();
    let mut best: Option<(usize, SocketAddrV4)> = None;
    for their in theirs {
        let shared = shared(their).unwrap_or_default();
        if shared > best.map_or(0, |(most, _)| most) {
            best = Some((shared, *their));
        }
    }
    best.map(|(_, address)| address)
}

fn shared_octets(a: &Ipv4Addr, b: &Ipv4Addr) -> usize {
    a.octets().iter().zip(b.octets()).take(3).take_while(|(a, b)| **a == *b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddrV4 {
        format!("{text}:1").parse().unwrap()
    }

    #[test]
    fn the_nearest_network_wins_and_none_is_none() {
        let ours = [address("192.168.122.238")];
        let theirs = [address("10.0.0.1"), address("192.168.0.23"), address("192.168.122.1")];
        assert_eq!(match_local(&ours, &theirs), Some(theirs[2]));
        assert_eq!(match_local(&ours, &theirs[..2]), Some(theirs[1]));
        assert_eq!(match_local(&ours, &theirs[..1]), None);
        assert_eq!(match_local(&[], &theirs), None);
    }

    #[test]
    fn kinds_of_addresses() {
        let is = |text: &str| (is_private(address(text).ip()), is_reserved(address(text).ip()));
        assert_eq!(is("127.0.0.1"), (true, false));
        assert_eq!(is("100.64.0.1"), (true, false));
        assert_eq!(is("192.0.2.7"), (false, true));
        assert_eq!(is("8.8.8.8"), (false, false));
    }
}
