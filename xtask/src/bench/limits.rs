//! What the machine can do at all, measured in the same run.

use super::job::{Job, Side, number};
use std::collections::BTreeMap;

/// Seconds that one operation of each limit takes, at every round.
#[derive(Debug, Default)]
pub(crate) struct Limits(BTreeMap<(&'static str, u64), Vec<f64>>);

impl Limits {
    /// Measures every limit once more.
    pub(crate) fn measure(&mut self) -> Result<(), String> {
        for (limit, size) in LIMITS {
            let flags = [("limit", limit.to_owned()), ("size", size.to_string()), ("seconds", "0.3".to_owned())];
            let run = Job::run(Side::Ours, "limit", &flags)?;
            let each = number(&run.result, "seconds")? / number(&run.result, "ops")?.max(1.0);
            self.0.entry((limit, size)).or_default().push(each);
        }
        Ok(())
    }

    /// Median seconds of one operation; infinite when it was not measured.
    pub(crate) fn seconds(&self, limit: &'static str, size: u64) -> f64 {
        self.0.get(&(limit, size)).map_or(f64::INFINITY, |all| super::table::Spread::of(all).median)
    }

    /// Every limit: name, bytes, seconds of one operation.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64, &[f64])> {
        self.0.iter().map(|((limit, size), all)| (*limit, *size, all.as_slice()))
    }
}

/// Names as the `limit` job knows them, and bytes of one operation.
const LIMITS: [(&str, u64); 15] = [
    ("hash", 100),
    ("hash-many", 1024),
    ("hash-many", 65536),
    ("sign", 0),
    ("verify", 0),
    ("seal", 1024),
    ("seal", 65536),
    ("unseal", 1024),
    ("unseal", 65536),
    ("write", 1024),
    ("write", 65536),
    ("read", 1024),
    ("read", 65536),
    ("tcp", 65536),
    ("pingpong", 64),
];
