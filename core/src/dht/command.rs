//! The numbers that HyperDHT's messages are built of (`hyperdht/lib/constants.js`, `dht-rpc/lib/commands.js`).

/// What dht-rpc itself asks of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InternalCommand {
    /// Are you there?
    Ping,
    /// Are you able to reach my other port? The value is that port.
    PingNat,
    /// Which nodes do you know near the target?
    FindNode,
    /// A node you named does not answer. The value is its address.
    DownHint,
    /// Answer after so many milliseconds (the value).
    DelayedPing,
}

impl InternalCommand {
    /// Its number on the wire.
    pub const fn number(self) -> u64 {
        match self {
            Self::Ping => 0,
            Self::PingNat => 1,
            Self::FindNode => 2,
            Self::DownHint => 3,
            Self::DelayedPing => 4,
        }
    }

    /// The command with this number.
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Ping,
            1 => Self::PingNat,
            2 => Self::FindNode,
            3 => Self::DownHint,
            4 => Self::DelayedPing,
            _ => return None,
        })
    }
}

/// What HyperDHT asks of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Pass a Noise message to the peer behind the target.
    PeerHandshake,
    /// Pass a sealed word on hole punching to the peer behind the target.
    PeerHolepunch,
    /// Who is announced under the hash of this public key?
    FindPeer,
    /// Who is announced under this target?
    Lookup,
    /// Keep my record.
    Announce,
    /// Drop my record.
    Unannounce,
    /// Keep a signed value.
    MutablePut,
    /// The signed value, please.
    MutableGet,
    /// Keep a value under its hash.
    ImmutablePut,
    /// The value of this hash, please.
    ImmutableGet,
    /// For a plugin.
    Plugin,
}

impl Command {
    /// Its number on the wire.
    pub const fn number(self) -> u64 {
        match self {
            Self::PeerHandshake => 0,
            Self::PeerHolepunch => 1,
            Self::FindPeer => 2,
            Self::Lookup => 3,
            Self::Announce => 4,
            Self::Unannounce => 5,
            Self::MutablePut => 6,
            Self::MutableGet => 7,
            Self::ImmutablePut => 8,
            Self::ImmutableGet => 9,
            Self::Plugin => 10,
        }
    }

    /// The command with this number.
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::PeerHandshake,
            1 => Self::PeerHolepunch,
            2 => Self::FindPeer,
            3 => Self::Lookup,
            4 => Self::Announce,
            5 => Self::Unannounce,
            6 => Self::MutablePut,
            7 => Self::MutableGet,
            8 => Self::ImmutablePut,
            9 => Self::ImmutableGet,
            10 => Self::Plugin,
            _ => return None,
        })
    }
}

/// How a peer's NAT treats its packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Firewall {
    /// Not known yet.
    #[default]
    Unknown,
    /// Anybody reaches it.
    Open,
    /// Every destination sees the same port.
    Consistent,
    /// Every destination sees another port.
    Random,
}

impl Firewall {
    /// Its number on the wire.
    pub const fn number(self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Open => 1,
            Self::Consistent => 2,
            Self::Random => 3,
        }
    }

    /// The firewall with this number; numbers from the future count as the least friendly, as in the reference.
    pub const fn from_number(number: u64) -> Self {
        match number {
            0 => Self::Unknown,
            1 => Self::Open,
            2 => Self::Consistent,
            _ => Self::Random,
        }
    }

    /// True when one port serves every destination.
    pub const fn is_consistent(self) -> bool {
        matches!(self, Self::Open | Self::Consistent)
    }
}

/// What went wrong, in a word of the handshake, of hole punching, or in a reply on a mutable value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerError {
    /// Nothing.
    #[default]
    None,
    /// The peer gave up.
    Aborted,
    /// The peer speaks another version.
    VersionMismatch,
    /// The peer has too many punches under way.
    TryLater,
    /// Another value was signed with this sequence number.
    SeqReused,
    /// A later value is known.
    SeqTooLow,
    /// A number this version does not know.
    Other(u64),
}

impl PeerError {
    /// Its number on the wire.
    pub const fn number(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Aborted => 1,
            Self::VersionMismatch => 2,
            Self::TryLater => 3,
            Self::SeqReused => 16,
            Self::SeqTooLow => 17,
            Self::Other(number) => number,
        }
    }

    /// The error with this number.
    pub const fn from_number(number: u64) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Aborted,
            2 => Self::VersionMismatch,
            3 => Self::TryLater,
            16 => Self::SeqReused,
            17 => Self::SeqTooLow,
            number => Self::Other(number),
        }
    }
}

/// Why a node did not do what a request asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RpcError {
    /// It knows no such command.
    UnknownCommand,
    /// The token is not its own, or too old.
    InvalidToken,
}

impl RpcError {
    /// Its number on the wire.
    pub const fn number(self) -> u64 {
        match self {
            Self::UnknownCommand => 1,
            Self::InvalidToken => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for number in 0..20 {
            assert!(InternalCommand::from_number(number).is_none_or(|command| command.number() == number));
            assert!(Command::from_number(number).is_none_or(|command| command.number() == number));
            assert_eq!(PeerError::from_number(number).number(), number);
        }
        assert_eq!(Firewall::from_number(9), Firewall::Random);
    }
}
