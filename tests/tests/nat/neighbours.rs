//! Peers in one home: behind one router, and without anything beyond it.

use super::internet::{HOMES, Machine};
use super::peers::{Kind, Network, Setting, meet};
use std::io::{Write, stderr};

/// On two machines of one home, by a DHT outside.
pub(crate) fn by_the_dht(network: &Network) {
    let [one, two] = *HOMES[0].machines() else { panic!("two machines are in the first home") };
    play("in one home, by the DHT", (one, two), [&["--bootstrap", &network.bootstrap]; 2], false);
}

/// On two machines, and on one, when nothing leads outside: the DHT is given up, or tried in vain.
pub(crate) fn by_themselves() {
    let [one, two] = *HOMES[0].machines() else { panic!("two machines are in the first home") };
    let alone: &[&str] = &["--no-swarm", "--lan"];
    play("in one home, by multicast DNS", (one, two), [alone; 2], false);
    play("in one home, by multicast DNS, reader first", (one, two), [alone; 2], true);
    play("on one machine, by multicast DNS", (one, one), [alone; 2], false);
    let in_vain = ["--lan", "--bootstrap", "20.0.0.1:49737"];
    play("in one home, the reader's DHT out of reach", (one, two), [alone, &in_vain], false);
}

fn play(name: &str, (writer, reader): (Machine, Machine), finding: [&[&str]; 2], reader_first: bool) {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("writer"), folder.path().join("reader"));
    let setting = |machine, storage, finding| Setting { kind: Kind::Ours, machine, storage, finding };
    let (writing, reading) = (setting(writer, one.as_path(), finding[0]), setting(reader, two.as_path(), finding[1]));
    let took = meet(writing, reading, reader_first);
    let _ = writeln!(stderr(), "{name:68} {:8.2} s", took.as_secs_f64());
}
