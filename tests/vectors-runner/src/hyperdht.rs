//! HyperDHT: messages, what is signed, and handshakes.

use crate::json::{Value, fixed, hex, list, number, text};
use crate::report::Report;
use crate::shown::{show_holepunch_payload, show_message, show_noise_payload};
use bytes::Bytes;
use corestore_core::crypto::namespace::{
    ANNOUNCE, MUTABLE_PUT, PEER_HANDSHAKE, PEER_HOLEPUNCH, STREAM_RESPONDER, UNANNOUNCE, namespace,
};
use corestore_core::crypto::{Hash, KeyPair, PublicKey, blake2b, blake2b_keyed};
use corestore_core::dht::{
    Announce, Command, Firewall, Handshake, HandshakePayload, HolepunchPayload, MutablePut, MutableValue, PeerError,
    peer_target,
};
use corestore_core::encoding::{Decode, Encode};

pub(crate) fn hyperdht(file: &Value, report: &mut Report) {
    constants(file, report);
    for entry in list(file, "entries") {
        let (name, bytes) = (text(&entry["name"]), hex(&entry["hex"]));
        entry["note"].skip("prose");
        entry["message"].skip("what was written; `decoded` is what comes back, and writing it gives the same bytes");
        match show_message(name, &bytes) {
            Some((shown, written)) => {
                report.equal(&format!("{name} read"), &shown, &entry["decoded"].plain());
                report.check(&format!("{name} written"), written == bytes);
            }
            None => report.check(&format!("{name} is known"), false),
        }
    }
    list(file, "signed").iter().for_each(|entry| signed(entry, report));
    list(file, "handshakes").iter().for_each(|entry| handshake(entry, report));
}

fn constants(file: &Value, report: &mut Report) {
    let names = [
        "PEER_HANDSHAKE",
        "PEER_HOLEPUNCH",
        "FIND_PEER",
        "LOOKUP",
        "ANNOUNCE",
        "UNANNOUNCE",
        "MUTABLE_PUT",
        "MUTABLE_GET",
        "IMMUTABLE_PUT",
        "IMMUTABLE_GET",
        "PLUGIN",
    ];
    for (command, name) in (0..).map_while(Command::from_number).zip(names) {
        report.equal(name, &command.number(), &number(&file["commands"][name]));
    }
    for (name, firewall) in [
        ("UNKNOWN", Firewall::Unknown),
        ("OPEN", Firewall::Open),
        ("CONSISTENT", Firewall::Consistent),
        ("RANDOM", Firewall::Random),
    ] {
        report.equal(name, &firewall.number(), &number(&file["firewall"][name]));
    }
    for (name, error) in [
        ("NONE", PeerError::None),
        ("ABORTED", PeerError::Aborted),
        ("VERSION_MISMATCH", PeerError::VersionMismatch),
        ("TRY_LATER", PeerError::TryLater),
        ("SEQ_REUSED", PeerError::SeqReused),
        ("SEQ_TOO_LOW", PeerError::SeqTooLow),
    ] {
        report.equal(name, &error.number(), &number(&file["errors"][name]));
    }
    for (name, space) in [
        ("ANNOUNCE", ANNOUNCE),
        ("UNANNOUNCE", UNANNOUNCE),
        ("MUTABLE_PUT", MUTABLE_PUT),
        ("PEER_HANDSHAKE", PEER_HANDSHAKE),
        ("PEER_HOLEPUNCH", PEER_HOLEPUNCH),
        ("PLUGIN", namespace("hyperswarm/dht", 10)),
    ] {
        report.equal(name, &space, &Hash(fixed(&file["namespaces"][name])));
    }
}

fn signed(entry: &Value, report: &mut Report) {
    let (target, value) = (Hash(fixed(&entry["target"])), hex(&entry["value"]));
    match text(&entry["what"]) {
        "immutable put" => report.equal("the hash of a value", &blake2b(&[&value]), &target),
        "mutable put" => mutable_put(entry, target, &value, report),
        what => announcement(what, entry, target, &value, report),
    }
}

fn pair(secret_key: &Value) -> KeyPair {
    KeyPair::from_seed(hex(secret_key)[..32].try_into().expect("32 bytes"))
}

fn mutable_put(entry: &Value, target: Hash, value: &[u8], report: &mut Report) {
    let pair = pair(&entry["secretKey"]);
    let public_key = PublicKey(fixed(&entry["publicKey"]));
    report.equal("the key", &pair.public_key(), &public_key);
    report.equal("the target", &peer_target(&public_key), &target);
    let signed = MutableValue::sign(&pair, number(&entry["seq"]), Bytes::from(hex(&entry["mutableValue"])));
    report.check("the signature", signed.signature.0 == fixed(&entry["signature"]));
    report.check("it holds", signed.verify(&public_key));
    let put = MutablePut { public_key, value: signed };
    report.check("the request", put.to_bytes() == value);
}

