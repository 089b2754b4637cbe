//! Many channels on one stream (`protomux`).
