//! A clock that jumps, forwards by years and back: nothing stored is lost, and peers go on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

mod virtual_link;

use corestore_core::corestore::{DownloadRange, OpenCore};
use corestore_core::time::{Duration, Instant};
use virtual_link::World;

#[test]
fn nothing_is_lost_when_the_clock_jumps() {
    let years = Duration::from_secs(10 * 365 * 24 * 3600);
    let mut world = World::new(2);
    let (writer, info) = world.hosts[0].open(OpenCore::name("core-1"));
    let (reader, _) = world.hosts[1].open(OpenCore::key(info.key));
    world.hosts[1].machine.download(reader, DownloadRange::Range { start: 0, end: None, linear: false });
    let mut length = 0;
    for jump in [Instant::ZERO, Instant::ZERO.after(years), Instant::ZERO, Instant::from_micros(u64::MAX)] {
        for host in 0..2 {
            // Each host's clock jumps alone, and while a connection is open.
            world.hosts[host].now = jump;
            world.hosts[host].pass(Duration::from_micros(0));
            world.run();
            world.hosts[0].append(writer, &[b"block"]);
            length += 1;
            world.run();
            assert_eq!(world.hosts[0].info(writer).length, length);
            assert_eq!(world.hosts[0].block(writer, length - 1), "block");
        }
        // A connection that the jump ended is made again.
        world.connect(1, 0);
        world.run();
        assert_eq!(world.hosts[1].info(reader).contiguous_length, length);
        assert!(!world.hosts[1].info(reader).frozen);
    }
}
