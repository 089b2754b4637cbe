//! Passing handshakes and words on hole punching between peers (`hyperdht/lib/router.js`): who is behind a target, and
//! where a message goes next.

use super::config::Config;
use super::generations::Generations;
use super::output::ServerId;
use crate::swarm::dht_rpc::{Answer, IncomingRequest};
use bytes::Bytes;
use corestore_core::budget::Budget;
use corestore_core::crypto::Hash;
use corestore_core::dht::{HandshakeMessage, HolepunchMessage, Mode, PeerRecord};
use corestore_core::encoding::{Decode, Encode};
use corestore_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::net::SocketAddrV4;

/// Peers that handshakes are passed on to, and our own servers.
#[derive(Debug)]
pub(super) struct Router {
    routes: Generations<Hash, Route>,
    servers: BTreeMap<Hash, ServerId>,
    /// Requests passed on lately: only their answers are.
    passed: Generations<Passed, ()>,
    budget: Budget,
}

/// A peer that announced itself at us.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// The peer as we see it.
    pub(super) relay: SocketAddrV4,
    pub(super) record: PeerRecord,
}

/// What to do with a message.
#[derive(Debug)]
pub(super) enum Step<M> {
    /// It is for this server.
    Serve(ServerId, M),
    /// Pass it on.
    Relay(Bytes, SocketAddrV4),
    /// Answer.
    Answer(Answer),
    /// Nothing.
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Passed {
    tid: u16,
    command: u64,
    client: SocketAddrV4,
}

impl Router {
    pub(super) fn new(now: Instant, config: &Config) -> Self {
        Self {
            routes: Generations::new(now, config.max_records, usize::MAX, config.record_age),
            servers: BTreeMap::new(),
            passed: Generations::new(now, MAX_PASSED, usize::MAX, PASSED_AGE),
            budget: Budget::new(now, config.max_relayed),
        }
    }

    pub(super) fn add_server(&mut self, target: Hash, server: ServerId) {
        self.servers.insert(target, server);
    }

    pub(super) fn remove_server(&mut self, target: &Hash) {
        self.servers.remove(target);
    }

    pub(super) fn server(&self, target: &Hash) -> Option<ServerId> {
        self.servers.get(target).copied()
    }

    pub(super) fn add_route(&mut self, now: Instant, target: Hash, route: Route) {
        self.routes.insert(now, target, route, 1);
    }

    pub(super) fn remove_route(&mut self, target: &Hash) {
        self.routes.remove(target);
    }

    pub(super) fn route(&self, target: &Hash) -> Option<&Route> {
        self.routes.get(target)
    }

    /// Entries kept.
    pub(super) fn len(&self) -> usize {
        self.routes.len().saturating_add(self.servers.len()).saturating_add(self.passed.len())
    }

    pub(super) fn handle_time(&mut self, now: Instant) {
        self.routes.turn_if_due(now);
        self.passed.turn_if_due(now);
    }

    /// Where a handshake goes.
    pub(super) fn handshake(&mut self, now: Instant, request: &IncomingRequest) -> Step<HandshakeMessage> {
        let Some((target, message)) = parse::<HandshakeMessage>(request) else { return Step::Drop };
        if let Some(server) = self.server(&target) {
            return Step::Serve(server, message);
        }
        let relay = self.route(&target).map(|route| route.relay);
        let pass = |mode, peer_address, relay_address| {
            Bytes::from(HandshakeMessage { mode, noise: message.noise.clone(), peer_address, relay_address }.to_bytes())
        };
        match (message.mode, relay) {
            // Clients do not choose where we send things: only the peer's own announcement does.
            (Mode::FromClient, None) => Step::Answer(Answer { closer_nodes: true, ..Answer::default() }),
            (Mode::FromClient, Some(relay)) => {
                self.pass(now, request, request.from, pass(Mode::FromRelay, Some(request.from), None), relay)
            }
            (Mode::FromRelay, Some(relay)) if self.budget.take(now) => {
                Step::Relay(pass(Mode::FromSecondRelay, message.peer_address, Some(request.from)), relay)
            }
            (Mode::FromServer, _) => match message.peer_address {
                Some(client) if self.was_passed(request, client) => {
                    let value = Some(pass(Mode::Reply, Some(request.from), None));
                    Step::Answer(Answer { value, to: Some(client), ..Answer::default() })
                }
                _ => Step::Drop,
            },
            _ => Step::Drop,
        }
    }

    /// Where a word on hole punching goes.
    pub(super) fn holepunch(&mut self, now: Instant, request: &IncomingRequest) -> Step<HolepunchMessage> {
        let Some((target, message)) = parse::<HolepunchMessage>(request) else { return Step::Drop };
        let relay = self.route(&target).map(|route| route.relay);
        let pass = |mode, peer_address| {
            let HolepunchMessage { id, payload, .. } = message.clone();
            Bytes::from(HolepunchMessage { mode, id, payload, peer_address }.to_bytes())
        };
        match message.mode {
            Mode::FromClient => match message.peer_address.or(relay) {
                Some(to) => self.pass(now, request, request.from, pass(Mode::FromRelay, Some(request.from)), to),
                None => Step::Drop,
            },
            Mode::FromRelay => match self.server(&target) {
                Some(server) if message.peer_address.is_some() => Step::Serve(server, message),
                _ => Step::Drop,
            },
            Mode::FromServer => match message.peer_address {
                Some(client) if self.was_passed(request, client) => {
                    let value = Some(pass(Mode::Reply, Some(request.from)));
                    Step::Answer(Answer { value, to: Some(client), ..Answer::default() })
                }
                _ => Step::Drop,
            },
            Mode::FromSecondRelay | Mode::Reply => Step::Drop,
        }
    }

