//! The encrypted stream: Noise, then sealed frames (`@hyperswarm/secret-stream`).
