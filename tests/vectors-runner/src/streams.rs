//! Whole connections: Noise messages, headers and sealed frames; and the mux's frames.

use crate::json::{Value, fixed, hex, list, number, text};
use crate::report::Report;
use bytes::Bytes;
use corestore_core::crypto::PublicKey;
use corestore_core::protomux::{ChannelId, Mux, MuxEvent, MuxLimits};
use corestore_core::stream::{HEADER_BYTES, Noise, Pattern, Seal, Setup};

pub(crate) fn secret_stream(file: &Value, report: &mut Report) {
    for entry in list(file, "noise") {
        noise(entry, report);
    }
    for entry in list(file, "connections") {
        connection(entry, report);
    }
}

fn setup<'a>(pattern: Pattern, seeds: (&'a [u8; 32], [u8; 32]), prologue: &'a [u8], initiator: bool) -> Setup<'a> {
    Setup { pattern, initiator, identity_seed: seeds.0, ephemeral_seed: seeds.1, prologue, remote: None }
}

fn seed(side: &Value) -> [u8; 32] {
    hex(&side["secretKey"])[..32].try_into().expect("32 bytes")
}

fn noise(entry: &Value, report: &mut Report) {
    let name = text(&entry["protocol"]);
    let pattern = if name.starts_with("Noise_IK") { Pattern::Ik } else { Pattern::Xx };
    let prologue = hex(&entry["prologue"]);
    let ephemeral: Vec<[u8; 32]> = list(entry, "ephemeralSeeds").iter().map(|draw| fixed(&draw["bytes"])).collect();
    let (ours, theirs) = (seed(&entry["initiator"]), seed(&entry["responder"]));
    let mut first = setup(pattern, (&ours, ephemeral[0]), &prologue, true);
    if pattern == Pattern::Ik {
        first.remote = Some(PublicKey(fixed(&entry["responder"]["publicKey"])));
    }
    let mut initiator = Noise::new(&first).expect("a handshake");
    let second = setup(pattern, (&theirs, ephemeral[1]), &prologue, false);
    let mut responder = Noise::new(&second).expect("a handshake");
    for step in list(entry, "flow") {
        let (from, to) = match text(&step["from"]) {
            "initiator" => (&mut initiator, &mut responder),
            _ => (&mut responder, &mut initiator),
        };
        let message = from.write(&hex(&step["payload"])).expect("a message");
        report.equal(&format!("{name} message"), &message, &hex(&step["message"]));
        report.equal(&format!("{name} payload"), &to.read(&message), &Ok(hex(&step["payload"])));
    }
    let split = initiator.finish().expect("finished");
    report.equal("handshake hash", &split.hash, &fixed(&entry["handshakeHash"]));
    report.equal("key of the initiator", &split.send, &fixed(&entry["initiatorTx"]));
    report.equal("key of the responder", &split.receive, &fixed(&entry["initiatorRx"]));
    let other = responder.finish().expect("finished");
    report.check("both split alike", other.send == split.receive && other.receive == split.send);
}

fn connection(entry: &Value, report: &mut Report) {
    let draw = |call: &str| {
        let draws = list(entry, "draws").iter().filter(|draw| draw["call"] == call);
        draws.map(|draw| hex(&draw["bytes"])).collect::<Vec<_>>()
    };
    let ephemeral = draw("crypto_sign_keypair");
    let headers = draw("secretstream_header");
    let fixed_seed = |bytes: &Vec<u8>| <[u8; 32]>::try_from(bytes.as_slice()).expect("32 bytes");
    let seeds = [seed(&entry["initiator"]), seed(&entry["responder"])];
    let make = |side: usize| {
        Noise::new(&setup(Pattern::Xx, (&seeds[side], fixed_seed(&ephemeral[side])), &[], side == 0)).expect("noise")
    };
    let mut sides = [make(0), make(1)];
    let frames = list(entry, "frames");
    for (turn, frame) in frames.iter().take(3).enumerate() {
        let message = sides[turn % 2].write(&[]).expect("a message");
        report.equal("handshake frame", &message, &hex(&frame["frame"])[3..].to_vec());
        report.check("handshake read", sides[(turn + 1) % 2].read(&message).is_ok());
    }
    let split = sides[0].finish().expect("finished");
    report.equal("handshake hash", &split.hash, &fixed(&entry["handshakeHash"]));
    report.equal("initiator's key", &split.send, &fixed(&entry["split"]["initiatorTx"]));
    let keys = [split.send, split.receive];
    let ids = ["initiatorStreamId", "responderStreamId"];
    let mut seals: Vec<(Seal, Seal)> = Vec::new();
    for side in 0..2 {
        let header: [u8; HEADER_BYTES] = headers[side].as_slice().try_into().expect("a header");
        let frame = [hex(&entry[ids[side]]), header.to_vec()].concat();
        report.equal("header frame", &frame, &hex(&frames[3 + side]["frame"])[3..].to_vec());
        seals.push((Seal::new(&keys[side], &header), Seal::new(&keys[side], &header)));
    }
    for (frame, message) in frames[5..].iter().zip(list(entry, "messages")) {
        let side = usize::from(frame["from"] != "initiator");
        let (plain, sealed) = (hex(&message["plain"]), hex(&frame["frame"])[3..].to_vec());
        let mut out = Vec::new();
        seals[side].0.seal(&plain, &mut out);
        report.check("seal", out == sealed);
        report.check("open", seals[side].1.open(&sealed) == Some(plain));
    }
}

