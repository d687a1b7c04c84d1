//! What one kind of cluster allows beside what every cluster does: data that tasks act upon.

use anyhow::Result;
use serde_json::Value;

use crate::env::Env;

/// Runs initdb for the first instance of this `Cluster` ahead of time and returns the PVC that holds the result. Apply it before the
/// `Cluster`, and CloudNativePG adopts it. Nothing: not possible here; the operator's own Job will do it.
pub type InitdbAhead = fn(&Env, &Value) -> Result<Option<Value>>;

/// Everything that is done only because a cluster is thrown away, or that only one kind of cluster can do. `Default`: none of it, which
/// every cluster can do.
#[derive(Clone, Default)]
pub struct Features {
    /// What is done differently in a cluster that is thrown away, in words, for `plan`.
    pub shortcuts: &'static [&'static str],
    /// The operator runs without leader election, its Service publishes endpoints at once, and its CRDs have no descriptions.
    pub throw_away: bool,
    /// Taints that a fresh node has until the last step of its making; a pod that tolerates them runs sooner.
    pub early_taints: &'static [&'static str],
    /// If every node runs an API server (kind with one node): its port, so that a pod can call its host's address instead of the
    /// `kubernetes` Service.
    pub api_port_of_node: Option<u16>,
    pub initdb_ahead: Option<InitdbAhead>,
    /// The engine's container that is the cluster's node, where an engine runs it: it has kubectl and the node's journals.
    pub node_container: Option<String>,
}
