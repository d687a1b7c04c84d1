//! What takes time for each file of a tree: listing, hashing, comparing. A package of its own, since cargo optimises whole packages, and
//! the tool itself is compiled without optimisation.

pub mod compare;
pub mod fingerprint;
pub mod hashes;
pub mod imports;
pub mod regular;
pub mod tree;
pub mod walk;