/// Each side's frames are taken in by the other; what it is told must be what the file says.
pub(crate) fn protomux(file: &Value, report: &mut Report) {
    for scene in list(file, "scenes") {
        let name = text(&scene["name"]);
        if name.starts_with("alias") {
            // Their own protocol names; ours are checked with `hypercore` as the alias.
            continue;
        }
        for listener in ["a", "b"] {
            let mut told = listen(scene, listener);
            let mut expected: Vec<String> = list(scene, "received")
                .iter()
                .filter(|entry| entry["to"] == listener && entry["close"] != "local")
                .map(|entry| match (entry["open"].as_str(), entry["close"].as_str()) {
                    (Some(handshake), _) => format!("open {handshake}"),
                    (_, Some(_)) => "close".to_owned(),
                    _ => format!("message {}", number(&entry["type"])),
                })
                .collect();
            // Which of two channels is told of first is no part of the protocol.
            told.sort();
            expected.sort();
            report.equal(&format!("{name}: what {listener} hears"), &told, &expected);
        }
    }
}

/// Replays the other side's frames into a mux that opens whatever `listener` opened, in that order.
fn listen(scene: &Value, listener: &str) -> Vec<String> {
    let mut mux = Mux::new(MuxLimits::default(), &[]);
    let mut channels: Vec<ChannelId> = Vec::new();
    let mut told = Vec::new();
    for entry in list(scene, "frames") {
        let bytes = Bytes::from(hex(&entry["frame"]));
        if entry["from"] == listener {
            own_frame(&bytes, &mut mux, &mut channels);
        } else {
            mux.handle_message(&bytes).expect("a good frame");
        }
    }
    while let Some(event) = mux.poll_event() {
        match event {
            MuxEvent::Opened { handshake, .. } => {
                let text = handshake.get(1..).unwrap_or_default();
                told.push(format!("open {}", String::from_utf8_lossy(text)));
            }
            MuxEvent::Message { kind, .. } if kind < 2 => told.push(format!("message {kind}")),
            MuxEvent::Closed { .. } => told.push("close".to_owned()),
            _ => {}
        }
    }
    told
}

/// Does what a frame of our own shows that we did: opens and closes.
fn own_frame(bytes: &Bytes, mux: &mut Mux, channels: &mut Vec<ChannelId>) {
    use corestore_core::encoding::Reader;
    let mut reader = Reader::new(bytes);
    let (channel, kind) = (reader.uint("").expect("a channel"), reader.uint("").expect("a number"));
    if channel != 0 {
        return;
    }
    let kind = if kind == 0 {
        // A batch that begins with an open on the control channel.
        let (inner, _) = (reader.uint("").expect("a channel"), reader.uint("").expect("a length"));
        if inner != 0 {
            return;
        }
        reader.uint("").expect("a number")
    } else {
        kind
    };
    let id = reader.uint("").expect("a channel");
    match kind {
        1 => {
            let protocol = reader.string("").expect("a protocol");
            let named = reader.optional_buffer("").expect("an id").map(<[u8]>::to_vec);
            channels.extend(mux.open(&protocol, named.as_deref(), &[]));
        }
        3 => {
            if let Some(channel) = channels.get(usize::try_from(id).expect("small") - 1) {
                mux.close(*channel);
            }
        }
        _ => {}
    }
}
