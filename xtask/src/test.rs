//! `cargo xtask test`: every check there is, summed up in one line.

use crate::command::{capture, path_with, run as run_command, tee};
use crate::install::wasm_target::{self, Toolchain};
use crate::install::{bare_target, browser, namespaces, npm, tools};
use crate::{project, www};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs every check and prints the sum; true when nothing failed. A part that fails does not keep the others from
/// running.
pub(crate) fn run() -> Result<bool, String> {
    let mut sum = Sum::default();
    let Some(needs) = sum.check("installing what is missing", Needs::ensure) else { return Ok(sum.tell()) };
    sum.check("formatting", || cargo(&["fmt", "--all", "--check"]));
    sum.check("lints", || cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]));
    sum.check("lints of the wasm crate", || wasm_lints(needs.toolchain));
    sum.check("core for a target without std", core_without_std);
    sum.check("the package and the page", www::build);
    sum.check("the native program", || cargo(&["build", "--release", "--quiet", "--package", "corestore-peer"]));
    sum.count("tests of the workspace", || workspace_tests(&needs));
    sum.count("tests of the wasm crate in a browser", || wasm_tests(&needs));
    Ok(sum.tell())
}

/// What the checks need beyond Rust and Node.
struct Needs {
    toolchain: Toolchain,
    browser: browser::Browser,
}

impl Needs {
    fn ensure() -> Result<Self, String> {
        let toolchain = wasm_target::ensure()?;
        let browser = browser::ensure()?;
        tools::wasm_bindgen()?;
        tools::wasm_pack()?;
        npm::wasm_opt()?;
        npm::ensure(&project::path("tests/browser"), "playwright-core drives the browser")?;
        namespaces::ensure();
        npm::ensure(&project::path("tests/js"), "the genuine JavaScript peers that the tests talk to")?;
        Ok(Self { toolchain, browser })
    }
}

fn wasm_lints(toolchain: Toolchain) -> Result<(), String> {
    // Debian's toolchain may come without clippy; the compiler's own lints are checked then.
    // Rustup's would be found beside it, and it does not fit another compiler.
    let has_clippy = match toolchain {
        Toolchain::Rustup => capture(toolchain.cargo()?.args(["clippy", "--version"])).is_some(),
        Toolchain::Debian => Path::new("/usr/bin/cargo-clippy").exists(),
    };
    let mut command = toolchain.cargo()?;
    command.args([if has_clippy { "clippy" } else { "check" }, "--all-targets", "--quiet", "--target"]);
    command.args([wasm_target::TARGET, "--manifest-path"]).arg(project::path("wasm/Cargo.toml"));
    if has_clippy {
        command.args(["--", "-D", "warnings"]);
    }
    run_command(&mut command)?;
    run_command(toolchain.cargo()?.args(["fmt", "--check", "--manifest-path"]).arg(project::path("wasm/Cargo.toml")))
}

fn core_without_std() -> Result<(), String> {
    let Some(mut build) = bare_target::cargo_build()? else {
        println!("skipped: neither rustup nor Debian's toolchain has a target without std here");
        return Ok(());
    };
    run_command(build.args(["--quiet", "--package", "corestore-core"]))
}

fn workspace_tests(needs: &Needs) -> Result<(Vec<String>, bool), String> {
    let mut command = Command::new("cargo");
    command.args(["test", "--workspace", "--no-fail-fast"]).env("CHROMIUM", &needs.browser.chromium);
    tee(command.env("CORESTORE", project::path("target/release/corestore")))
}

fn wasm_tests(needs: &Needs) -> Result<(Vec<String>, bool), String> {
    let bindgen = tools::wasm_bindgen()?;
    let mut command = needs.toolchain.command(&tools::wasm_pack()?)?;
    command.args(["test", "--headless", "--chrome", "--mode", "no-install", "--chromedriver"]);
    command.arg(&needs.browser.chromedriver).arg(project::path("wasm"));
    let runner = bindgen.parent().unwrap_or(Path::new(""));
    let folders: &[&Path] = match needs.toolchain {
        Toolchain::Rustup => &[runner],
        Toolchain::Debian => &[Path::new("/usr/bin"), runner],
    };
    // The browser gets time on a busy machine.
    tee(command.env("WASM_BINDGEN_TEST_TIMEOUT", "300").env("PATH", path_with(folders)?))
}

fn cargo(args: &[&str]) -> Result<(), String> {
    run_command(Command::new("cargo").args(args))
}

/// What passed, what failed, and how long each part took.
#[derive(Default)]
struct Sum {
    passed: u64,
    failed: u64,
    parts: Vec<(String, Duration, &'static str)>,
}

impl Sum {
    /// A part that counts as one.
    fn check<T>(&mut self, name: &str, part: impl FnOnce() -> Result<T, String>) -> Option<T> {
        self.timed(name, |sum| match part() {
            Ok(value) => {
                sum.passed += 1;
                Ok(value)
            }
            Err(error) => {
                sum.failed += 1;
                Err(error)
            }
        })
    }

    /// A part that prints cargo's result lines.
    fn count(&mut self, name: &str, part: impl FnOnce() -> Result<(Vec<String>, bool), String>) {
        self.timed(name, |sum| {
            let (lines, succeeded) = part().inspect_err(|_| sum.failed += 1)?;
            let (passed, failed) = total(&lines);
            sum.passed += passed;
            sum.failed += failed;
            if failed > 0 {
                return Err(format!("{failed} failed"));
            }
            if succeeded && passed > 0 {
                return Ok(());
            }
            // It broke off before or between tests: that must not look like success.
            sum.failed += 1;
            Err("it ended early".to_owned())
        });
    }

    fn timed<T>(&mut self, name: &str, part: impl FnOnce(&mut Self) -> Result<T, String>) -> Option<T> {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = part(self);
        let word = if outcome.is_ok() { "passed" } else { "FAILED" };
        self.parts.push((name.to_owned(), start.elapsed(), word));
        outcome.inspect_err(|error| println!("FAILED {name}: {error}")).ok()
    }

    fn tell(&self) -> bool {
        println!();
        for (name, took, word) in &self.parts {
            println!("{word} {:>5} s  {name}", took.as_secs());
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0 && self.passed > 0
    }
}

fn total(lines: &[String]) -> (u64, u64) {
    let counted = lines.iter().filter_map(|line| counts(line));
    counted.fold((0, 0), |sum, counted| (sum.0 + counted.0, sum.1 + counted.1))
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
    use super::{Sum, counts};

    #[test]
    fn a_result_line_gives_its_numbers() {
        let line = "test result: FAILED. 22 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(counts(line), Some((22, 3)));
        assert_eq!(counts("running 3 tests"), None);
    }

    #[test]
    fn a_part_that_breaks_off_counts_as_failed() {
        let mut sum = Sum::default();
        sum.count("tests", || Ok((vec!["test result: ok. 2 passed; 0 failed; 0 ignored".to_owned()], false)));
        assert_eq!((sum.passed, sum.failed), (2, 1));
        sum.count("none", || Ok((Vec::new(), true)));
        assert_eq!((sum.passed, sum.failed), (2, 2));
    }
}
