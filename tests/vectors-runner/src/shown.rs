//! HyperDHT's messages as the vectors write them.

use corestore_core::dht::{
    Announce, HandshakeMessage, HandshakePayload, HolepunchMessage, HolepunchPayload, LookupReply, Mode, MutablePut,
    MutableValue, Pair, PeerRecord, PluginRequest, Unpair,
};
use corestore_core::encoding::{Decode, Encode, Reader, Writer};
use serde_json::{Value, json};
use std::net::{SocketAddrV4, SocketAddrV6};

/// What the bytes of a message say, and the bytes that its value gives again.
pub(crate) fn show_message(name: &str, bytes: &[u8]) -> Option<(Value, Vec<u8>)> {
    Some(match name {
        "peer" => both(bytes, show_peer)?,
        "peers" => {
            // A list of peers is a lookup's answer without its last field.
            let found = LookupReply::from_bytes(bytes).ok()?;
            let mut writer = Writer::new();
            writer.count(found.peers.len());
            found.peers.iter().for_each(|peer| peer.encode(&mut writer));
            (found.peers.iter().map(show_peer).collect(), writer.into_vec())
        }
        "lookupRawReply" => both(
            bytes,
            |found: &LookupReply| json!({ "peers": found.peers.iter().map(show_peer).collect::<Value>(), "bump": found.bump }),
        )?,
        "announce" => both(bytes, show_announce)?,
        "mutablePutRequest" => both(bytes, |put: &MutablePut| {
            let mut shown = show_mutable(&put.value);
            shown["publicKey"] = json!(put.public_key.to_string());
            shown
        })?,
        "mutableGetResponse" => both(bytes, show_mutable)?,
        "mutableSignable" => {
            let mut reader = Reader::new(bytes);
            let (seq, value) = (reader.uint("seq").ok()?, reader.buffer("value").ok()?);
            let mut writer = Writer::new();
            writer.uint(seq);
            writer.buffer(value);
            (json!({ "seq": seq, "value": hex(value) }), writer.into_vec())
        }
        "handshake" => both(bytes, show_handshake)?,
        "holepunch" => both(bytes, show_holepunch)?,
        "noisePayload" => both(bytes, show_noise_payload)?,
        "holepunchPayload" => both(bytes, show_holepunch_payload)?,
        "pluginRequest" => both(bytes, |request: &PluginRequest| {
            let value = request.value.as_ref().map(|value| hex(value));
            json!({
                "plugin": request.plugin, "version": request.version, "command": request.command, "value": value,
            })
        })?,
        "blind-relay pair" => both(bytes, |pair: &Pair| {
            json!({
                "isInitiator": pair.initiator, "token": pair.token.to_string(), "id": pair.stream, "seq": pair.seq,
            })
        })?,
        "blind-relay unpair" => both(bytes, |unpair: &Unpair| json!({ "token": unpair.token.to_string() }))?,
        _ => return None,
    })
}

pub(crate) fn show_noise_payload(payload: &HandshakePayload) -> Value {
    let relay = |relay: &corestore_core::dht::RelayInfo| json!({ "relayAddress": show(&relay.relay_address), "peerAddress": show(&relay.peer_address) });
    let holepunch = payload
        .holepunch
        .as_ref()
        .map(|info| json!({ "id": info.id, "relays": info.relays.iter().map(relay).collect::<Value>() }));
    let udx = payload.udx.map(
        |udx| json!({ "version": udx.version, "reusableSocket": udx.reusable_socket, "id": udx.id, "seq": udx.seq }),
    );
    let through = payload.relay_through.map(|relay| {
        json!({
            "version": relay.version, "publicKey": relay.public_key.to_string(), "token": relay.token.to_string(),
        })
    });
    json!({
        "version": payload.version,
        "error": payload.error.number(),
        "firewall": payload.firewall.number(),
        "holepunch": holepunch,
        "addresses4": payload.addresses4.iter().map(show).collect::<Value>(),
        "addresses6": payload.addresses6.iter().map(show_v6).collect::<Value>(),
        "udx": udx,
        "secretStream": payload.secret_stream.map(|info| json!({ "version": info.version })),
        "relayThrough": through,
        "relayAddresses": payload.relay_addresses.as_ref().map(|all| all.iter().map(show).collect::<Value>()),
    })
}

pub(crate) fn show_holepunch_payload(payload: &HolepunchPayload) -> Value {
    json!({
        "error": payload.error.number(),
        "firewall": payload.firewall.number(),
        "round": payload.round,
        "connected": payload.connected,
        "punching": payload.punching,
        "addresses": payload.addresses.as_ref().map(|all| all.iter().map(show).collect::<Value>()),
        "remoteAddress": payload.remote_address.as_ref().map(show),
        "token": payload.token.map(|token| token.to_string()),
        "remoteToken": payload.remote_token.map(|token| token.to_string()),
    })
}

fn both<T: Decode + Encode>(bytes: &[u8], show: impl Fn(&T) -> Value) -> Option<(Value, Vec<u8>)> {
    let value = T::from_bytes(bytes).ok()?;
    Some((show(&value), value.to_bytes()))
}

pub(crate) fn show_peer(peer: &PeerRecord) -> Value {
    json!({
        "publicKey": peer.public_key.to_string(),
        "relayAddresses": peer.relay_addresses.iter().map(show).collect::<Value>(),
    })
}

fn show_announce(announce: &Announce) -> Value {
    json!({
        "peer": announce.peer.as_ref().map(show_peer),
        "refresh": announce.refresh.map(|refresh| refresh.to_string()),
        "signature": announce.signature.map(|signature| signature.to_string()),
        "bump": announce.bump,
    })
}

fn show_mutable(value: &MutableValue) -> Value {
    json!({ "seq": value.seq, "value": hex(&value.value), "signature": value.signature.to_string() })
}

fn show_handshake(message: &HandshakeMessage) -> Value {
    json!({
        "mode": show_mode(message.mode),
        "noise": hex(&message.noise),
        "peerAddress": message.peer_address.as_ref().map(show),
        "relayAddress": message.relay_address.as_ref().map(show),
    })
}

fn show_holepunch(message: &HolepunchMessage) -> Value {
    json!({
        "mode": show_mode(message.mode),
        "id": message.id,
        "payload": hex(&message.payload),
        "peerAddress": message.peer_address.as_ref().map(show),
    })
}

fn show_mode(mode: Mode) -> u64 {
    match mode {
        Mode::FromClient => 0,
        Mode::FromServer => 1,
        Mode::FromRelay => 2,
        Mode::FromSecondRelay => 3,
        Mode::Reply => 4,
    }
}

pub(crate) fn show(address: &SocketAddrV4) -> Value {
    json!({ "host": address.ip().to_string(), "port": address.port() })
}

/// The reference does not shorten runs of zeros.
fn show_v6(address: &SocketAddrV6) -> Value {
    let words: Vec<String> = address.ip().segments().iter().map(|word| format!("{word:x}")).collect();
    json!({ "host": words.join(":"), "port": address.port() })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
