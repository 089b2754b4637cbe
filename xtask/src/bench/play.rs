//! Carries a workload out once.

use super::job::Side;
use super::pairs::{fan_out, live, of_wire, over_swarm, pair, pass, replicate_many};
use super::solo::{append, flag, many, proofs, read};
use super::stores::{Stores, shown};
use super::workload::{Kind, Measured, SMALL, float};

impl Kind {
    /// Runs it once: `writer` alone, or with `reader`.
    pub(crate) fn run(&self, stores: &mut Stores, writer: Side, reader: Side) -> Result<Measured, String> {
        match *self {
            Self::Append { blocks, size, batch } => append(stores, writer, (blocks, size, batch)),
            Self::Get { of, size, count, random, in_flight } => {
                let pattern = if random { "random" } else { "seq" };
                let flags = [("count", count.to_string()), ("inflight", in_flight.to_string())];
                read(stores, writer, (of, size), pattern, &flags)
                    .map(|run| Measured { operations: float(count), ..run })
            }
            Self::Open { of, size } => {
                let flags = [("count", "1".to_owned()), ("open-timed", flag(writer))];
                read(stores, writer, (of, size), "seq", &flags).map(|run| Measured { operations: 1.0, ..run })
            }
            Self::Replicate { blocks, size } => {
                let flags = [("length", blocks.to_string())];
                pair(stores, (writer, reader), (blocks, size), &flags).map(|run| of_wire(run, blocks, size))
            }
            Self::Sparse { of, size, count, in_flight } => {
                let flags = [
                    ("length", of.to_string()),
                    ("sparse", count.to_string()),
                    ("inflight", in_flight.to_string()),
                    ("seed", "5".to_owned()),
                ];
                pair(stores, (writer, reader), (of, size), &flags).map(|run| of_wire(run, count, size))
            }
            Self::Swarm { blocks, size } => over_swarm(stores, (writer, reader), (blocks, size)),
            Self::Pass { blocks, size } => pass(stores, (blocks, size)),
            Self::Live { blocks } => live(stores, (writer, reader), blocks),
            Self::FanOut { readers, blocks, size } => fan_out(stores, (writer, reader), readers, (blocks, size)),
            Self::CreateMany { cores } => {
                let storage = stores.fresh();
                let run = many(writer, "create", (&shown(&storage), cores), 1)?;
                many(writer, "reopen", (&shown(&storage), cores), 16)?;
                stores.drop_store(&storage);
                Ok(run)
            }
            Self::ReopenMany { cores, in_flight } => {
                let (storage, _) = stores.many(writer, cores, SMALL)?;
                many(writer, "reopen", (&shown(&storage), cores), in_flight)
            }
            Self::ReplicateMany { of, cores } => replicate_many(stores, (writer, reader), of, cores),
            Self::Proofs { of, op, count } => proofs(stores, writer, of, op, count),
        }
    }
}
