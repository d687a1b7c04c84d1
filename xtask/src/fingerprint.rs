//! Fingerprints: all inputs of a result as named digests. The package `filetree` has the code, which cargo optimises.

pub use filetree::fingerprint::{Fingerprint, TreeRecord, hex};
