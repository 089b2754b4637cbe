//! Keys as people pass them on: 64 hex digits or 52 letters of z-base-32 (`hypercore-id-encoding`, `z32`).

use super::id::CoreKey;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// A text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidKey {
    /// Neither 64 nor 52 characters.
    Length(usize),
    /// A character that belongs to neither alphabet; its position, counted from 0.
    Character(usize),
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => {
                write!(f, "it has {length} characters; give 64 hex digits or 52 letters of z-base-32")
            }
            Self::Character(at) => write!(f, "its character {} is in neither alphabet", at.saturating_add(1)),
        }
    }
}

impl core::error::Error for InvalidKey {}

impl FromStr for CoreKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        match text.chars().count() {
            64 => decode(text, 4, &|digit| digit.to_digit(16)),
            52 => decode(text, 5, &|letter| {
                let at = ALPHABET.iter().position(|known| char::from(*known) == letter.to_ascii_lowercase())?;
                u32::try_from(at).ok()
            }),
            length => Err(InvalidKey::Length(length)),
        }
        .map(Self)
    }
}

impl CoreKey {
    /// The key in z-base-32: 52 letters.
    pub fn to_z32(&self) -> String {
        let mut text = String::with_capacity(52);
        let (mut value, mut bits) = (0_u32, 0_u32);
        for byte in self.0 {
            value = value << 8 | u32::from(byte);
            bits = bits.saturating_add(8);
            while bits >= 5 {
                bits = bits.saturating_sub(5);
                text.push(letter(value >> bits));
                value &= (1 << bits) - 1;
            }
        }
        text.push(letter(value << (5_u32.saturating_sub(bits))));
        text
    }
}

/// Characters of `width` bits each, most significant first; bits past the 32 bytes are ignored.
fn decode(text: &str, width: u32, digit: &dyn Fn(char) -> Option<u32>) -> Result<[u8; 32], InvalidKey> {
    let mut key = [0; 32];
    let mut bytes = key.iter_mut();
    let (mut value, mut bits) = (0_u32, 0_u32);
    for (at, character) in text.chars().enumerate() {
        value = value << width | digit(character).ok_or(InvalidKey::Character(at))?;
        bits = bits.saturating_add(width);
        if bits >= 8 {
            bits = bits.saturating_sub(8);
            if let (Some(byte), Ok(whole)) = (bytes.next(), u8::try_from(value >> bits)) {
                *byte = whole;
            }
            value &= (1 << bits) - 1;
        }
    }
    Ok(key)
}

fn letter(value: u32) -> char {
    let letter = usize::try_from(value & 31).ok().and_then(|at| ALPHABET.get(at));
    char::from(letter.copied().unwrap_or(b'y'))
}

const ALPHABET: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn known_keys() {
        let text = "ieekroxzsu3tem744hcw5jfqwze9cff7yotcqat5h56jqi3fqo1y";
        let hex = "aa10a241f7b4f3142fbad7194da4aea5d1f614bd0422c7623be6fc9757257424";
        let key: CoreKey = hex.parse().unwrap();
        assert_eq!(key.to_z32(), text);
        assert_eq!(text.parse(), Ok(key));
        assert_eq!(hex.to_uppercase().parse(), Ok(key));
        assert_eq!(hex[1..].parse::<CoreKey>(), Err(InvalidKey::Length(63)));
        assert_eq!(text.replace('k', "l").parse::<CoreKey>(), Err(InvalidKey::Character(3)));
        assert_eq!(hex.replace('f', "g").parse::<CoreKey>(), Err(InvalidKey::Character(8)));
    }

    proptest! {
        #[test]
        fn both_texts_lead_back(key: [u8; 32]) {
            let key = CoreKey(key);
            prop_assert_eq!(key.to_z32().parse(), Ok(key));
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }

        #[test]
        fn no_text_panics(text in ".{0,70}") {
            let _ = text.parse::<CoreKey>();
        }
    }
}
