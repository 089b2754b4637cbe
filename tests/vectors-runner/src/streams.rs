//! Whole connections: Noise messages, headers and sealed frames.

use crate::json::{Value, fixed, hex, list, number, text};
use crate::report::Report;
use corestore_core::crypto::namespace::{STREAM_INITIATOR, STREAM_RESPONDER};
use corestore_core::crypto::{KeyPair, PublicKey, blake2b_keyed};
use corestore_core::stream::{HEADER_BYTES, Noise, Pattern, Seal, Setup};

pub(crate) fn secret_stream(file: &Value, report: &mut Report) {
    for entry in list(file, "noise") {
        noise(entry, report);
    }
    for entry in list(file, "connections") {
        connection(entry, report);
    }
    for entry in list(file, "dh") {
        report.check("a seed's public key", pair(&entry["secretKey"]).public_key().0 == hex(&entry["secretKey"])[32..]);
        report.check("a public key", hex(&entry["publicKey"]).len() == 32);
        entry["shared"].skip("the stream gives out no bare secret; every handshake above is made of them");
    }
}

fn setup<'a>(pattern: Pattern, seeds: (&'a [u8; 32], [u8; 32]), prologue: &'a [u8], initiator: bool) -> Setup<'a> {
    Setup { pattern, initiator, identity_seed: seeds.0, ephemeral_seed: seeds.1, prologue, remote: None }
}

fn seed(side: &Value) -> [u8; 32] {
    hex(&side["secretKey"])[..32].try_into().expect("32 bytes")
}

fn pair(secret_key: &Value) -> KeyPair {
    KeyPair::from_seed(hex(secret_key)[..32].try_into().expect("32 bytes"))
}

/// A side's public key is its secret key's.
fn identity(side: &Value, report: &mut Report) {
    report.equal("identity", &pair(&side["secretKey"]).public_key(), &PublicKey(fixed(&side["publicKey"])));
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
    identity(&entry["initiator"], report);
    identity(&entry["responder"], report);
    for draw in list(entry, "ephemeralSeeds") {
        report.check("an ephemeral seed", draw["call"] == "crypto_sign_keypair");
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
    entry["rngLabel"].skip("names the pinned randomness; the draws themselves are in the file");
    entry["datagrams"].skip("unordered messages travel over UDX only");
    entry["sendKeys"].skip("inside the seal; every frame below depends on them");
    let draw = |call: &str| {
        let draws = list(entry, "draws").iter().filter(|draw| draw["call"] == *call);
        draws.map(|draw| hex(&draw["bytes"])).collect::<Vec<_>>()
    };
    let (ephemeral, headers) = (draw("crypto_sign_keypair"), draw("secretstream_header"));
    list(entry, "draws").iter().for_each(|draw| draw["bytes"].skip("what is left is drawn for datagrams"));
    let sides = [&entry["initiator"], &entry["responder"]];
    for side in sides {
        identity(side, report);
        report.check("seed", hex(&side["seed"]) == seed(side));
    }
    let seeds = sides.map(seed);
    let make = |side: usize| {
        let ephemeral = ephemeral[side].as_slice().try_into().expect("32 bytes");
        Noise::new(&setup(Pattern::Xx, (&seeds[side], ephemeral), &[], side == 0)).expect("noise")
    };
    let frames: Vec<(usize, Vec<u8>)> = list(entry, "frames").iter().map(|entry| frame(entry, report)).collect();
    let mut noises = [make(0), make(1)];
    for (turn, (from, frame)) in frames.iter().take(3).enumerate() {
        report.equal("whose turn", from, &(turn % 2));
        let message = noises[turn % 2].write(&[]).expect("a message");
        report.equal("handshake frame", &message, frame);
        report.check("handshake read", noises[(turn + 1) % 2].read(&message).is_ok());
    }
    let split = noises[0].finish().expect("finished");
    report.equal("handshake hash", &split.hash, &fixed(&entry["handshakeHash"]));
    report.equal("initiator's key", &split.send, &fixed(&entry["split"]["initiatorTx"]));
    report.equal("responder's key", &split.receive, &fixed(&entry["split"]["initiatorRx"]));
    report.equal("handshake frames", &number(&entry["handshakeFrames"]), &5);
    let keys = [split.send, split.receive];
    let ids = [("initiatorStreamId", STREAM_INITIATOR), ("responderStreamId", STREAM_RESPONDER)];
    let mut seals: Vec<(Seal, Seal)> = Vec::new();
    for (side, (id, namespace)) in ids.into_iter().enumerate() {
        let id = hex(&entry[id]);
        report.check("stream id", blake2b_keyed(&split.hash, &[namespace.as_ref()]).0 == id[..]);
        let header: [u8; HEADER_BYTES] = headers[side].as_slice().try_into().expect("a header");
        report.equal("header frame", &frames[3 + side], &(side, [id, header.to_vec()].concat()));
        seals.push((Seal::new(&keys[side], &header), Seal::new(&keys[side], &header)));
    }
    report.equal("messages", &(frames.len() - 5), &list(entry, "messages").len());
    for ((from, sealed), message) in frames[5..].iter().zip(list(entry, "messages")) {
        report.equal("sender", from, &usize::from(message["from"] != "initiator"));
        let plain = hex(&message["plain"]);
        let mut out = Vec::new();
        seals[*from].0.seal(&plain, &mut out);
        report.check("seal", out == *sealed);
        report.check("open", seals[*from].1.open(sealed) == Some(plain));
    }
}

/// The sender (0 for the initiator) and a frame's content behind its 3-byte length.
fn frame(entry: &Value, report: &mut Report) -> (usize, Vec<u8>) {
    let bytes = hex(&entry["frame"]);
    let (length, content) = bytes.split_at(3);
    let claimed = u32::from_le_bytes([length[0], length[1], length[2], 0]);
    report.equal("frame length", &u32::try_from(content.len()).expect("small"), &claimed);
    (usize::from(entry["from"] != "initiator"), content.to_vec())
}
