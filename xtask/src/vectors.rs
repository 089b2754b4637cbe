//! `cargo xtask vectors DIR`: any folder of the vectors' layout through the project's own checks.

use std::path::Path;

/// Runs the checks on a folder; true when none failed.
pub(crate) fn run(folder: &str) -> Result<bool, String> {
    let report = corestore_vectors::run_folder(Path::new(folder))?;
    for failure in &report.failures {
        println!("FAILED {failure}");
    }
    println!("{} passed, {} failed", report.passed, report.failures.len());
    Ok(report.failures.is_empty() && report.passed > 0)
}
