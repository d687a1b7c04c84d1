//! Where clusters come from. A provider names no task; tasks name no provider.

pub mod cloud;
pub mod kind;

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::certificate::Certificate, config::ClusterType, env::Env, fingerprint::Fingerprint, graph::TaskId, probe::Probe, reach::Reach,
};

/// One kind of cluster.
pub trait Provider: Sync {
    /// What the cluster depends on: its image, version, settings. Creates nothing.
    fn inputs(&self, env: &Env) -> Result<Fingerprint>;
    /// Whether this instance's cluster is there, runs and answers.
    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe>;
    /// Brings the cluster about; done when its API answers and its nodes take pods. A stopped one is started. While a new one comes up,
    /// `early` is called on a thread of its own, as soon as programs run in its node.
    fn ensure(&self, env: &Env, want: &Fingerprint, early: &(dyn Fn() + Sync)) -> Result<()>;
    /// The claim for the files of the database's first instance, which are made by then, as the database's operator would make them.
    /// It takes them over where the claim is there before the database. None: the operator has to make them.
    fn first_files(&self, env: &Env, database: &Value) -> Result<Option<Value>>;
    /// Whether the cluster has the image under this reference.
    fn has_image(&self, env: &Env, reference: &str) -> Result<bool>;
    /// Brings an image of the engine to the cluster; returns the reference that pods use.
    fn publish(&self, env: &Env, reference: &str) -> Result<String>;
    /// How the application is reached from outside, once it is deployed.
    fn reach(&self, env: &Env) -> Result<Reach>;
    /// What is done only because this kind of cluster is thrown away, in words. Empty: nothing.
    fn shortcuts(&self) -> &'static [&'static str];
    /// The port on which every node has an API server of its own, so that a pod reaches one past the Service; none where they have not.
    fn api_port_of_each_node(&self, env: &Env) -> Result<Option<u16>>;
    /// The certificates of the cluster's own servers and clients, as far as the provider shows them.
    fn certificates(&self, env: &Env) -> Result<Vec<Certificate>>;
    /// Removes the cluster and all that `ensure` made. Absent counts as done; what is not ours stays.
    fn destroy(&self, env: &Env, task: TaskId) -> Result<()>;
    /// What of this instance is still there after `destroy`, in words.
    fn leftovers(&self, env: &Env) -> Result<Vec<String>>;
}

/// The provider that the configuration names.
pub fn provider(env: &Env) -> Result<Box<dyn Provider>> {
    match env.config.cluster.kind {
        ClusterType::Kind => Ok(Box::new(kind::Kind)),
        other => Err(cloud::not_there_yet(other)),
    }
}
