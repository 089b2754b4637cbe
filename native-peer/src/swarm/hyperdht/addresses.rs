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

/// True when an address of `theirs` seems to be on a network of ours.
pub(super) fn match_local(ours: &[SocketAddrV4], theirs: &[SocketAddrV4]) -> bool {
    theirs.iter().any(|their| nearness(ours, their) > 0)
}

/// Where to look for a peer behind our own router: its addresses on networks of ours, the likeliest first; its first one
/// when there is none. An address that we have too is the peer's only when all of them are: it runs on our machine then,
/// otherwise both machines keep a network of their own inside (containers do).
pub(super) fn local_candidates(ours: &[SocketAddrV4], theirs: &[SocketAddrV4]) -> Vec<SocketAddrV4> {
    let is_ours = |their: &SocketAddrV4| ours.iter().any(|our| our.ip() == their.ip());
    let (own, foreign): (Vec<SocketAddrV4>, Vec<_>) = theirs.iter().copied().partition(is_ours);
    let mut candidates = if foreign.is_empty() { own } else { foreign };
    let first = candidates.first().copied();
    candidates.retain(|their| nearness(ours, their) > 0);
    candidates.sort_by_key(|their| std::cmp::Reverse(nearness(ours, their)));
    candidates.truncate(MAX_CANDIDATES);
    if candidates.is_empty() { first.into_iter().collect() } else { candidates }
}

/// Octets that an address has in common with the nearest of ours.
fn nearness(ours: &[SocketAddrV4], their: &SocketAddrV4) -> usize {
    ours.iter().map(|our| shared_octets(our.ip(), their.ip())).max().unwrap_or_default()
}

fn shared_octets(a: &Ipv4Addr, b: &Ipv4Addr) -> usize {
    a.octets().iter().zip(b.octets()).take(3).take_while(|(a, b)| **a == *b).count()
}

/// Addresses of one peer that are tried.
const MAX_CANDIDATES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddrV4 {
        format!("{text}:1").parse().unwrap()
    }

    fn candidates(ours: &[&str], theirs: &[&str]) -> Vec<SocketAddrV4> {
        let addresses = |texts: &[&str]| texts.iter().map(|text| address(text)).collect::<Vec<_>>();
        local_candidates(&addresses(ours), &addresses(theirs))
    }

    #[test]
    fn the_nearest_network_comes_first_and_without_any_the_first_address() {
        let (ours, theirs) = (["192.168.122.238"], ["10.0.0.1", "192.168.0.23", "192.168.122.1"]);
        assert_eq!(candidates(&ours, &theirs), [address("192.168.122.1"), address("192.168.0.23")]);
        assert_eq!(candidates(&ours, &theirs[..1]), [address("10.0.0.1")]);
        assert_eq!(candidates(&[], &theirs), [address("10.0.0.1")]);
        assert_eq!(candidates(&ours, &[]), []);
        assert!(match_local(&[address(ours[0])], &[address(theirs[1])]));
        assert!(!match_local(&[address(ours[0])], &[address(theirs[0])]));
    }

    #[test]
    fn an_address_that_both_have_is_the_peers_only_on_one_machine() {
        let (one, two) = (["172.17.0.1", "192.168.1.2"], ["172.17.0.1", "192.168.1.3"]);
        assert_eq!(candidates(&one, &two), [address("192.168.1.3")]);
        assert_eq!(candidates(&one, &one), [address("172.17.0.1"), address("192.168.1.2")]);
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
