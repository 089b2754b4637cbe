//! That the routers do what they are said to do: without it no other test here shows anything.

use super::internet::{HOMES, HOSTS, Nat, PUBLIC};
use corestore_tests::harness::{Process, js_script};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Looks at each home from outside, by datagrams from one of its sockets.
pub(crate) fn check() {
    let mut echo = PUBLIC.command(Path::new("node"));
    echo.arg(js_script("ports.mjs")).args(["echo", HOSTS[0]]);
    let mut echo = Process::start(echo);
    let ports: Vec<String> = echo.line()["ports"].as_array().unwrap().iter().map(Value::to_string).collect();
    for home in &HOMES {
        let mut ask = home.first().command(Path::new("node"));
        ask.arg(js_script("ports.mjs")).args(["ask", HOSTS[0]]).args(&ports);
        let told = Process::start(ask).line();
        let seen: BTreeSet<u64> = told["seen"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        let expected = if home.nat() == Nat::Random { ports.len() } else { 1 };
        assert_eq!((seen.len(), told["knocked"].as_bool()), (expected, Some(false)), "{home:?}: {told}");
    }
}
