//! Optional features of a kind of cluster, as data for tasks.

use anyhow::Result;
use serde_json::Value;

use crate::env::Env;

/// Runs initdb for the first instance of this `Cluster` ahead of time and returns the PVC with the result. Apply it before the `Cluster`;
/// CloudNativePG adopts it. `None`: not possible here; the operator's own Job runs initdb.
pub type InitdbAhead = fn(&Env, &Value) -> Result<Option<Value>>;

/// Features of a disposable cluster, or of one kind of cluster only. `Default` has none of them, which fits every cluster.
#[derive(Clone, Default)]
pub struct Features {
    /// Descriptions of the shortcuts of a disposable cluster, for `plan`.
    pub shortcuts: &'static [&'static str],
    /// Whether the cluster accepts NetworkPolicies and does not enforce them.
    pub ignores_policies: bool,
    /// The operator runs without leader election, its Service publishes endpoints of unready pods, and its CRDs have no descriptions.
    /// Containers ask for a tenth of the processors that their manifests name.
    pub throw_away: bool,
    /// Whether the cluster has nodes for pods besides that of the control plane (kind). The operator runs beside the control plane, so that it
    /// survives the loss of a node with a database.
    pub has_workers: bool,
    /// Taints that a new node has until the last step of its creation. A pod that tolerates them starts sooner.
    pub early_taints: &'static [&'static str],
    /// If the operator's node runs an API server (kind): its port, so that the operator can call its host's address instead of the
    /// `kubernetes` Service.
    pub api_port_of_node: Option<u16>,
    pub initdb_ahead: Option<InitdbAhead>,
    /// The container that is the cluster's node, if an engine runs it: it has kubectl and the node's journals.
    pub node_container: Option<String>,
}
