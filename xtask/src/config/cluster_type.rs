//! The kinds of clusters in `cluster.type` and `--type`.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// The kind of cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClusterType {
    #[default]
    Kind,
    // An existing cluster: a context of a kubeconfig.
    Existing,
    Eks,
    Aks,
    Gke,
}

impl ClusterType {
    /// In the order of messages.
    pub const ALL: &[ClusterType] = &[
        ClusterType::Kind, // the default goes first
        ClusterType::Existing,
        ClusterType::Eks,
        ClusterType::Aks,
        ClusterType::Gke,
    ];

    /// Whether OpenTofu makes the cluster, in an account.
    pub fn is_cloud(self) -> bool {
        matches!(self, ClusterType::Eks | ClusterType::Aks | ClusterType::Gke)
    }

    /// The name in `Pocdeploy.toml`.
    pub fn name(self) -> &'static str {
        match self {
            ClusterType::Kind => "kind",
            ClusterType::Existing => "existing",
            ClusterType::Eks => "eks",
            ClusterType::Aks => "aks",
            ClusterType::Gke => "gke",
        }
    }
}

impl fmt::Display for ClusterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for ClusterType {
    type Err = String;

    fn from_str(text: &str) -> Result<ClusterType, String> {
        let names = || ClusterType::ALL.iter().map(|it| it.name()).collect::<Vec<_>>().join(", ");
        ClusterType::ALL.iter().copied().find(|it| it.name() == text).ok_or_else(|| format!("`{text}` is none of {}", names()))
    }
}
