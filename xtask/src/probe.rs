//! What a look at the world found: the answer of tasks, providers and images.

/// What a probe saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The product is there; what was seen.
    Fresh(String),
    /// The task must run; why.
    Stale(String),
}
