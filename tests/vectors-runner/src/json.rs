//! Reading the vectors' values.

use corestore_core::crypto::Hash;
use corestore_core::manifest::{Manifest, Prologue, Signer};
use corestore_core::merkle::{Node, TreeIndex};
use serde_json::Value;

/// The items of a list; none when it is absent.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A number, written as number or as decimal string.
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| value.as_str().and_then(|text| text.parse().ok()).expect("a number"))
}

/// Text.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

/// Bytes from hex digits.
pub(crate) fn hex(value: &Value) -> Vec<u8> {
    let digits = text(value).as_bytes();
    let nibble = |digit: u8| u8::try_from(char::from(digit).to_digit(16).expect("a hex digit")).expect("below 16");
    digits.chunks(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}

/// A fixed number of bytes from hex digits.
pub(crate) fn fixed<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().expect("so many bytes")
}

/// A tree node.
pub(crate) fn node(value: &Value) -> Node {
    Node { index: TreeIndex(number(&value["index"])), size: number(&value["size"]), hash: Hash(fixed(&value["hash"])) }
}

/// A manifest.
pub(crate) fn manifest(value: &Value) -> Manifest {
    let signer = |signer: &Value| Signer {
        namespace: Hash(fixed(&signer["namespace"])),
        public_key: fixed(&signer["publicKey"]).into(),
    };
    let prologue = &value["prologue"];
    Manifest {
        version: u8::try_from(number(&value["version"])).expect("a version"),
        allow_patch: value["allowPatch"].as_bool().expect("a flag"),
        quorum: number(&value["quorum"]),
        signers: list(value, "signers").iter().map(signer).collect(),
        prologue: (!prologue.is_null())
            .then(|| Prologue { hash: Hash(fixed(&prologue["hash"])), length: number(&prologue["length"]) }),
        linked: value["linked"].as_array().map(|keys| keys.iter().map(fixed).collect()),
        user_data: (!value["userData"].is_null()).then(|| hex(&value["userData"])),
    }
}
