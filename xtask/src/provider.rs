//! Where clusters come from. A provider names no task; tasks name no provider.

pub mod cloud;
pub mod kind;

use std::path::PathBuf;

use anyhow::Result;

use crate::{config::ClusterType, env::Env, fingerprint::Fingerprint, graph::TaskId, tasks::Probe};

/// One kind of cluster.
pub trait Provider: Sync {
    /// What the cluster depends on: its image, version, settings. Creates nothing.
    fn inputs(&self, env: &Env) -> Result<Fingerprint>;
    /// Whether this instance's cluster is there, runs and answers.
    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe>;
    /// Brings the cluster about; done when its API answers and its nodes take pods. A stopped one is started.
    fn ensure(&self, env: &Env, want: &Fingerprint) -> Result<()>;
    /// Whether the cluster has the image under this reference.
    fn has_image(&self, env: &Env, reference: &str) -> Result<bool>;
    /// Brings an image of the engine to the cluster; returns the reference that pods use.
    fn publish(&self, env: &Env, reference: &str) -> Result<String>;
    /// How the application is reached from outside, once it is deployed.
    fn reach(&self, env: &Env) -> Result<Reach>;
    /// Removes the cluster and all that `ensure` made. Absent counts as done; what is not ours stays.
    fn destroy(&self, env: &Env, task: TaskId) -> Result<()>;
    /// What of this instance is still there after `destroy`, in words.
    fn leftovers(&self, env: &Env) -> Result<Vec<String>>;
}

/// The application's way out of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The Service's type.
    pub service: &'static str,
    /// The address that a browser opens, without a path.
    pub origin: String,
    /// Hosts that are reached over plain HTTP, because they are the user's own machine.
    pub plain_hosts: Vec<String>,
    /// The port of the node that the Service must answer on; nothing where a load balancer stands in front.
    pub node_port: Option<u16>,
}

/// The provider that the configuration names.
pub fn provider(env: &Env) -> Result<Box<dyn Provider>> {
    match env.config.cluster.kind {
        ClusterType::Kind => Ok(Box::new(kind::Kind)),
        other => Err(cloud::not_there_yet(other)),
    }
}

/// The kubeconfig of the instance's cluster, if its file is there.
pub fn kubeconfig(env: &Env) -> Option<PathBuf> {
    Some(env.kubeconfig()).filter(|it| it.is_file())
}
