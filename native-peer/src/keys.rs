//! Keys that people give: 64 hexadecimal digits, or 52 letters of z-base-32 (`hypercore-id-encoding`).

use corestore_core::crypto::{CoreKey, InvalidKey};

/// The text is not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a key: {reason}")]
pub struct NotAKey {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: InvalidKey,
}

/// Reads 32 bytes from either form.
///
/// # Errors
/// [`NotAKey`] holds the text.
pub fn parse(text: &str) -> Result<[u8; 32], NotAKey> {
    parse_core_key(text).map(|key| key.0)
}

/// Reads a core's key from either form.
///
/// # Errors
/// [`NotAKey`] holds the text.
pub fn parse_core_key(text: &str) -> Result<CoreKey, NotAKey> {
    text.parse().map_err(|reason| NotAKey { text: text.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_come_back() {
        let key: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 7).unwrap_or(255));
        assert_eq!(parse(&hex::encode(key)), Ok(key));
        assert_eq!(parse(&hex::encode_upper(key)), Ok(key));
        assert_eq!(parse(&CoreKey(key).to_z32()), Ok(key));
    }

    #[test]
    fn anything_else_is_refused_and_named() {
        for text in ["", "zz", &"g".repeat(64), &"l".repeat(52), &"é".repeat(26), &"0".repeat(63)] {
            let refused = parse(text).unwrap_err();
            assert_eq!(refused.text, text);
            assert!(refused.to_string().starts_with(&format!("`{text}` is not a key: ")), "{refused}");
        }
    }
}
