//! Pools of connections, among ours and with genuine ones: two that call each other keep one connection, the same on
//! both sides.

use crate::connections::{announced, asked, hex, member, pair, talk_over, within};
use crate::js::Js;
use corestore_peer::swarm::hyperdht::{ConnectSettings, ServerSettings};
use corestore_peer::swarm::member::Member;
use corestore_peer::swarm::pool::{Pool, SharedWire};
use serde_json::{Value, json};
use std::time::Duration;

/// A member with a pool that listens under its key.
async fn pooled(js: &Js, seed: u8) -> (Member, Pool) {
    let ours = member(&js.bootstrap, seed, |_| {});
    within(20, ours.bootstrapped()).await;
    let pool = ours.pool();
    announced(&ours, || pool.listen(&pair(seed), ServerSettings::default()).unwrap()).await;
    (ours, pool)
}

/// Says a word over a connection of a pool, or hears one.
async fn talk(wire: SharedWire, word: Option<&str>) -> String {
    let (initiator, split) = (wire.initiator, wire.take_split().unwrap());
    within(20, talk_over(wire, initiator, split, word)).await
}

/// Asks until there is an answer.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(20, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pools_of_ours_that_call_each_other_keep_one_connection() {
    let js = Js::start(4);
    let ((_one, first), (_two, second)) = tokio::join!(pooled(&js, 91), pooled(&js, 92));
    let (mut told, one, two) = (first.connections(), pair(91).public_key(), pair(92).public_key());
    let (ours, theirs) = (pair(91), pair(92));
    let settings = ConnectSettings::default;
    let calls = async {
        tokio::join!(
            first.connect(&ours, two, settings()),
            first.connect(&ours, two, settings()),
            second.connect(&theirs, one, settings()),
        )
    };
    let (call, again, _) = within(30, calls).await;
    assert_eq!(call.unwrap().connection, again.unwrap().connection);
    // When both calls came about, one of them goes.
    let same = async || {
        let (ours, theirs) = (first.get(&two)?, second.get(&one)?);
        (ours.initiator != theirs.initiator).then_some((ours, theirs))
    };
    let (ours, theirs) = until(same).await;
    assert_eq!((first.standing().len(), second.standing().len()), (1, 1));
    assert!(within(5, told.recv()).await.is_some());
    let hearing = tokio::spawn(talk(theirs.clone(), None));
    assert_eq!(talk(ours.clone(), Some("hello")).await, "HELLO");
    ours.close();
    assert_eq!(hearing.await.unwrap(), "hello");
    until(async || (!first.has(&two) && !second.has(&one)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_of_ours_and_one_of_theirs_keep_the_same_connection() {
    let mut js = Js::start(4);
    for (our_seed, their_seed) in [(93, 94), (96, 95)] {
        let (_member, pool) = pooled(&js, our_seed).await;
        let (key_pair, our_key, their_key) =
            (pair(our_seed), pair(our_seed).public_key(), pair(their_seed).public_key());
        let named = json!([hex(their_seed), our_key.to_string()]);
        assert_eq!(asked(&mut js, "pool", json!([hex(their_seed)])).await, json!(their_key.to_string()));
        let calls = async {
            let call = pool.connect(&key_pair, their_key, ConnectSettings::default());
            tokio::join!(call, asked(&mut js, "poolConnect", named.clone()))
        };
        let (call, theirs) = within(30, calls).await;
        assert!(call.is_ok() && theirs == json!(true), "{call:?}, {theirs}");
        let same = async || {
            let theirs = asked(&mut js, "pooled", named.clone()).await;
            let ours = pool.get(&their_key)?;
            (theirs == json!({ "connections": 1, "initiator": Value::from(!ours.initiator) })).then_some(ours)
        };
        let wire = until(same).await;
        assert_eq!(pool.standing().len(), 1);
        assert_eq!(talk(wire, Some("pooled")).await, "POOLED");
        // Who has one gets it again.
        let again = within(5, pool.connect(&key_pair, their_key, ConnectSettings::default())).await.unwrap();
        assert_eq!(again.connection, pool.get(&their_key).unwrap().connection);
    }
}