    fn pass<M>(
        &mut self,
        now: Instant,
        request: &IncomingRequest,
        client: SocketAddrV4,
        value: Bytes,
        to: SocketAddrV4,
    ) -> Step<M> {
        if !self.budget.take(now) {
            return Step::Drop;
        }
        let passed = Passed { tid: request.tid, command: request.command, client };
        self.passed.insert(now, passed, (), 1);
        Step::Relay(value, to)
    }

    /// Without this a forged answer would make us send to anybody.
    fn was_passed(&self, request: &IncomingRequest, client: SocketAddrV4) -> bool {
        let passed = Passed { tid: request.tid, command: request.command, client };
        self.passed.get(&passed).is_some()
    }
}

fn parse<M: Decode>(request: &IncomingRequest) -> Option<(Hash, M)> {
    let message = M::from_bytes(request.value.as_ref()?).ok()?;
    Some((request.target?, message))
}

/// Requests remembered as passed on.
const MAX_PASSED: usize = 16_384;
/// For how long, about: a client sends a request for some seconds.
const PASSED_AGE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::dht_rpc::SocketId;
    use corestore_core::crypto::PublicKey;
    use corestore_core::dht::Command;
    use std::net::Ipv4Addr;

    const TARGET: Hash = Hash([1; 32]);

    fn address(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
    }

    fn request(from: u16, command: Command, value: Vec<u8>) -> IncomingRequest {
        IncomingRequest {
            tid: 7,
            from: address(from),
            id: None,
            to: address(1),
            socket: SocketId::SERVER,
            token: None,
            internal: false,
            command: command.number(),
            target: Some(TARGET),
            value: Some(Bytes::from(value)),
        }
    }

    fn handshake(from: u16, mode: Mode, peer: Option<u16>, relay: Option<u16>) -> IncomingRequest {
        let noise = Bytes::from_static(b"noise");
        let (peer_address, relay_address) = (peer.map(address), relay.map(address));
        let message = HandshakeMessage { mode, noise, peer_address, relay_address };
        request(from, Command::PeerHandshake, message.to_bytes())
    }

    fn router(config: &Config) -> Router {
        let mut router = Router::new(Instant::ZERO, config);
        let record = PeerRecord { public_key: PublicKey([0; 32]), relay_addresses: Vec::new() };
        router.add_route(Instant::ZERO, TARGET, Route { relay: address(50), record });
        router
    }

    #[test]
    fn a_handshake_goes_there_and_back() {
        let (mut router, now) = (router(&Config::default()), Instant::ZERO);
        let Step::Relay(value, to) = router.handshake(now, &handshake(9, Mode::FromClient, None, None)) else {
            panic!("passed on")
        };
        let passed = HandshakeMessage::from_bytes(&value).unwrap();
        assert_eq!((to, passed.mode, passed.peer_address), (address(50), Mode::FromRelay, Some(address(9))));
        let Step::Answer(answer) = router.handshake(now, &handshake(50, Mode::FromServer, Some(9), None)) else {
            panic!("answered")
        };
        let reply = HandshakeMessage::from_bytes(&answer.value.unwrap()).unwrap();
        assert_eq!((answer.to, reply.mode, reply.peer_address), (Some(address(9)), Mode::Reply, Some(address(50))));
    }

    #[test]
    fn an_answer_nobody_asked_for_goes_nowhere() {
        let (mut router, now) = (router(&Config::default()), Instant::ZERO);
        assert!(matches!(router.handshake(now, &handshake(50, Mode::FromServer, Some(9), None)), Step::Drop));
        let word =
            HolepunchMessage { mode: Mode::FromServer, id: 0, payload: Bytes::new(), peer_address: Some(address(9)) };
        let forged = request(50, Command::PeerHolepunch, word.to_bytes());
        assert!(matches!(router.holepunch(now, &forged), Step::Drop));
    }

    #[test]
    fn a_client_cannot_choose_where_a_handshake_goes() {
        let mut router = Router::new(Instant::ZERO, &Config::default());
        let step = router.handshake(Instant::ZERO, &handshake(9, Mode::FromClient, None, Some(66)));
        assert!(matches!(step, Step::Answer(Answer { to: None, closer_nodes: true, .. })));
    }

    #[test]
    fn a_flood_is_passed_on_up_to_the_budget() {
        let mut router = router(&Config { max_relayed: 10, ..Config::default() });
        let step = |router: &mut Router| router.handshake(Instant::ZERO, &handshake(9, Mode::FromClient, None, None));
        assert_eq!((0..1000).filter(|_| matches!(step(&mut router), Step::Relay(..))).count(), 10);
    }
}
