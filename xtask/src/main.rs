//! `cargo xtask <command>`: builds, tests and checks of the whole project.

mod command;
mod test;
mod vectors;

use std::process::ExitCode;

const USAGE: &str = "cargo xtask <command>

  test          everything: formatting, lints, all tests; ends with `N passed, N failed`
  vectors DIR   the golden-vector checks on another folder of the same layout";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let outcome = match (args.next().as_deref(), args.next()) {
        (Some("test"), None) => test::run(),
        (Some("vectors"), Some(folder)) => vectors::run(&folder),
        _ => {
            println!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
