//! The swarm as JavaScript holds it.

use super::swarm::Swarm;
use crate::bytes::{index, key_from_js, to_js};
use crate::corestore::CorestoreHandle;
use crate::entropy;
use crate::error;
use corestore_core::crypto::{Hash, KeyPair, PublicKey};
use corestore_core::hyperswarm::JoinOptions;
use js_sys::Uint8Array;
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// A swarm by way of one relay. What happens is told as events `swarm-…` of its number.
#[wasm_bindgen]
pub struct SwarmHandle {
    swarm: Rc<Swarm>,
    public_key: PublicKey,
}

impl core::fmt::Debug for SwarmHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SwarmHandle")
    }
}

#[wasm_bindgen]
impl CorestoreHandle {
    /// Joins the DHT by way of the relay at `url`, as the holder of the key with the 32-byte `seed` (drawn when
    /// `undefined`; it never leaves this module). The relay is dialled again whenever it is lost; waits grow between two
    /// bounds in milliseconds.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` names what makes no sense.
    pub fn swarm(&self, url: String, seed: &JsValue, min: f64, max: f64) -> Result<SwarmHandle, JsValue> {
        let seed = match seed.is_undefined() || seed.is_null() {
            true => entropy::seed()?,
            false => key(seed, "keyPair.seed")?,
        };
        let key_pair = KeyPair::from_seed(&seed);
        let public_key = key_pair.public_key();
        let number = self.driver().events().new_connection();
        let swarm = Swarm::start(self.driver(), self.transports(), (number, url), key_pair, (min, max))?;
        Ok(SwarmHandle { swarm, public_key })
    }
}

#[wasm_bindgen]
impl SwarmHandle {
    /// Its number in events.
    #[wasm_bindgen(getter)]
    pub fn number(&self) -> u32 {
        self.swarm.number()
    }

    /// 32 bytes, by which others know and call it.
    #[wasm_bindgen(getter, js_name = publicKey)]
    pub fn public_key(&self) -> Uint8Array {
        to_js(self.public_key.as_ref())
    }

    /// Joins a topic of 32 bytes: to be found, to find others, or both; calls at most `limit` of its peers.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when the topic is none.
    pub fn join(&self, topic: &JsValue, server: bool, client: bool, limit: f64) -> Result<(), JsValue> {
        let topic = Hash(key(topic, "the topic")?);
        let limit = index(limit).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        self.swarm.ask(|machine, now| machine.join(now, topic, JoinOptions { server, client, limit }));
        Ok(())
    }

    /// Leaves a topic; connections stay.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when the topic is none.
    pub fn leave(&self, topic: &JsValue) -> Result<(), JsValue> {
        let topic = Hash(key(topic, "the topic")?);
        self.swarm.ask(|machine, now| machine.leave(now, topic));
        Ok(())
    }

    /// Keeps a connection to the peer with this key, or no more.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when the key is none.
    #[wasm_bindgen(js_name = joinPeer)]
    pub fn join_peer(&self, peer: &JsValue, joined: bool) -> Result<(), JsValue> {
        let peer = PublicKey(key(peer, "the peer's key")?);
        self.swarm.act(|machine, now| match joined {
            true => machine.join_peer(now, peer),
            false => machine.leave_peer(&peer),
        });
        Ok(())
    }

    /// Has nothing to do with the peer with this key, or has again.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when the key is none.
    pub fn ban(&self, peer: &JsValue, banned: bool) -> Result<(), JsValue> {
        let peer = PublicKey(key(peer, "the peer's key")?);
        self.swarm.act(|machine, now| machine.ban(now, peer, banned));
        Ok(())
    }

    /// Looks every topic up again.
    pub fn refresh(&self) {
        self.swarm.ask(|machine, now| machine.refresh(now));
    }

    /// Dials the relay now rather than at the end of a wait.
    pub fn redial(&self) {
        self.swarm.dial_now();
    }

    /// Ends it and every connection it brought.
    pub fn close(&self) {
        self.swarm.destroy();
    }
}

fn key(value: &JsValue, what: &str) -> Result<[u8; 32], JsValue> {
    key_from_js(value).ok_or_else(|| error::bad_argument(&format!("{what} has to be 32 bytes.")))
}
