//! Peers in one home: behind one router, and without anything beyond it.

use super::internet::{HOMES, Machine};
use super::peers::{Kind, Network, Setting, meet};
use std::io::{Write, stderr};

/// On two machines of one home, by a DHT outside.
pub(crate) fn by_the_dht(network: &Network) {
    let [one, two] = *HOMES[0].machines() else { panic!("two machines are in the first home") };
    play("in one home, by the DHT", (one, two), &["--bootstrap", &network.bootstrap], false);
}

/// On two machines, and on one, when nothing leads outside: the DHT is given up, or tried in vain.
pub(crate) fn by_themselves() {
    let [one, two] = *HOMES[0].machines() else { panic!("two machines are in the first home") };
    let alone = ["--no-swarm", "--lan"];
    play("in one home, by multicast DNS", (one, two), &alone, false);
    play("in one home, by multicast DNS, reader first", (one, two), &alone, true);
    play("on one machine, by multicast DNS", (one, one), &alone, false);
    play("in one home, the DHT out of reach", (one, two), &["--lan", "--bootstrap", "20.0.0.1:49737"], false);
}

fn play(name: &str, (writer, reader): (Machine, Machine), finding: &[&str], reader_first: bool) {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("writer"), folder.path().join("reader"));
    let setting = |machine, storage| Setting { kind: Kind::Ours, machine, storage, finding };
    let (writing, reading) = (setting(writer, one.as_path()), setting(reader, two.as_path()));
    let took = meet(writing, reading, reader_first);
    let _ = writeln!(stderr(), "{name:68} {:8.2} s", took.as_secs_f64());
}
