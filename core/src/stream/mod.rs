//! The encrypted stream: Noise, then sealed frames (`@hyperswarm/secret-stream`).

mod noise;
mod seal;
mod secret_stream;

pub use noise::{Noise, NoiseError, Pattern, Setup, Split};
pub use seal::{HEADER_BYTES, SEAL_OVERHEAD, Seal};
pub use secret_stream::{MAX_MESSAGE, SecretStream, StreamError, StreamEvent};
