//! Keys as text: 64 hexadecimal digits, or 52 letters of z-base-32 (`hypercore-id-encoding`).

use corestore_core::crypto::CoreKey;

/// The text is not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a key: give 64 hexadecimal digits or 52 letters of z-base-32")]
pub struct NotAKey {
    /// What was given.
    pub text: String,
}

/// Reads 32 bytes from either form.
///
/// # Errors
/// [`NotAKey`] holds the text.
pub fn parse(text: &str) -> Result<[u8; 32], NotAKey> {
    let bytes = match text.len() {
        HEX_LETTERS => hex::decode(text).ok(),
        Z32_LETTERS => z32::decode(text.as_bytes()).ok(),
        _ => None,
    };
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| NotAKey { text: text.to_owned() })
}

/// Reads a core's key from either form.
///
/// # Errors
/// [`NotAKey`] holds the text.
pub fn parse_core_key(text: &str) -> Result<CoreKey, NotAKey> {
    parse(text).map(CoreKey)
}

/// The z-base-32 form.
pub fn to_z32(key: &[u8; 32]) -> String {
    z32::encode(key)
}

const HEX_LETTERS: usize = 64;
const Z32_LETTERS: usize = 52;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_come_back() {
        let key: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 7).unwrap_or(255));
        assert_eq!(parse(&hex::encode(key)), Ok(key));
        assert_eq!(parse(&hex::encode_upper(key)), Ok(key));
        assert_eq!(to_z32(&key).len(), Z32_LETTERS);
        assert_eq!(parse(&to_z32(&key)), Ok(key));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "zz", &"g".repeat(64), &"l".repeat(52), &"é".repeat(26), &"0".repeat(63)] {
            assert_eq!(parse(text), Err(NotAKey { text: text.to_owned() }));
        }
    }
}
