//! How long it takes until one of many sockets is hit, when one of two NATs is random: as long as chance has it, and no
//! longer.

use crate::member::{Member, add, failure, listen, network, pair};
use crate::virtual_net::{Nat, Net};
use corestore_core::time::Duration;
use corestore_peer::swarm::hyperdht::{Config, ConnectSettings};

#[test]
fn a_random_nat_takes_no_longer_than_chance_has_it() {
    let mut net = network(40, 20);
    for (server, client) in [(Nat::Consistent, Nat::Random), (Nat::Random, Nat::Consistent)] {
        let mut times: Vec<f64> = (0..MEETINGS).map(|number| meet(&mut net, server, client, number)).collect();
        times.sort_by(f64::total_cmp);
        let share = |percent: usize| times[(times.len() - 1) * percent / 100];
        let [median, most] = [(50, 0.5_f64), (95, 0.05)].map(|(percent, left)| (share(percent), -left.ln() / rate()));
        eprintln!("server {server:?}, client {client:?}: median {median:.2?} s, 95th percentile {most:.2?} s");
        // Words and way take some; and two hundred throws do not fall quite as the dice are.
        assert!(median.0 < median.1 * 1.25 + 1.0, "median {} s, by chance {} s", median.0, median.1);
        assert!(most.0 < most.1 * 1.25 + 1.0, "95th percentile {} s, by chance {} s", most.0, most.1);
    }
}

/// Hits a second, when probes go to any of the ports from 1000 on, 50 a second.
fn rate() -> f64 {
    let sockets = u32::try_from(Config::default().birthday_sockets).unwrap();
    50.0 * f64::from(sockets) / 64_536.0
}

/// Two machines meet that nobody has seen before. Seconds it took; more than any when they did not.
fn meet(net: &mut Net<Member>, server_nat: Nat, client_nat: Nat, number: u8) -> f64 {
    let server = add(net, server_nat, false, Config::default());
    let client = add(net, client_nat, false, Config::default());
    net.run(Duration::from_secs(3));
    listen(net, server, &pair(number));
    let (began, key) = (net.now, pair(number).public_key());
    net.with(client, |member, now| member.dht.connect(now, &pair(255), key, ConnectSettings::default()));
    let heard = |net: &Net<Member>, number: usize| net.hosts[number].machine.streams.values().any(|way| way.heard);
    let met = |net: &Net<Member>| heard(net, server) && heard(net, client);
    let failed = |net: &Net<Member>| failure(&net.hosts[client].machine).is_some();
    net.run_while(Duration::from_secs(90), |net| !met(net) && !failed(net));
    let took = if met(net) { net.now.since(began).as_secs_f64() } else { f64::INFINITY };
    net.kill(server);
    net.kill(client);
    took
}

/// So many each way.
const MEETINGS: u8 = 100;
