//! What was checked and what failed.

use std::fmt::Debug;

/// The outcome of checks.
#[derive(Debug, Default)]
pub struct Report {
    /// How many checks held.
    pub passed: u64,
    /// The ones that did not, named.
    pub failures: Vec<String>,
    file: String,
}

impl Report {
    /// Names the file that the next checks belong to.
    pub fn file(&mut self, name: &str) {
        name.clone_into(&mut self.file);
    }

    /// Counts one check.
    pub fn check(&mut self, what: &str, holds: bool) {
        if holds {
            self.passed += 1;
        } else {
            self.failures.push(format!("{}: {what}", self.file));
        }
    }

    /// Counts one comparison.
    pub fn equal<T: PartialEq + Debug>(&mut self, what: &str, ours: &T, theirs: &T) {
        if ours == theirs {
            self.passed += 1;
        } else {
            self.failures.push(format!("{}: {what}: ours {ours:?}, theirs {theirs:?}", self.file));
        }
    }
}
