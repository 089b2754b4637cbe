//! With a relay that does its work.

use crate::world::{World, holds, seed};
use corestore_core::crypto::{Hash, KeyPair};
use corestore_core::dht::DhtRelayMessage as M;
use corestore_core::hyperswarm::JoinOptions;
use corestore_core::time::Duration;

const TOPIC: Hash = Hash([7; 32]);
const CLIENT: JoinOptions = JoinOptions { server: false, client: true, limit: usize::MAX };
const SERVER: JoinOptions = JoinOptions { server: true, client: false, limit: usize::MAX };

fn joined(options: [JoinOptions; 2]) -> World {
    let mut world = World::new(2);
    for (number, options) in options.into_iter().enumerate() {
        world.members[number].swarm.join(world.now, TOPIC, options);
        world.run();
    }
    world
}

#[test]
fn members_meet_by_a_topic_and_the_relay_reads_and_keeps_nothing_of_theirs() {
    let mut world = joined([SERVER, CLIENT]);
    assert_eq!(world.members[0].connected, [(world.members[1].key, false)]);
    assert_eq!(world.members[1].connected, [(world.members[0].key, true)]);
    world.send(1, b"a question nobody else reads");
    world.send(0, b"an answer nobody else reads");
    assert_eq!(world.members[0].messages, [b"a question nobody else reads"]);
    assert_eq!(world.members[1].messages, [b"an answer nobody else reads"]);
    let seen = &world.relay.seen;
    assert!(holds(seen, world.members[0].key.as_ref()), "the capture is one");
    assert!(!holds(seen, b"nobody else reads"));
    for number in 0..2 {
        assert!(!holds(seen, &seed(number)), "a secret key left its member");
        assert_eq!(KeyPair::from_seed(&seed(number)).public_key(), world.members[number].key);
    }
}

#[test]
fn of_two_that_are_both_server_and_client_one_connection_stays() {
    let mut world = joined([JoinOptions::default(); 2]);
    world.members.iter_mut().for_each(|member| member.swarm.refresh(world.now));
    world.run();
    assert_eq!(world.members.iter().map(|member| member.streams.len()).collect::<Vec<_>>(), [1, 1]);
    world.send(0, b"hello");
    assert_eq!(world.members[1].messages, [b"hello"]);
}

#[test]
fn who_came_first_finds_who_comes_later() {
    let mut world = World::new(2);
    world.members[1].swarm.join(world.now, TOPIC, CLIENT);
    world.run();
    world.members[0].swarm.join(world.now, TOPIC, SERVER);
    world.run();
    assert!(world.members[1].streams.is_empty());
    let joined_at = world.now;
    world.wait();
    assert_eq!(world.members[1].streams.len(), 1);
    assert!(world.now.since(joined_at) <= Duration::from_secs(5));
}

#[test]
fn a_lost_relay_ends_everything_and_a_new_one_brings_it_back() {
    let mut world = joined([SERVER, CLIENT]);
    world.hang_up(1);
    world.run();
    assert_eq!((world.members[1].streams.len(), world.members[1].closed.len()), (0, 1));
    assert_eq!(world.members[1].swarm.deadline(), None);
    world.dial(1);
    world.run();
    assert_eq!(world.members[1].streams.len(), 1);
    world.hang_up(0);
    world.dial(0);
    world.run();
    assert!(world.members[0].swarm.is_listening(), "it is announced again");
}

#[test]
fn a_connection_that_one_side_ends_is_over_on_both() {
    let mut world = joined([SERVER, CLIENT]);
    let link = *world.members[0].streams.keys().next().unwrap();
    world.members[0].streams.clear();
    world.members[0].swarm.close(world.now, link);
    world.run();
    assert_eq!(world.members[1].closed, [None]);
    // Who called calls again.
    world.wait();
    assert_eq!(world.members[1].streams.len(), 1);
}

#[test]
fn who_leaves_is_announced_no_more() {
    let mut world = joined([SERVER, CLIENT]);
    assert_eq!(world.relay.records[&TOPIC].len(), 1);
    world.members[0].swarm.leave(world.now, TOPIC);
    assert!(!world.members[0].swarm.has_parted());
    world.run();
    assert!(world.members[0].swarm.has_parted());
    assert!(world.relay.records[&TOPIC].is_empty());
    // Nobody else may call, so the key is announced no more.
    assert!(!world.members[0].swarm.is_listening());
    let key = world.members[0].key;
    world.members[1].swarm.join_peer(world.now, key);
    world.run();
    world.members[0].swarm.join(world.now, TOPIC, SERVER);
    world.run();
    assert!(world.members[0].swarm.is_listening());
}

#[test]
fn the_banned_are_neither_called_nor_heard() {
    let mut world = World::new(2);
    let banned = world.members[1].key;
    world.members[0].swarm.ban(world.now, banned, true);
    for number in 0..2 {
        world.members[number].swarm.join(world.now, TOPIC, JoinOptions::default());
        world.run();
    }
    assert!(world.members.iter().all(|member| member.streams.is_empty()));
    world.members[0].swarm.ban(world.now, banned, false);
    world.members[1].swarm.refresh(world.now);
    world.run();
    assert_eq!(world.members[0].streams.len(), 1);
}

#[test]
fn a_peer_is_called_by_its_key_alone() {
    let mut world = World::new(2);
    world.members[0].swarm.join(world.now, Hash([9; 32]), SERVER);
    world.run();
    let key = world.members[0].key;
    world.members[1].swarm.join_peer(world.now, key);
    world.run();
    assert_eq!(world.members[1].connected, [(key, true)]);
}

#[test]
fn a_relay_that_loses_announcements_is_asked_for_none() {
    let mut world = World::default();
    world.relay.like_the_reference = true;
    world.add(0);
    world.members[0].swarm.join(world.now, TOPIC, JoinOptions::default());
    world.run();
    assert!(!world.members[0].swarm.is_listening());
    world.members[0].swarm.leave(world.now, TOPIC);
    world.run();
    let asked = |message: &M| matches!(message, M::Listen { .. } | M::Announce { .. } | M::Unannounce { .. });
    assert!(!world.relay.heard.iter().any(|(_, message)| asked(message)));
    assert!(world.relay.heard.iter().any(|(_, message)| matches!(message, M::Lookup { .. })));
}

#[test]
fn a_silent_relay_is_asked_then_left() {
    let mut world = joined([SERVER, CLIENT]);
    let pings = |world: &World| world.relay.heard.iter().filter(|(_, message)| *message == M::Ping).count();
    world.now = world.now.after(Duration::from_secs(20));
    world.members[1].swarm.handle_deadline(world.now).unwrap();
    world.run();
    assert_eq!(pings(&world), 1);
    world.now = world.now.after(Duration::from_secs(60));
    assert!(world.members[1].swarm.handle_deadline(world.now).is_err());
    assert!(!world.members[1].swarm.has_relay());
}
