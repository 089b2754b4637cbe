//! Who reads from whom, behind which routers.

use super::internet::{HOMES, Home, Machine, Nat};
use super::peers::{Kind, Network, Setting, meet};
use std::fmt;
use std::time::Duration;

/// One meeting of a writer and a reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    writer: (Kind, Nat),
    reader: (Kind, Nat),
    /// They know a blind relay of this kind.
    relay: Option<Kind>,
    reader_first: bool,
}

/// The cells of every run: each kind of NAT we can be behind, at one of its ends or the other.
pub(crate) const FEW: [Cell; 6] = [
    Cell::new((Kind::Ours, Nat::Consistent), (Kind::Ours, Nat::Consistent)),
    Cell::new((Kind::Ours, Nat::Consistent), (Kind::Js, Nat::Consistent)),
    Cell::new((Kind::Js, Nat::Consistent), (Kind::Ours, Nat::Consistent)),
    Cell::new((Kind::Js, Nat::Consistent), (Kind::Js, Nat::Consistent)),
    Cell::new((Kind::Ours, Nat::Consistent), (Kind::Ours, Nat::Random)),
    Cell::new((Kind::Ours, Nat::Random), (Kind::Ours, Nat::Random)).by(Kind::Ours),
];

/// Every cell.
pub(crate) fn all() -> Vec<Cell> {
    let kinds = [(Kind::Ours, Kind::Ours), (Kind::Ours, Kind::Js), (Kind::Js, Kind::Ours), (Kind::Js, Kind::Js)];
    let nats = [(Nat::Consistent, Nat::Consistent), (Nat::Consistent, Nat::Random), (Nat::Random, Nat::Consistent)];
    let mut cells = Vec::new();
    for (writer, reader) in nats {
        cells.extend(kinds.map(|kinds| Cell::new((kinds.0, writer), (kinds.1, reader))));
    }
    for relay in [Kind::Ours, Kind::Js] {
        cells.extend(kinds.map(|kinds| Cell::new((kinds.0, Nat::Random), (kinds.1, Nat::Random)).by(relay)));
    }
    cells.extend(
        kinds.map(|kinds| Cell {
            reader_first: true,
            ..Cell::new((kinds.0, Nat::Consistent), (kinds.1, Nat::Consistent))
        }),
    );
    cells
}

/// Cells that take chance, so many times each: one of both routers is random, and no relay helps.
pub(crate) fn by_chance(times: usize) -> Vec<Cell> {
    let lucky = |cell: &Cell| cell.relay.is_none() && cell.writer.1 != cell.reader.1;
    let cells: Vec<Cell> = all().into_iter().filter(lucky).collect();
    (0..times).flat_map(|_| cells.clone()).collect()
}

impl Cell {
    const fn new(writer: (Kind, Nat), reader: (Kind, Nat)) -> Self {
        Self { writer, reader, relay: None, reader_first: false }
    }

    const fn by(mut self, relay: Kind) -> Self {
        self.relay = Some(relay);
        self
    }

    /// Brings both together; see [`meet`].
    pub(crate) fn play(&self, network: &Network) -> Duration {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("writer"), folder.path().join("reader"));
        let mut finding = vec!["--bootstrap", &network.bootstrap];
        self.relay.into_iter().for_each(|relay| finding.extend(["--relay", network.relay(relay)]));
        let [writing, reading] = [(self.writer, 0, &one), (self.reader, 1, &two)].map(|((kind, nat), end, storage)| {
            Setting { kind, machine: machine(nat, end), storage, finding: &finding }
        });
        meet(writing, reading, self.reader_first)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name =
            |(kind, nat)| format!("{} behind {}", word(kind), if nat == Nat::Random { "random" } else { "consistent" });
        write!(f, "{:26} read by {:26}", name(self.writer), name(self.reader))?;
        match (self.relay, self.reader_first) {
            (Some(relay), _) => write!(f, " relay: {:4}  ", word(relay)),
            (None, true) => write!(f, " reader first"),
            (None, false) => write!(f, "             "),
        }
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Ours => "ours",
        Kind::Js => "JS",
    }
}

/// The first machine of the first home, or of the last, with such a router.
fn machine(nat: Nat, end: usize) -> Machine {
    let mut homes = HOMES.iter().filter(|home| home.nat() == nat);
    homes.nth(end).map(Home::first).unwrap()
}
