//! The reader page in a real headless browser: one test a scenario of `tests/browser`, each a script that ends by itself.
//!
//! They need what `cargo xtask test` builds first: `target/www`, the native program (`CORESTORE` names it), Chromium
//! (`CHROMIUM`) and the npm packages of `tests/browser` and `tests/js`.

use corestore_tests::harness::corestore;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn three_cores_arrive_live_and_no_request_leaves_for_another_host() {
    scenario("live");
}

#[test]
fn a_reload_without_the_writer_shows_the_same_blocks() {
    scenario("reload");
}

#[test]
fn a_byte_altered_on_the_way_is_refused_and_reported() {
    scenario("altered-wire");
}

#[test]
fn an_altered_block_of_a_sound_stream_is_refused_and_reported() {
    scenario("altered-block");
}

#[test]
fn a_core_written_in_the_page_arrives_at_native_and_javascript_peers() {
    scenario("page-writes");
}

#[test]
fn twenty_thousand_blocks_do_not_fill_the_document() {
    scenario("many");
}

#[test]
fn a_truncation_and_its_fork_are_shown() {
    scenario("truncate");
}

#[test]
fn encrypted_cores_are_shown_with_their_key_only() {
    scenario("encrypted");
}

#[test]
fn the_form_says_what_is_wrong_and_the_keyboard_is_enough() {
    scenario("form");
}

#[test]
fn the_package_does_what_its_types_say() {
    scenario("package");
}

#[test]
fn a_page_dials_again_and_a_slow_transport_holds_it_back() {
    scenario("redial");
}

#[test]
fn a_page_of_the_gateway_reads_a_javascript_writer_by_its_key_alone() {
    scenario("gateway-reads");
}

#[test]
fn a_page_outlives_its_gateway() {
    scenario("gateway-returns");
}

#[test]
fn a_gateway_that_keeps_a_core_is_found_and_serves_it() {
    scenario("gateway-pins");
}

#[test]
fn a_gateway_keeps_encrypted_cores_for_pages_that_have_their_key() {
    scenario("gateway-pins-encrypted");
}

#[test]
fn a_page_reads_by_way_of_the_npm_relay() {
    scenario("npm-relay-reads");
}

#[test]
fn a_core_written_in_the_page_is_found_by_its_key() {
    scenario("gateway-writes");
}

#[test]
fn the_page_address_is_taken_apart_and_put_together() {
    scenario("address");
}

/// Runs `tests/browser/NAME.mjs`; fails with what it printed.
fn scenario(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the project");
    assert!(root.join("target/www/index.html").exists(), "the page is not built; run `cargo xtask www` first");
    let mut child = Command::new("node")
        .arg(root.join("tests/browser").join(format!("{name}.mjs")))
        .env("CORESTORE", corestore())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node starts");
    let (out, err) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let succeeded = wait(&mut child);
    let said = [out, err].map(|reader| reader.join().unwrap_or_default()).concat();
    assert!(succeeded, "{name} failed:\n{said}");
}

/// Whether it ended well. A script bounds itself; one that does not is ended here, politely first, so that it can end
/// its browser.
fn wait(child: &mut Child) -> bool {
    let start = Instant::now();
    let mut asked = false;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return status.success();
        }
        if start.elapsed() > LIMIT && !asked {
            asked = true;
            drop(Command::new("kill").arg(child.id().to_string()).status());
        }
        if start.elapsed() > LIMIT + FAREWELL {
            drop(child.kill());
            drop(child.wait());
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn reader<R: Read + Send + 'static>(stream: Option<R>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut stream) = stream {
            drop(stream.read_to_string(&mut text));
        }
        text
    })
}

const LIMIT: Duration = Duration::from_secs(150);
const FAREWELL: Duration = Duration::from_secs(20);
