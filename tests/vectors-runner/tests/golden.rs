//! The project's own golden vectors, one test a file.

use corestore_vectors::{FILES, Report, load, run_file};
use std::path::Path;

#[test]
fn every_entry_of_every_file_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors");
    // Large blocks are given by recipe, and only in folders that ask for them.
    for (name, check) in FILES.iter().filter(|(name, _)| *name != "big") {
        let mut report = Report::default();
        run_file(name, *check, &load(&folder.join(format!("{name}.json"))).expect("a vectors file"), &mut report);
        println!("{name}: {} checks", report.passed);
        assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
        assert!(report.passed > 0, "{name} checks nothing");
    }
}
