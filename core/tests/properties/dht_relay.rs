//! The messages of dht-relay: what is written is read, a cut and bytes behind are noticed, noise does no harm.

use bytes::Bytes;
use corestore_core::crypto::{Hash, PublicKey, Signature};
use corestore_core::dht::{
    Announcers, Contact, DhtRelayError, DhtRelayMessage as Message, HolepunchKey, NoiseProgress, PeerRecord,
    StreamAlias,
};
use corestore_core::encoding::{Decode, Encode};
use proptest::option;
use proptest::prelude::*;
use std::net::SocketAddrV4;

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

fn key() -> impl Strategy<Value = PublicKey> {
    any::<[u8; 32]>().prop_map(PublicKey)
}

fn payload() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn address() -> impl Strategy<Value = SocketAddrV4> {
    any::<(u32, u16)>().prop_map(|(host, port)| SocketAddrV4::new(host.into(), port))
}

fn addresses() -> impl Strategy<Value = Vec<SocketAddrV4>> {
    prop::collection::vec(address(), 0..4)
}

fn progress() -> impl Strategy<Value = NoiseProgress> {
    prop_oneof![
        Just(NoiseProgress::Called),
        key().prop_map(NoiseProgress::CalledBy),
        (any::<bool>(), hash(), any::<[u8; 32]>()).prop_map(|(initiator, remote_id, key)| {
            NoiseProgress::Complete { initiator, remote_id, holepunch_key: HolepunchKey::new(key) }
        }),
    ]
}

fn message() -> BoxedStrategy<Message> {
    let given = ((any::<[u32; 3]>(), key(), key(), hash(), hash()), (payload(), address(), addresses(), progress()));
    let more = (
        prop::collection::vec(payload(), 0..4),
        option::of("[a-z]{1,20}"),
        option::of(any::<[u8; 64]>()),
        option::of(any::<u32>()),
        any::<bool>(),
    );
    (0..28_u64, given, more)
        .prop_map(|(kind, given, more)| {
            let (([id, alias, remote_alias], key, other, topic, token), (payload, address, addresses, progress)) =
                given;
            let (data, error, signature, name, sender) = more;
            let stream = if sender { StreamAlias::Sender(alias) } else { StreamAlias::Receiver(alias) };
            match kind {
                0 => Message::Handshake { public_key: key },
                1 => Message::Ping,
                2 => Message::Pong,
                3 => Message::Connect { alias, public_key: key, remote_public_key: other },
                4 => Message::Connection { alias, server_alias: id, remote_public_key: other, handshake: remote_alias },
                5 => Message::Connected { alias, remote_alias },
                6 => Message::Incoming { id, server_alias: alias, remote_public_key: other, payload },
                7 => Message::Deny { id },
                8 => Message::Accept { id },
                9 => Message::Destroy { stream, error },
                10 => Message::Listen { alias, public_key: key },
                11 => Message::Listening { alias, remote_alias, address },
                12 => Message::Close { alias },
                13 => Message::Closed { alias },
                14 => Message::Open { alias, remote_alias, handshake: id },
                15 => Message::End { alias },
                16 => Message::Data { alias, data },
                17 => Message::Result { id, data: payload },
                18 => Message::Finished { id },
                19 => Message::Lookup { id, topic },
                20 => Message::Announce { id, topic, public_key: key },
                21 => Message::Unannounce { id, topic, public_key: key },
                22 => Message::SignAnnounce { id, signee: alias, token, node: topic, relay_addresses: addresses },
                23 => Message::SignUnannounce { id, signee: alias, token, node: topic, relay_addresses: addresses },
                24 => Message::Signature { id, signature: signature.map(Signature) },
                25 => Message::NoiseSend { id, stream: name, payload },
                26 => Message::NoiseReceive { id, server: name, payload },
                _ => Message::NoiseReply { id, payload, progress },
            }
        })
        .boxed()
}

proptest! {
    #[test]
    fn messages_come_back_and_never_half(message in message()) {
        let bytes = Bytes::from(message.to_bytes());
        prop_assert_eq!(&Message::decode(message.kind(), &bytes), &Ok(message.clone()));
        for cut in 0..bytes.len() {
            prop_assert!(Message::decode(message.kind(), &bytes.slice(..cut)).is_err(), "cut at {}", cut);
        }
        let longer = Bytes::from([&bytes[..], &[0]].concat());
        prop_assert!(Message::decode(message.kind(), &longer).is_err());
    }

    #[test]
    fn noise_does_no_harm(kind in 0..40_u64, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = (Message::decode(kind, &bytes), Announcers::from_bytes(&bytes));
    }

    #[test]
    fn bent_messages_do_no_harm(message in message(), at: usize, byte: u8) {
        let mut bytes = message.to_bytes();
        if let Some(at) = at.checked_rem(bytes.len()) {
            bytes[at] = byte;
        }
        let _ = Message::decode(message.kind(), &Bytes::from(bytes));
    }

    #[test]
    fn answers_come_back_and_never_half(
        token in hash(), ids in (option::of(hash()), option::of(hash())), at in address(), seen in address(),
        peers in prop::collection::vec((key(), addresses()), 0..4),
    ) {
        let record = |(public_key, relay_addresses)| PeerRecord { public_key, relay_addresses };
        let answer = Announcers {
            token,
            from: Contact { id: ids.0, address: at },
            to: Contact { id: ids.1, address: seen },
            peers: peers.into_iter().map(record).collect(),
        };
        let bytes = answer.to_bytes();
        for cut in 0..bytes.len() {
            prop_assert!(Announcers::from_bytes(&bytes[..cut]).is_err());
        }
        prop_assert_eq!(Announcers::from_bytes(&bytes), Ok(answer));
    }
}

#[test]
fn a_secret_key_is_refused_unread_and_a_flood_of_chunks_too() {
    let secret = Bytes::from([&[1][..], &[7; 96]].concat());
    for kind in [0, 3, 10, 20, 21] {
        assert_eq!(Message::decode(kind, &secret), Err(DhtRelayError::Custodial { kind }));
    }
    assert_eq!(Message::decode(28, &secret), Err(DhtRelayError::Unknown { kind: 28 }));
    let flood = Message::Data { alias: 1, data: vec![Bytes::new(); 70_000] };
    let refused = Message::decode(16, &Bytes::from(flood.to_bytes()));
    assert!(matches!(refused, Err(DhtRelayError::Malformed { kind: 16, .. })));
}
