//! Whole connections: Noise messages, headers and sealed frames.

use crate::json::{Value, fixed, hex, list, number, text};
use crate::report::Report;
use corestore_core::crypto::PublicKey;
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
