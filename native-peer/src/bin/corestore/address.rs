//! `[HOST:]PORT` as arguments give it.

use std::str::FromStr;

/// A host and a port; the host is this machine unless given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let port = port.parse().map_err(|_| format!("`{port}` is not a port; give [HOST:]PORT"))?;
        let host = if host.is_empty() { LOOPBACK } else { host };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

const LOOPBACK: &str = "127.0.0.1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_may_be_left_out() {
        for (text, is) in [("80", "127.0.0.1:80"), (":80", "127.0.0.1:80"), ("a.b:0", "a.b:0"), ("[::1]:9", "[::1]:9")]
        {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()), Ok(is.to_owned()));
        }
        assert!("host".parse::<Address>().is_err());
        assert!("host:65536".parse::<Address>().is_err());
    }
}
