//! From messages to bytes.

use super::message::{DhtRelayMessage, NoiseProgress, StreamAlias};
use crate::crypto::Hash;
use crate::dht::encode_addresses;
use crate::encoding::{Encode, Writer};
use core::net::SocketAddrV4;

impl Encode for DhtRelayMessage {
    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Ping | Self::Pong => {}
            Self::Handshake { public_key } => {
                writer.u8(0);
                writer.raw(public_key.as_ref());
            }
            Self::Connected { alias, remote_alias } => ids(writer, &[*alias, *remote_alias]),
            Self::Deny { id } | Self::Accept { id } | Self::Finished { id } => writer.u32(*id),
            Self::Close { alias } | Self::Closed { alias } | Self::End { alias } => writer.u32(*alias),
            Self::Destroy { stream, error } => destroy(writer, *stream, error.as_deref()),
            Self::Listen { alias, public_key } => {
                writer.u8(0);
                writer.u32(*alias);
                writer.raw(public_key.as_ref());
            }
            Self::Listening { alias, remote_alias, address } => {
                ids(writer, &[*alias, *remote_alias]);
                crate::dht::encode_address(writer, address);
            }
            Self::Open { alias, remote_alias, handshake } => {
                writer.u8(0);
                ids(writer, &[*alias, *remote_alias, *handshake]);
            }
            Self::Connect { .. } | Self::Connection { .. } | Self::Incoming { .. } => calls(writer, self),
            Self::Data { alias, data } => {
                writer.u32(*alias);
                writer.count(data.len());
                data.iter().for_each(|chunk| writer.buffer(chunk));
            }
            Self::Result { id, data } => {
                writer.u32(*id);
                writer.buffer(data);
            }
            Self::Lookup { id, topic } => {
                writer.u32(*id);
                writer.raw(topic.as_ref());
            }
            Self::Announce { id, topic, public_key } | Self::Unannounce { id, topic, public_key } => {
                writer.u8(0);
                writer.u32(*id);
                writer.raw(topic.as_ref());
                writer.raw(public_key.as_ref());
            }
            Self::SignAnnounce { id, signee, token, node, relay_addresses }
            | Self::SignUnannounce { id, signee, token, node, relay_addresses } => {
                ids(writer, &[*id, *signee]);
                signable(writer, token, node, relay_addresses);
            }
            Self::Signature { id, signature } => {
                writer.u32(*id);
                writer.optional_buffer(signature.as_ref().map(AsRef::as_ref));
            }
            Self::NoiseSend { .. } | Self::NoiseReceive { .. } | Self::NoiseReply { .. } => noise(writer, self),
        }
    }
}

fn ids(writer: &mut Writer, ids: &[u32]) {
    ids.iter().for_each(|id| writer.u32(*id));
}

fn calls(writer: &mut Writer, message: &DhtRelayMessage) {
    match message {
        DhtRelayMessage::Connect { alias, public_key, remote_public_key } => {
            writer.u8(0);
            writer.u32(*alias);
            writer.raw(public_key.as_ref());
            writer.raw(remote_public_key.as_ref());
        }
        DhtRelayMessage::Connection { alias, server_alias, remote_public_key, handshake } => {
            writer.u8(0);
            ids(writer, &[*alias, *server_alias]);
            writer.raw(remote_public_key.as_ref());
            writer.u32(*handshake);
        }
        DhtRelayMessage::Incoming { id, server_alias, remote_public_key, payload } => {
            ids(writer, &[*id, *server_alias]);
            writer.raw(remote_public_key.as_ref());
            writer.buffer(payload);
        }
        _ => {}
    }
}

fn destroy(writer: &mut Writer, stream: StreamAlias, error: Option<&str>) {
    let error = error.filter(|error| !error.is_empty());
    let (flag, alias) = match stream {
        StreamAlias::Sender(alias) => (PAIRED, alias),
        StreamAlias::Receiver(alias) => (0, alias),
    };
    writer.u8(flag | if error.is_some() { ERROR } else { 0 });
    writer.u32(alias);
    error.into_iter().for_each(|error| writer.string(error));
}

fn signable(writer: &mut Writer, token: &Hash, node: &Hash, relay_addresses: &[SocketAddrV4]) {
    writer.raw(token.as_ref());
    writer.buffer(node.as_ref());
    encode_addresses(writer, relay_addresses);
}

fn noise(writer: &mut Writer, message: &DhtRelayMessage) {
    match message {
        DhtRelayMessage::NoiseSend { id, stream, payload } => {
            writer.u8(if stream.is_some() { INITIATOR } else { 0 });
            writer.u32(*id);
            stream.iter().for_each(|stream| writer.u32(*stream));
            writer.buffer(payload);
        }
        DhtRelayMessage::NoiseReceive { id, server, payload } => {
            writer.u8(if server.is_some() { 0 } else { INITIATOR });
            writer.u32(*id);
            server.iter().for_each(|server| writer.u32(*server));
            writer.buffer(payload);
        }
        DhtRelayMessage::NoiseReply { id, payload, progress } => {
            let flags = match progress {
                NoiseProgress::Called => INITIATOR,
                NoiseProgress::CalledBy(_) => 0,
                NoiseProgress::Complete { initiator: true, .. } => INITIATOR | COMPLETE,
                NoiseProgress::Complete { .. } => COMPLETE,
            };
            writer.u8(flags);
            writer.u32(*id);
            writer.buffer(payload);
            match progress {
                NoiseProgress::Called => {}
                NoiseProgress::CalledBy(remote) => writer.raw(remote.as_ref()),
                NoiseProgress::Complete { remote_id, holepunch_key, .. } => {
                    writer.raw(remote_id.as_ref());
                    writer.raw(holepunch_key.as_bytes());
                }
            }
        }
        _ => {}
    }
}

/// Flag of `connect` and its like: a secret key follows.
pub(super) const CUSTODIAL: u8 = 1;
/// Flag of `destroy`: the alias is the sender's.
pub(super) const PAIRED: u8 = 1;
/// Flag of `destroy`: a text follows.
pub(super) const ERROR: u8 = 2;
/// Flag of the noise messages: the client called.
pub(super) const INITIATOR: u8 = 1;
/// Flag of `noiseReply`: both messages passed.
pub(super) const COMPLETE: u8 = 2;
