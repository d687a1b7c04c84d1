//! EKS, AKS and GKE: named in the configuration, not built yet, and said so before anything happens.

use crate::{
    config::ClusterType,
    errors::{Code, Problem},
};

/// The honest answer.
pub fn not_there_yet(kind: ClusterType) -> anyhow::Error {
    let name = match kind {
        ClusterType::Eks => "Amazon EKS",
        ClusterType::Aks => "Azure AKS",
        ClusterType::Gke => "Google GKE",
        ClusterType::Kind => "kind",
    };
    Problem::config(format!("cluster type `{kind}`: {name} clusters are not supported yet; nothing was changed"))
        .code(Code::Unsupported)
        .hint("use `--type kind`, or leave `cluster.type` out of Pocdeploy.toml")
        .into()
}
