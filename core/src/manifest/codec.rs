//! The manifest's bytes (`hypercore/lib/messages.js`, `manifest`).

use super::schema::{Manifest, Prologue, Signer};
use crate::crypto::{Hash, PublicKey};
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use alloc::vec::Vec;

impl Encode for Manifest {
    fn encode(&self, writer: &mut Writer) {
        writer.uint(u64::from(self.version));
        if self.version == 0 {
            encode_v0(self, writer);
            return;
        }
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        writer.uint(
            flag(self.allow_patch, PATCH)
                | flag(self.prologue.is_some(), PROLOGUE)
                | flag(self.linked.is_some(), LINKED)
                | flag(self.user_data.is_some(), USER_DATA),
        );
        writer.uint(BLAKE2B);
        writer.uint(self.quorum);
        encode_signers(&self.signers, writer);
        if let Some(prologue) = &self.prologue {
            writer.raw(prologue.hash.as_ref());
            writer.uint(prologue.length);
        }
        if let Some(linked) = &self.linked {
            writer.count(linked.len());
            linked.iter().for_each(|key| writer.raw(key));
        }
        if let Some(user_data) = &self.user_data {
            writer.buffer(user_data);
        }
    }
}

fn encode_v0(manifest: &Manifest, writer: &mut Writer) {
    writer.uint(BLAKE2B);
    match (&manifest.prologue, manifest.signers.as_slice()) {
        (Some(prologue), []) => {
            writer.uint(V0_STATIC);
            writer.raw(prologue.hash.as_ref());
        }
        (_, [signer]) if manifest.quorum == 1 && !manifest.allow_patch => {
            writer.uint(V0_SINGLE);
            encode_signer(signer, writer);
        }
        (_, signers) => {
            writer.uint(V0_MULTI);
            writer.uint(u64::from(manifest.allow_patch));
            writer.uint(manifest.quorum);
            encode_signers(signers, writer);
        }
    }
}

fn encode_signer(signer: &Signer, writer: &mut Writer) {
    writer.uint(ED25519);
    writer.raw(signer.namespace.as_ref());
    writer.raw(signer.public_key.as_ref());
}

fn encode_signers(signers: &[Signer], writer: &mut Writer) {
    writer.count(signers.len());
    signers.iter().for_each(|signer| encode_signer(signer, writer));
}

impl Decode for Manifest {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let unknown = reader.error("manifest version");
        let version = reader.uint("manifest version")?;
        let version = u8::try_from(version).ok().filter(|version| *version <= MAX_VERSION).ok_or(unknown)?;
        if version == 0 {
            return decode_v0(reader);
        }
        let flags = reader.uint("manifest flags")?;
        decode_hash(reader)?;
        let quorum = reader.uint("manifest quorum")?;
        let signers = decode_signers(reader)?;
        let prologue = (flags & PROLOGUE != 0).then(|| decode_prologue(reader)).transpose()?;
        let linked = (flags & LINKED != 0).then(|| decode_linked(reader)).transpose()?;
        let user_data = (flags & USER_DATA != 0).then(|| reader.buffer("manifest user data")).transpose()?;
        Ok(Self {
            version,
            allow_patch: flags & PATCH != 0,
            quorum,
            signers,
            prologue,
            linked,
            user_data: user_data.map(<[u8]>::to_vec),
        })
    }
}

fn decode_v0(reader: &mut Reader<'_>) -> Result<Manifest, DecodeError> {
    decode_hash(reader)?;
    let unknown = reader.error("manifest type");
    let kind = reader.uint("manifest type")?;
    let mut manifest = Manifest {
        version: 0,
        allow_patch: false,
        quorum: 0,
        signers: Vec::new(),
        prologue: None,
        linked: None,
        user_data: None,
    };
    match kind {
        V0_STATIC => {
            manifest.prologue = Some(Prologue { hash: Hash(reader.array("manifest prologue")?), length: 0 });
        }
        V0_SINGLE => {
            manifest.quorum = 1;
            manifest.signers.push(decode_signer(reader)?);
        }
        V0_MULTI => {
            manifest.allow_patch = reader.uint("manifest flags")? & 1 != 0;
            manifest.quorum = reader.uint("manifest quorum")?;
            manifest.signers = decode_signers(reader)?;
        }
        _ => return Err(unknown),
    }
    Ok(manifest)
}

fn decode_hash(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let unknown = reader.error("manifest hash kind");
    if reader.uint("manifest hash kind")? == BLAKE2B { Ok(()) } else { Err(unknown) }
}

fn decode_signer(reader: &mut Reader<'_>) -> Result<Signer, DecodeError> {
    let unknown = reader.error("signer kind");
    if reader.uint("signer kind")? != ED25519 {
        return Err(unknown);
    }
    let namespace = Hash(reader.array("signer namespace")?);
    Ok(Signer { namespace, public_key: PublicKey(reader.array("signer public key")?) })
}

fn decode_signers(reader: &mut Reader<'_>) -> Result<Vec<Signer>, DecodeError> {
    let count = reader.count(65, "signers")?;
    let mut signers = (0..count).map(|_| decode_signer(reader)).collect::<Result<Vec<Signer>, DecodeError>>()?;
    // Every open core keeps them.
    signers.shrink_to_fit();
    Ok(signers)
}

fn decode_prologue(reader: &mut Reader<'_>) -> Result<Prologue, DecodeError> {
    let hash = Hash(reader.array("manifest prologue")?);
    Ok(Prologue { hash, length: reader.uint("manifest prologue length")? })
}

fn decode_linked(reader: &mut Reader<'_>) -> Result<Vec<[u8; 32]>, DecodeError> {
    let count = reader.count(32, "linked keys")?;
    (0..count).map(|_| reader.array("linked key")).collect()
}

const MAX_VERSION: u8 = 3;
const BLAKE2B: u64 = 0;
const ED25519: u64 = 0;
const V0_STATIC: u64 = 0;
const V0_SINGLE: u64 = 1;
const V0_MULTI: u64 = 2;
const PATCH: u64 = 1;
const PROLOGUE: u64 = 2;
const LINKED: u64 = 4;
const USER_DATA: u64 = 8;
