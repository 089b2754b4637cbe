//! A log as its writer's acknowledgements describe it.

use crate::store_support::Dice;
use bytes::Bytes;
use std::fmt;

/// What a writer does to its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// So many blocks, whose bytes follow from a seed.
    Append {
        count: u64,
        seed: u64,
    },
    /// To so many blocks.
    Truncate {
        length: u64,
    },
    Clear {
        start: u64,
        end: u64,
    },
}

/// The log's blocks, each with whether it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub fork: u64,
    pub blocks: Vec<(Bytes, bool)>,
}

impl Model {
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Append { count, seed } => {
                self.blocks.extend((0..count).map(|at| (block(seed.wrapping_add(at)), true)));
            }
            Change::Truncate { length } => {
                self.blocks.truncate(length as usize);
                self.fork += 1;
            }
            Change::Clear { start, end } => {
                self.blocks[start as usize..end as usize].iter_mut().for_each(|(_, stored)| *stored = false);
            }
        }
    }
}

impl Change {
    /// Any change that a log of this length allows.
    pub fn random(dice: &mut Dice, length: u64) -> Self {
        match dice.below(20) {
            0..2 if length > 0 => Self::Truncate { length: length - 1 - dice.below(length.min(20)) },
            2..5 if length > 0 => {
                let start = length - 1 - dice.below(length.min(60));
                Self::Clear { start, end: start + 1 + dice.below(length - start) }
            }
            5 => Self::Append { count: 64, seed: dice.below(1 << 40) },
            _ => Self::Append { count: 1 + dice.below(4), seed: dice.below(1 << 40) },
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let kind = words.next()?;
        let mut number = || words.next()?.parse().ok();
        match kind {
            "append" => Some(Self::Append { count: number()?, seed: number()? }),
            "truncate" => Some(Self::Truncate { length: number()? }),
            "clear" => Some(Self::Clear { start: number()?, end: number()? }),
            _ => None,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append { count, seed } => write!(f, "append {count} {seed}"),
            Self::Truncate { length } => write!(f, "truncate {length}"),
            Self::Clear { start, end } => write!(f, "clear {start} {end}"),
        }
    }
}

/// A block of up to 2,000 bytes.
pub fn block(seed: u64) -> Bytes {
    let length = Dice(seed).below(2000) as usize;
    Bytes::from(seed.to_le_bytes().into_iter().cycle().take(length).collect::<Vec<u8>>())
}
