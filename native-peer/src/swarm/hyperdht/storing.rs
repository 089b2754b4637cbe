//! Requests of others, on records and values we keep, and on peers we pass messages to.

use super::machine::HyperDht;
use super::output::ServerId;
use super::router::{Route, Step};
use super::store::{Announced, Place};
use crate::swarm::dht_rpc::{Answer, IncomingRequest};
use bytes::Bytes;
use corestore_core::crypto::{Hash, PublicKey};
use corestore_core::dht::{Command, peer_target};
use corestore_core::encoding::Encode;
use corestore_core::time::Instant;

impl HyperDht {
    pub(super) fn handle_request(&mut self, now: Instant, request: &IncomingRequest) {
        match Command::from_number(request.command) {
            Some(Command::PeerHandshake) => {
                let step = self.router.handshake(now, request);
                if let Some((server, message)) = self.take_step(request, step) {
                    self.handle_handshake(now, server, &message, request);
                }
            }
            Some(Command::PeerHolepunch) => {
                let step = self.router.holepunch(now, request);
                if let Some((server, message)) = self.take_step(request, step) {
                    self.handle_word(now, server, &message, request);
                }
            }
            Some(command) if self.rpc.id().is_some() && self.store.is_some() => {
                match self.serve(now, command, request) {
                    Some(answer) => self.rpc.answer(request, answer),
                    // Plugins: we have none.
                    None if command == Command::Plugin => self.rpc.refuse(request),
                    None => {}
                }
            }
            _ => self.rpc.refuse(request),
        }
    }

    fn take_step<M>(&mut self, request: &IncomingRequest, step: Step<M>) -> Option<(ServerId, M)> {
        match step {
            Step::Serve(server, message) => return Some((server, message)),
            Step::Relay(value, to) => self.rpc.relay(request, value, to, None),
            Step::Answer(answer) => self.rpc.answer(request, answer),
            Step::Drop => {}
        }
        None
    }

    fn serve(&mut self, now: Instant, command: Command, request: &IncomingRequest) -> Option<Answer> {
        let (target, node) = (request.target.as_ref()?, self.rpc.id()?);
        let value = request.value.as_ref();
        let store = self.store.as_mut()?;
        let place = request.token.as_ref().map(|token| Place { target, node: &node, token });
        Some(match command {
            Command::FindPeer => {
                let record = self.router.route(target).map(|route| Bytes::from(route.record.to_bytes()));
                Answer::with_value(record.or_else(|| self.own_record(target)))
            }
            Command::Lookup => {
                let route = self.router.route(target).map(|route| &route.record);
                Answer::with_value(store.lookup(now, target, route, &mut self.entropy))
            }
            Command::Announce => {
                let unix = self.config.unix_epoch.saturating_add(now.as_micros() / 1000);
                if let Announced::Route(target, record) = store.announce(now, unix, place?, value?)? {
                    self.router.add_route(now, target, Route { relay: request.from, record });
                }
                Answer::default()
            }
            Command::Unannounce => {
                let key = store.unannounce(place?, value?)?;
                self.drop_route(target, &key);
                Answer::default()
            }
            Command::MutableGet => Answer::with_value(store.mutable_get(target, value?)?),
            Command::MutablePut => {
                place?;
                match store.mutable_put(now, target, value?)? {
                    Ok(()) => Answer::with_value(None),
                    Err(error) => Answer { error: error.number(), closer_nodes: true, ..Answer::default() },
                }
            }
            Command::ImmutableGet => Answer::with_value(store.immutable_get(target)),
            Command::ImmutablePut => {
                place?;
                store.immutable_put(now, target, value?).then(|| Answer::with_value(None))?
            }
            Command::PeerHandshake | Command::PeerHolepunch | Command::Plugin => return None,
        })
    }

    fn drop_route(&mut self, target: &Hash, key: &PublicKey) {
        if peer_target(key) == *target {
            self.router.remove_route(target);
        }
    }

    /// Forgets a record of ours that we keep ourselves.
    pub(super) fn forget_own(&mut self, target: &Hash, key: &PublicKey) {
        self.store.iter_mut().for_each(|store| store.forget(target, key));
        self.drop_route(target, key);
    }
}
