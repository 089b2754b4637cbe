//! The geometry of a binary tree in flat order (`flat-tree/index.js`).
