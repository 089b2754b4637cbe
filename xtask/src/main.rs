//! `cargo xtask <command>`: builds, demo, tests and checks of the whole project.

mod bench;
mod command;
mod demo;
mod headless;
mod install;
mod project;
mod serve;
mod test;
mod vectors;
mod wasm;
mod writer;
mod www;

use std::process::ExitCode;

const USAGE: &str = "cargo xtask <command>

  demo             a native writer and the reader page: lines typed here appear in the browser
  demo --headless  the same in headless Chromium, checked, and ended
  test             everything: formatting, lints, all tests; ends with `N passed, N failed`
  wasm             the npm-ready package in target/wasm-package
  www              the reader page in target/www
  vectors DIR      the golden-vector checks on another folder of the same layout
  bench            our workloads and the npm stack's in one run, interleaved, with the machine's limits
                   [--json] [--quick] [--rounds N] [WORKLOAD…]; a wrong name lists them
  bench browser    the browser's rows in headless Chromium, beside raw IndexedDB [--json] [--rounds N]

What a command needs and this machine lacks is installed, with a line that says what and why.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["demo"] => demo::run(),
        ["demo", "--headless"] => headless::run(),
        ["test"] => test::run(),
        ["wasm"] => wasm::run(),
        ["www"] => www::run(),
        ["vectors", folder] => vectors::run(folder),
        ["bench", "browser", words @ ..] => bench::run_browser(words),
        ["bench", words @ ..] => bench::run(words),
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
