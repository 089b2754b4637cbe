//! The vectors' values. Each remembers whether anyone read it, so that an entry nobody checks cannot go unnoticed.

use corestore_core::crypto::Hash;
use corestore_core::manifest::{Manifest, Prologue, Signer};
use corestore_core::merkle::{Node, TreeIndex};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddrV4;
use std::ops::Index;
use std::sync::atomic::{AtomicBool, Ordering};

/// A JSON value that remembers whether it was read.
#[derive(Debug)]
pub struct Value {
    read: AtomicBool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let kind = match value {
            Json::Null => Kind::Null,
            Json::Bool(flag) => Kind::Bool(flag),
            Json::Number(number) => Kind::Number(number),
            Json::String(text) => Kind::Text(text),
            Json::Array(items) => Kind::List(items.into_iter().map(Self::from).collect()),
            Json::Object(fields) => {
                Kind::Object(fields.into_iter().map(|(key, value)| (key, Self::from(value))).collect())
            }
        };
        Self { read: AtomicBool::new(false), kind }
    }
}

impl Value {
    fn note(&self) -> &Kind {
        self.read.store(true, Ordering::Relaxed);
        &self.kind
    }

    /// The field, if the object has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self.note() {
            Kind::Object(fields) => fields.get(key),
            _ => None,
        }
    }

    /// The items of a list.
    pub(crate) fn as_array(&self) -> Option<&Vec<Self>> {
        match self.note() {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn as_u64(&self) -> Option<u64> {
        match self.note() {
            Kind::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self.note() {
            Kind::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self.note() {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.note(), Kind::Null)
    }

    /// The whole value, read to its last leaf.
    pub(crate) fn plain(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self.note() {
            Kind::Null => Json::Null,
            Kind::Bool(flag) => Json::Bool(*flag),
            Kind::Number(number) => Json::Number(number.clone()),
            Kind::Text(text) => Json::String(text.clone()),
            Kind::List(items) => items.iter().map(Self::plain).collect(),
            Kind::Object(fields) => {
                Json::Object(fields.iter().map(|(key, value)| (key.clone(), value.plain())).collect())
            }
        }
    }

    /// Marks the value as read to its last leaf: `why` it needs no check stands in the code.
    pub(crate) fn skip(&self, why: &str) {
        debug_assert!(!why.is_empty());
        self.plain();
    }

    /// The places of the leaves that nobody read, list numbers left out, with how many there are.
    pub fn unread(&self) -> BTreeMap<String, usize> {
        let mut places = BTreeMap::new();
        self.collect_unread("", &mut places);
        places
    }

    fn collect_unread(&self, path: &str, places: &mut BTreeMap<String, usize>) {
        match &self.kind {
            Kind::List(items) if !items.is_empty() => {
                items.iter().for_each(|item| item.collect_unread(&format!("{path}[]"), places));
            }
            Kind::Object(fields) if !fields.is_empty() => {
                fields.iter().for_each(|(key, value)| value.collect_unread(&format!("{path}/{key}"), places));
            }
            _ if self.read.load(Ordering::Relaxed) => {}
            _ => *places.entry(path.to_owned()).or_default() += 1,
        }
    }
}

/// What a missing field reads as.
static ABSENT: Value = Value { read: AtomicBool::new(true), kind: Kind::Null };

impl Index<&str> for Value {
    type Output = Self;

    fn index(&self, key: &str) -> &Self {
        self.get(key).unwrap_or(&ABSENT)
    }
}

impl PartialEq<str> for Value {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(*other)
    }
}

/// For the names of checks; this does not count as reading.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Null => f.write_str("null"),
            Kind::Bool(flag) => flag.fmt(f),
            Kind::Number(number) => number.fmt(f),
            Kind::Text(text) => f.write_str(text),
            Kind::List(items) => write!(f, "a list of {}", items.len()),
            Kind::Object(_) => f.write_str("an object"),
        }
    }
}

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

/// The value, unless it is null or absent.
pub(crate) fn present(value: &Value) -> Option<&Value> {
    (!value.is_null()).then_some(value)
}

/// A value that may be absent.
pub(crate) fn optional<T>(value: &Value, read: impl FnOnce(&Value) -> T) -> Option<T> {
    (!value.is_null()).then(|| read(value))
}

/// An IPv4 address: `host` and `port`.
pub(crate) fn address(value: &Value) -> SocketAddrV4 {
    let port = u16::try_from(number(&value["port"])).expect("a port");
    SocketAddrV4::new(text(&value["host"]).parse().expect("a host"), port)
}

/// A tree node.
pub(crate) fn node(value: &Value) -> Node {
    Node { index: TreeIndex(number(&value["index"])), size: number(&value["size"]), hash: Hash(fixed(&value["hash"])) }
}

/// A manifest.
pub(crate) fn manifest(value: &Value) -> Manifest {
    assert!(value["hash"] == "blake2b", "a manifest of another hash");
    let signer = |signer: &Value| {
        assert!(signer["signature"] == "ed25519", "a signer of another kind");
        Signer { namespace: Hash(fixed(&signer["namespace"])), public_key: fixed(&signer["publicKey"]).into() }
    };
    let prologue = &value["prologue"];
    Manifest {
        version: u8::try_from(number(&value["version"])).expect("a version"),
        allow_patch: value["allowPatch"].as_bool().expect("a flag"),
        quorum: number(&value["quorum"]),
        signers: list(value, "signers").iter().map(signer).collect(),
        prologue: present(prologue)
            .map(|prologue| Prologue { hash: Hash(fixed(&prologue["hash"])), length: number(&prologue["length"]) }),
        linked: value["linked"].as_array().map(|keys| keys.iter().map(fixed).collect()),
        user_data: present(&value["userData"]).map(hex),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_read_is_named() {
        let file =
            Value::from(serde_json::json!({"a": [{"b": 1, "c": 2}, {"b": 3, "c": 4}], "d": {"e": []}, "f": null}));
        for item in list(&file, "a") {
            number(&item["b"]);
        }
        let unread: Vec<_> = file.unread().into_iter().collect();
        assert_eq!(unread, [("/a[]/c".to_owned(), 2), ("/d/e".to_owned(), 1), ("/f".to_owned(), 1)]);
        file.skip("a test");
        assert!(file.unread().is_empty());
    }
}
