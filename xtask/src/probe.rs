//! The result of a probe, for tasks, providers and images.

/// Whether a product exists and is up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The product exists; a description.
    Fresh(String),
    /// The task must run; the reason.
    Stale(String),
}
