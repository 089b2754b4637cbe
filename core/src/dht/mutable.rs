//! Signed values, and requests to plugins (`hyperdht/lib/messages.js`, `hyperdht/lib/persistent.js`).

use crate::crypto::namespace::MUTABLE_PUT;
use crate::crypto::{KeyPair, PublicKey, Signature, blake2b, verify_signature};
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// A signed value as a node gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutableValue {
    /// Later values have greater numbers.
    pub seq: u64,
    /// The value.
    pub value: Bytes,
    /// The owner's signature over both.
    pub signature: Signature,
}

/// A signed value as it is put: its owner, then the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutablePut {
    /// The owner; the target is the hash of this key.
    pub public_key: PublicKey,
    /// What is put.
    pub value: MutableValue,
}

/// A request to a plugin of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginRequest {
    /// Its name.
    pub plugin: String,
    /// Its version.
    pub version: u64,
    /// The plugin's own number for what is asked.
    pub command: u64,
    /// What the command needs.
    pub value: Option<Bytes>,
}

impl MutableValue {
    /// Signs a value.
    pub fn sign(key_pair: &KeyPair, seq: u64, value: Bytes) -> Self {
        let signature = key_pair.sign(&signable(seq, &value));
        Self { seq, value, signature }
    }

    /// True when the holder of `public_key` signed this value with this number.
    pub fn verify(&self, public_key: &PublicKey) -> bool {
        verify_signature(public_key, &signable(self.seq, &self.value), &self.signature)
    }
}

fn signable(seq: u64, value: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.uint(seq);
    writer.buffer(value);
    [MUTABLE_PUT.as_ref(), blake2b(&[writer.as_slice()]).as_ref()].concat()
}

impl Encode for MutableValue {
    fn encode(&self, writer: &mut Writer) {
        writer.uint(self.seq);
        writer.buffer(&self.value);
        writer.raw(self.signature.as_ref());
    }
}

impl Decode for MutableValue {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let seq = reader.uint("sequence number")?;
        let value = Bytes::copy_from_slice(reader.buffer("mutable value")?);
        Ok(Self { seq, value, signature: Signature(reader.array("signature")?) })
    }
}

impl Encode for MutablePut {
    fn encode(&self, writer: &mut Writer) {
        writer.raw(self.public_key.as_ref());
        self.value.encode(writer);
    }
}

impl Decode for MutablePut {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let public_key = PublicKey(reader.array("owner's key")?);
        Ok(Self { public_key, value: MutableValue::decode(reader)? })
    }
}

impl Encode for PluginRequest {
    fn encode(&self, writer: &mut Writer) {
        writer.string(&self.plugin);
        writer.uint(self.version);
        writer.uint(self.command);
        writer.u8(u8::from(self.value.is_some()));
        self.value.iter().for_each(|value| writer.buffer(value));
    }
}

impl Decode for PluginRequest {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let plugin = reader.string("plugin")?;
        let (version, command) = (reader.uint("plugin version")?, reader.uint("plugin command")?);
        let value = if reader.uint("plugin flags")? & 1 == 0 {
            None
        } else {
            Some(Bytes::copy_from_slice(reader.buffer("plugin value")?))
        };
        Ok(Self { plugin, version, command, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_one_number_and_value_only() {
        let pair = KeyPair::from_seed(&[1; 32]);
        let value = MutableValue::sign(&pair, 7, Bytes::from_static(b"value"));
        assert!(value.verify(&pair.public_key()));
        assert!(!MutableValue { seq: 8, ..value.clone() }.verify(&pair.public_key()));
        assert!(!MutableValue { value: Bytes::new(), ..value }.verify(&pair.public_key()));
    }
}
