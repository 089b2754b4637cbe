//! Manifests and the keys they give.

use crate::json::{self, Value, fixed, hex, list, text};
use crate::report::Report;
use corestore_core::crypto::{CoreKey, PublicKey, discovery_key};
use corestore_core::encoding::{Decode, Encode};
use corestore_core::manifest::{Manifest, Verifier};

pub(crate) fn manifest(file: &Value, report: &mut Report) {
    for entry in list(file, "entries") {
        let name = text(&entry["name"]);
        let ours = json::manifest(&entry["manifest"]);
        let bytes = hex(&entry["hex"]);
        report.equal(&format!("encode {name}"), &ours.to_bytes(), &bytes);
        report.equal(&format!("decode {name}"), &Manifest::from_bytes(&bytes), &Ok(json::manifest(&entry["decoded"])));
        report.equal(&format!("key of {name}"), &ours.key(), &CoreKey(fixed(&entry["key"])));
        report.equal(
            &format!("discovery key of {name}"),
            &discovery_key(&ours.key()).0,
            &fixed(&entry["discoveryKey"]),
        );
        for end in 0..bytes.len() {
            report.check(&format!("{name} cut at {end}"), Manifest::from_bytes(&bytes[..end]).is_err());
        }
    }
    let compat = Manifest::compat(PublicKey(fixed(&file["compatKey"]["publicKey"])));
    let verifier = Verifier::new(compat, &CoreKey(fixed(&file["compatKey"]["key"])));
    report.check("compat key", verifier.is_ok_and(|verifier| verifier.is_compat()));
    for entry in list(file, "decodeErrors") {
        entry["message"].skip("the reference's own text");
        let refused = entry["refused"].as_bool().expect("a flag");
        report.equal(text(&entry["name"]), &Manifest::from_bytes(&hex(&entry["hex"])).is_err(), &refused);
    }
}
