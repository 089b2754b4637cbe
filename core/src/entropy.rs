//! The seeded generator: randomness comes in once, as 32 bytes.
