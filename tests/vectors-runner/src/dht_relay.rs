//! The protocol dht-relay: every message, and the answers of a query.

use crate::json::{Value, hex, list, number, text};
use crate::report::Report;
use crate::shown::{hex as digits, show, show_peer};
use bytes::Bytes;
use corestore_core::dht::{Announcers, Contact, DhtRelayError, DhtRelayMessage as Message, NoiseProgress, StreamAlias};
use corestore_core::encoding::{Decode, Encode};
use serde_json::{Value as Json, json};

pub(crate) fn dht_relay(file: &Value, report: &mut Report) {
    report.equal("the protocol", &Message::PROTOCOL, &text(&file["protocol"]));
    for entry in list(file, "entries") {
        let (name, kind, bytes) = (text(&entry["name"]), number(&entry["kind"]), Bytes::from(hex(&entry["hex"])));
        let decoded = &entry["decoded"];
        let message = Message::decode(kind, &bytes);
        if decoded["custodial"].as_bool() == Some(true) {
            decoded.skip("a secret key, or the word of a relay that has it, is not read");
            report.equal(&format!("{name} is refused"), &message, &Err(DhtRelayError::Custodial { kind }));
            continue;
        }
        match message {
            Ok(message) => {
                report.equal(&format!("{name} read"), &show_message(&message), &decoded.plain());
                report.equal(&format!("{name}'s number"), &message.kind(), &kind);
                report.check(&format!("{name} written"), message.to_bytes() == bytes);
            }
            Err(error) => report.check(&format!("{name}: {error}"), false),
        }
    }
}

fn show_message(message: &Message) -> Json {
    match message {
        Message::Ping | Message::Pong => json!({}),
        Message::Handshake { public_key } => {
            json!({ "custodial": false, "publicKey": public_key.to_string(), "secretKey": null })
        }
        Message::Connected { alias, remote_alias } => json!({ "alias": alias, "remoteAlias": remote_alias }),
        Message::Deny { id } | Message::Accept { id } | Message::Finished { id } => json!({ "id": id }),
        Message::Close { alias } | Message::Closed { alias } | Message::End { alias } => json!({ "alias": alias }),
        Message::Data { alias, data } => {
            json!({ "alias": alias, "data": data.iter().map(|chunk| digits(chunk)).collect::<Json>() })
        }
        Message::Result { id, data } => {
            json!({ "id": id, "data": Announcers::from_bytes(data).ok().as_ref().map(show_answer) })
        }
        Message::Lookup { id, topic } => json!({ "id": id, "topic": topic.to_string() }),
        Message::Announce { id, topic, public_key } | Message::Unannounce { id, topic, public_key } => json!({
            "custodial": false, "id": id, "topic": topic.to_string(), "publicKey": public_key.to_string(),
            "secretKey": null,
        }),
        Message::SignAnnounce { id, signee, token, node, relay_addresses }
        | Message::SignUnannounce { id, signee, token, node, relay_addresses } => json!({
            "id": id, "signee": signee, "token": token.to_string(), "peerId": node.to_string(),
            "relayAddresses": relay_addresses.iter().map(show).collect::<Json>(),
        }),
        Message::Signature { id, signature } => {
            json!({ "id": id, "signature": signature.map(|given| given.to_string()).unwrap_or_default() })
        }
        Message::NoiseSend { .. } | Message::NoiseReceive { .. } | Message::NoiseReply { .. } => show_noise(message),
        _ => show_stream(message),
    }
}

fn show_stream(message: &Message) -> Json {
    match message {
        Message::Connect { alias, public_key, remote_public_key } => json!({
            "custodial": false, "alias": alias, "publicKey": public_key.to_string(), "secretKey": null,
            "remotePublicKey": remote_public_key.to_string(),
        }),
        Message::Connection { alias, server_alias, remote_public_key, handshake } => json!({
            "custodial": false, "alias": alias, "serverAlias": server_alias,
            "remotePublicKey": remote_public_key.to_string(), "handshakeHash": null, "handshakeId": handshake,
        }),
        Message::Incoming { id, server_alias, remote_public_key, payload } => json!({
            "id": id, "serverAlias": server_alias, "remotePublicKey": remote_public_key.to_string(),
            "payload": digits(payload),
        }),
        Message::Destroy { stream: StreamAlias::Sender(alias), error } => {
            json!({ "paired": true, "alias": alias, "remoteAlias": null, "error": error })
        }
        Message::Destroy { stream: StreamAlias::Receiver(alias), error } => {
            json!({ "paired": false, "alias": null, "remoteAlias": alias, "error": error })
        }
        Message::Listen { alias, public_key } => {
            json!({ "custodial": false, "alias": alias, "publicKey": public_key.to_string(), "secretKey": null })
        }
        Message::Listening { alias, remote_alias, address } => json!({
            "alias": alias, "remoteAlias": remote_alias, "host": address.ip().to_string(), "port": address.port(),
        }),
        Message::Open { alias, remote_alias, handshake } => json!({
            "custodial": false, "alias": alias, "remoteAlias": remote_alias, "handshakeHash": null,
            "handshakeId": handshake,
        }),
        _ => Json::Null,
    }
}

fn show_noise(message: &Message) -> Json {
    match message {
        Message::NoiseSend { id, stream, payload } => json!({
            "isInitiator": stream.is_some(), "id": id, "remoteStreamAlias": stream, "payload": digits(payload),
        }),
        Message::NoiseReceive { id, server, payload } => json!({
            "isInitiator": server.is_none(), "id": id, "serverAlias": server, "payload": digits(payload),
        }),
        Message::NoiseReply { id, payload, progress } => {
            let mut shown = json!({
                "isInitiator": false, "complete": false, "id": id, "payload": digits(payload),
                "remotePublicKey": null, "remoteId": null, "holepunchSecret": null,
            });
            match progress {
                NoiseProgress::Called => shown["isInitiator"] = json!(true),
                NoiseProgress::CalledBy(remote) => shown["remotePublicKey"] = json!(remote.to_string()),
                NoiseProgress::Complete { initiator, remote_id, holepunch_key } => {
                    shown["isInitiator"] = json!(initiator);
                    shown["complete"] = json!(true);
                    shown["remoteId"] = json!(remote_id.to_string());
                    shown["holepunchSecret"] = json!(digits(holepunch_key.as_bytes()));
                }
            }
            shown
        }
        _ => Json::Null,
    }
}

fn show_answer(answer: &Announcers) -> Json {
    json!({
        "token": answer.token.to_string(),
        "from": show_contact(&answer.from),
        "to": show_contact(&answer.to),
        "peers": answer.peers.iter().map(show_peer).collect::<Json>(),
    })
}

fn show_contact(contact: &Contact) -> Json {
    let mut shown = show(&contact.address);
    shown["id"] = json!(contact.id.map(|id| id.to_string()));
    shown
}
