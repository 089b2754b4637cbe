//! Namespaces of the test's own: network, mounts and processes. Nothing sent in them leaves the machine, and all of it
//! ends with the test.

use corestore_tests::harness::{corestore, js_script};
use std::io::{Write, stderr};
use std::process::{Command, Stdio};

/// Runs `scene` inside: the test `name` starts itself again there. Where the system does not allow that, it says so.
pub(crate) fn run(name: &str, scene: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return scene();
    }
    let program = std::env::current_exe().unwrap();
    let Some(mut inside) = entrance() else { return };
    // What has to be built or fetched is, while there is a way out.
    inside.env("CORESTORE", std::path::absolute(corestore()).unwrap());
    js_script("swarm.mjs");
    inside.arg(program).args(["--exact", name, "--nocapture"]).env(INSIDE, "yes");
    // Results are the outer test's to tell.
    let status = inside.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{name} failed in its namespaces");
}

/// A command that begins inside, as far as this system lets us.
fn entrance() -> Option<Command> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    for tool in ["ip", "nft"] {
        if Command::new(tool).arg("-V").env("PATH", &path).output().is_err() {
            skipped(&format!("there is no `{tool}`"));
            return None;
        }
    }
    let privileged = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let as_anybody = ["--user", "--map-root-user"].into_iter().chain(privileged).collect::<Vec<_>>();
    let mut reasons = Vec::new();
    for flags in [&privileged[..], &as_anybody] {
        let mut command = Command::new("unshare");
        command.args(flags).env("PATH", &path);
        let mut attempt = Command::new("unshare");
        attempt.args(flags).args(["sh", "-c", PROOF]).env("PATH", &path);
        match attempt.output() {
            Ok(output) if output.status.success() => return Some(command),
            Ok(output) => reasons.push(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    skipped(&format!("this system gives no network namespaces ({})", reasons.join("; ")));
    None
}

/// Past what the test harness swallows.
fn skipped(reason: &str) {
    let _ = writeln!(stderr(), "no peers in network namespaces were tested: {reason}");
}

/// Tells the process inside that it is.
const INSIDE: &str = "CORESTORE_NAMESPACES";
/// What the scene needs, tried out.
const PROOF: &str = "mount -t tmpfs none /run && mkdir /run/netns && ip netns add proof && \
    ip netns exec proof nft 'add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }; \
    add rule ip nat out masquerade fully-random' && ip link add proof-1 type veth peer name proof-2 && \
    ip link add proof-3 type bridge";
