//! Whatever arrives: nothing panics, nothing is allocated because a length says so, and what was written comes back.

use bytes::Bytes;
use corestore_core::crypto::{Hash, PublicKey};
use corestore_core::encoding::{Decode, Encode, Reader, Writer, decode_index_key, encode_index_key};
use corestore_core::log::{Auth, StoredState};
use corestore_core::manifest::{Manifest, MultiSignature, Prologue, Signer};
use corestore_core::replication::{Handshake, Message};
use corestore_core::storage::records::{Alias, CoreEntry, StoreState};
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
enum Field {
    Uint(u64),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    Buffer(Vec<u8>),
    Optional(Option<Vec<u8>>),
    Text(String),
    Array([u8; 7]),
}

const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

fn uint() -> impl Strategy<Value = u64> {
    let edges = [0, 0xfc, 0xfd, 0xff, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, MAX_SAFE_INTEGER];
    prop_oneof![0..=MAX_SAFE_INTEGER, 0_u64..70_000, prop::sample::select(edges.to_vec())]
}

fn field() -> impl Strategy<Value = Field> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        uint().prop_map(Field::Uint),
        any::<u8>().prop_map(Field::U8),
        any::<u16>().prop_map(Field::U16),
        any::<u32>().prop_map(Field::U32),
        any::<u64>().prop_map(Field::U64),
        bytes().prop_map(Field::Buffer),
        bytes().prop_map(|bytes| Field::Optional((!bytes.is_empty()).then_some(bytes))),
        ".{0,20}".prop_map(Field::Text),
        any::<[u8; 7]>().prop_map(Field::Array),
    ]
}

fn write(field: &Field, writer: &mut Writer) {
    match field {
        Field::Uint(value) => writer.uint(*value),
        Field::U8(value) => writer.u8(*value),
        Field::U16(value) => writer.u16(*value),
        Field::U32(value) => writer.u32(*value),
        Field::U64(value) => writer.u64(*value),
        Field::Buffer(bytes) => writer.buffer(bytes),
        Field::Optional(bytes) => writer.optional_buffer(bytes.as_deref()),
        Field::Text(text) => writer.string(text),
        Field::Array(bytes) => writer.raw(bytes),
    }
}

fn read(like: &Field, reader: &mut Reader<'_>) -> Option<Field> {
    Some(match like {
        Field::Uint(_) => Field::Uint(reader.uint("").ok()?),
        Field::U8(_) => Field::U8(reader.u8("").ok()?),
        Field::U16(_) => Field::U16(reader.u16("").ok()?),
        Field::U32(_) => Field::U32(reader.u32("").ok()?),
        Field::U64(_) => Field::U64(reader.u64("").ok()?),
        Field::Buffer(_) => Field::Buffer(reader.buffer("").ok()?.to_vec()),
        Field::Optional(_) => Field::Optional(reader.optional_buffer("").ok()?.map(<[u8]>::to_vec)),
        Field::Text(_) => Field::Text(reader.string("").ok()?),
        Field::Array(_) => Field::Array(reader.array("").ok()?),
    })
}

fn manifest() -> impl Strategy<Value = Manifest> {
    let signer = (any::<[u8; 32]>(), any::<[u8; 32]>())
        .prop_map(|(namespace, key)| Signer { namespace: Hash(namespace), public_key: PublicKey(key) });
    let prologue = prop::option::of((any::<[u8; 32]>(), 1..=MAX_SAFE_INTEGER))
        .prop_map(|prologue| prologue.map(|(hash, length)| Prologue { hash: Hash(hash), length }));
    let linked = prop::option::of(prop::collection::vec(any::<[u8; 32]>(), 1..4));
    let user_data = prop::option::of(prop::collection::vec(any::<u8>(), 1..50));
    let signers = prop::collection::vec(signer, 1..6);
    (1_u8..=3, any::<bool>(), 1_u64..6, signers, prologue, linked, user_data).prop_map(
        |(version, allow_patch, quorum, signers, prologue, linked, user_data)| Manifest {
            version,
            allow_patch,
            quorum,
            signers,
            prologue,
            linked: linked.filter(|_| version >= 2),
            user_data: user_data.filter(|_| version >= 2),
        },
    )
}

/// Every decoder of core on the same bytes.
fn decode_all(bytes: &[u8]) {
    let _ = Manifest::from_bytes(bytes);
    let _ = MultiSignature::from_bytes(bytes);
    let _ = Handshake::from_bytes(bytes);
    let _ = Auth::from_bytes(bytes);
    let _ = StoredState::from_bytes(bytes);
    let _ = StoreState::from_bytes(bytes);
    let _ = CoreEntry::from_bytes(bytes);
    let _ = Alias::from_bytes(bytes);
    let bytes = Bytes::copy_from_slice(bytes);
    for kind in 0..12 {
        let _ = Message::decode(kind, &bytes);
    }
}

proptest! {
    #[test]
    fn fields_come_back_and_never_half(fields in prop::collection::vec(field(), 0..12)) {
        let mut writer = Writer::new();
        fields.iter().for_each(|field| write(field, &mut writer));
        let bytes = writer.into_vec();
        let mut reader = Reader::new(&bytes);
        for field in &fields {
            let back = read(field, &mut reader);
            prop_assert_eq!(back.as_ref(), Some(field));
        }
        prop_assert!(reader.is_empty());
        for end in 0..bytes.len() {
            let mut reader = Reader::new(&bytes[..end]);
            let whole = fields.iter().all(|field| read(field, &mut reader).is_some());
            prop_assert!(!whole, "cut at {} of {}", end, bytes.len());
        }
    }

    #[test]
    fn index_keys_sort_as_numbers(a: u64, b: u64) {
        let key = |value| {
            let mut writer = Writer::new();
            encode_index_key(&mut writer, value);
            writer.into_vec()
        };
        prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
        prop_assert_eq!(decode_index_key(&mut Reader::new(&key(a))), Ok(a));
        prop_assert!(decode_index_key(&mut Reader::new(&key(a)[1..])).is_err());
    }

    #[test]
    fn manifests_come_back_and_never_half(manifest in manifest()) {
        let bytes = manifest.to_bytes();
        for end in 0..bytes.len() {
            prop_assert!(Manifest::from_bytes(&bytes[..end]).is_err(), "cut at {}", end);
        }
        prop_assert_eq!(Manifest::from_bytes(&bytes), Ok(manifest));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_all(&bytes);
    }

    /// A good beginning leads deeper into the decoders than noise does.
    #[test]
    fn no_bent_manifest_panics(manifest in manifest(), at: usize, byte: u8) {
        let mut bytes = manifest.to_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        decode_all(&bytes);
    }

    /// Claims of 2^32 and more items behind each number of leading bytes: allocating for them would end the process.
    #[test]
    fn no_claimed_length_is_believed(lead in prop::collection::vec(0_u8..4, 0..40), claim in 1_u64 << 32..1 << 52) {
        let mut writer = Writer::new();
        writer.raw(&lead);
        writer.uint(claim);
        writer.raw(&[1; 40]);
        decode_all(writer.as_slice());
    }
}