fn announcement(what: &str, entry: &Value, target: Hash, value: &[u8], report: &mut Report) {
    let pair = pair(&entry["secretKey"]);
    let (node, token) = (Hash(fixed(&entry["nodeId"])), Hash(fixed(&entry["token"])));
    let Ok(announce) = Announce::from_bytes(value) else { return report.check("an announcement", false) };
    report.check("written again", announce.to_bytes() == value);
    let (announces, ends) =
        (announce.verify_announce(&target, &node, &token), announce.verify_unannounce(&target, &node, &token));
    report.equal("what it is", &(announces, ends), &(what == "announce", what == "unannounce"));
    report.equal("the key", &pair.public_key(), &PublicKey(fixed(&entry["publicKey"])));
    report.check("the signature", announce.signature.map(|signature| signature.0) == Some(fixed(&entry["signature"])));
    let peer = announce.peer.clone().expect("a peer");
    let shown = show_message("peer", &peer.to_bytes()).map(|(shown, _)| shown);
    report.equal("the peer", &shown, &Some(entry["peer"].plain()));
    let refresh = entry["refresh"].as_str().map(|_| Hash(fixed(&entry["refresh"])));
    report.equal("the refresh token", &announce.refresh, &refresh);
    if announces && refresh.is_none() {
        let made = Announce::sign_announce(&pair, &target, &node, &token, peer, announce.bump);
        report.equal("signed by us", &made, &announce);
    }
}

fn handshake(entry: &Value, report: &mut Report) {
    let draws: Vec<Vec<u8>> = list(entry, "draws").iter().map(|draw| hex(&draw["bytes"])).collect();
    list(entry, "draws").iter().for_each(|draw| draw["call"].skip("their order tells"));
    let seed = |at: usize| <[u8; 32]>::try_from(draws[at].as_slice()).expect("32 bytes");
    let (client, server) = (pair(&entry["clientSecretKey"]), pair(&entry["serverSecretKey"]));
    report.equal("the client", &client.public_key(), &PublicKey(fixed(&entry["clientPublicKey"])));
    report.equal("the server", &server.public_key(), &PublicKey(fixed(&entry["serverPublicKey"])));
    report.equal("the prologue", &PEER_HANDSHAKE, &Hash(fixed(&entry["prologue"])));
    let mut initiator = Handshake::initiator(&client, server.public_key(), seed(0)).expect("a handshake");
    let mut responder = Handshake::responder(&server, seed(1)).expect("a handshake");
    pass("client", entry, &mut initiator, &mut responder, report);
    pass("server", entry, &mut responder, &mut initiator, report);
    let (ours, theirs) = (initiator.finish().expect("over"), responder.finish().expect("over"));
    report.check("both agree", ours.split.send == theirs.split.receive && ours.split.hash == theirs.split.hash);
    report.check("the hash", ours.split.hash == fixed(&entry["handshakeHash"]));
    report.check("the client's keys", ours.split.send == fixed(&entry["clientTx"]));
    report.check("the server's keys", ours.split.receive == fixed(&entry["clientRx"]));
    report.check("the server knows the client", theirs.split.remote == client.public_key());
    report.check("the holepunch key", *ours.holepunch_key.as_bytes() == fixed(&entry["holepunchSecret"]));
    let stream = blake2b_keyed(&ours.split.hash, &[STREAM_RESPONDER.as_ref()]);
    report.equal("the server's stream", &stream, &Hash(fixed(&entry["remoteStreamId"])));
    let sealed = hex(&entry["holepunchSealed"]);
    let Some(word) = theirs.holepunch_key.open(&sealed) else { return report.check("a sealed word", false) };
    report.equal("the word", &show_holepunch_payload(&word), &entry["holepunchPayload"].plain());
    let nonce = draws[3].as_slice().try_into().expect("24 bytes");
    report.check("sealed by us", ours.holepunch_key.seal(&word, nonce) == sealed);
    report.check("a word is a word", HolepunchPayload::from_bytes(&word.to_bytes()) == Ok(word));
}

fn pass(side: &str, entry: &Value, from: &mut Handshake, to: &mut Handshake, report: &mut Report) {
    let encoded = hex(&entry[format!("{side}PayloadEncoded").as_str()]);
    let Ok(payload) = HandshakePayload::from_bytes(&encoded) else { return report.check("a payload", false) };
    let shown = show_noise_payload(&payload);
    report.equal(&format!("the {side}'s payload"), &shown, &entry[format!("{side}Payload").as_str()].plain());
    report.check(&format!("the {side}'s payload written"), payload.to_bytes() == encoded);
    let message = from.write(&payload).expect("a message");
    report.equal(&format!("the {side}'s message"), &message, &hex(&entry[format!("{side}Message").as_str()]));
    report.equal(&format!("the {side}'s message read"), &to.read(&message), &Ok(payload));
}
