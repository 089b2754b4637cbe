//! Replication of one core (`hypercore/lib/replicator.js`).
