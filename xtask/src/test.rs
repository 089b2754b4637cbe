//! `cargo xtask test`: every check there is, summed up in one line.

use crate::command::{run as run_command, tee};
use std::process::Command;

/// Runs every check and prints the sum; true when nothing failed.
pub(crate) fn run() -> Result<bool, String> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    let (lines, succeeded) = tee(Command::new("cargo").args(["test", "--workspace", "--no-fail-fast"]))?;
    let (passed, failed) = lines
        .iter()
        .filter_map(|line| counts(line))
        .fold((0, 0), |sum, counted| (sum.0 + counted.0, sum.1 + counted.1));
    if !succeeded && failed == 0 {
        return Err("cargo test failed before any test did".to_owned());
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0 && passed > 0)
}

fn cargo(args: &[&str]) -> Result<(), String> {
    run_command(Command::new("cargo").args(args))
}

/// `test result: ok. 3 passed; 0 failed; …` as numbers.
fn counts(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| {
        let before = rest.split(word).next()?;
        before.rsplit([' ', ';']).find(|part| !part.is_empty())?.parse().ok()
    };
    Some((number(" passed")?, number(" failed")?))
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn a_result_line_gives_its_numbers() {
        let line = "test result: FAILED. 22 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(counts(line), Some((22, 3)));
        assert_eq!(counts("running 3 tests"), None);
    }
}
