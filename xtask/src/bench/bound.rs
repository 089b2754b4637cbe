//! What a workload costs at least: the hashes, signatures, seals, file and socket work that the format forces on anyone,
//! each at the machine's own limit, one core per process. A floor, not a forecast.

use super::limits::Limits;
use super::workload::{Kind, float};

/// Seconds of one operation of `kind` at least.
pub(crate) fn seconds(kind: &Kind, limits: &Limits) -> f64 {
    let cost = Cost(limits);
    match *kind {
        Kind::Append { size, batch, .. } => cost.leaf(size) + cost.write(size) + cost.commit() / float(batch),
        Kind::Get { size, .. } => cost.read(size),
        Kind::Open { .. } => 2.0 * cost.read(1024),
        // Over UDX the datagrams come on top.
        Kind::Replicate { size, .. } | Kind::Swarm { size, .. } | Kind::Pass { size, .. } => {
            cost.serve(size).max(cost.fetch(size))
        }
        // The machine has two cores, and all processes share them.
        Kind::FanOut { size, .. } => (cost.serve(size) + cost.fetch(size)) / 2.0,
        Kind::Live { .. } => (cost.ping() / 2.0 + cost.leaf(64) + cost.commit() + cost.verify()) * 1000.0,
        Kind::Sparse { in_flight, .. } => {
            let round = if in_flight == 1 { cost.ping() } else { 0.0 };
            round + 10.0 * cost.parent() + 2.0 * cost.unseal(512) + cost.write(1024) + cost.read(1024)
        }
        // Its key pair costs about a signature, and so does the first block.
        Kind::CreateMany { .. } => 2.0 * cost.sign() + 8.0 * cost.parent() + cost.write(1024),
        Kind::ReopenMany { .. } => 2.0 * cost.read(1024),
        Kind::ReplicateMany { .. } => cost.verify() + 6.0 * cost.parent() + cost.unseal(512) + cost.write(1024),
        Kind::Proofs { op, .. } => match op {
            "create-block" => 2.0 * cost.read(1024),
            "verify-full" => 17.0 * cost.parent() + cost.leaf(1024) + cost.verify(),
            "apply-block" => 6.0 * cost.parent() + cost.leaf(1024) + cost.write(1024),
            "truncate" => cost.commit() + cost.write(1024),
            "clear" => cost.write(1024),
            _ => 4.0 * cost.read(1024),
        },
    }
}

struct Cost<'a>(&'a Limits);

impl Cost<'_> {
    fn parent(&self) -> f64 {
        self.0.seconds("hash", 100)
    }

    /// A block's hash and, spread over all blocks, one parent's.
    fn leaf(&self, size: u64) -> f64 {
        self.parent() + if size < 512 { self.parent() } else { self.0.seconds("hash-many", near(size)) }
    }

    /// The roots' hash and its signature.
    fn commit(&self) -> f64 {
        3.0 * self.parent() + self.sign()
    }

    fn sign(&self) -> f64 {
        self.0.seconds("sign", 0)
    }

    fn verify(&self) -> f64 {
        self.0.seconds("verify", 0)
    }

    fn ping(&self) -> f64 {
        self.0.seconds("pingpong", 64)
    }

    fn read(&self, size: u64) -> f64 {
        self.0.seconds("read", near(size))
    }

    /// In large writes.
    fn write(&self, size: u64) -> f64 {
        self.0.seconds("write", 65536) * float(size) / 65536.0
    }

    fn tcp(&self, size: u64) -> f64 {
        self.0.seconds("tcp", 65536) * float(size) / 65536.0
    }

    fn unseal(&self, size: u64) -> f64 {
        self.0.seconds("unseal", near(size)) * if size < 1024 { 0.5 } else { 1.0 }
    }

    fn serve(&self, size: u64) -> f64 {
        self.read(size) + self.0.seconds("seal", near(size)) + self.tcp(size)
    }

    fn fetch(&self, size: u64) -> f64 {
        self.unseal(size) + self.leaf(size) + self.write(size) + self.tcp(size)
    }
}

/// The measured size next to this one.
fn near(size: u64) -> u64 {
    if size > 8192 { 65536 } else { 1024 }
}
