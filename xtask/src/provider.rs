//! Where clusters come from. A provider names no task; tasks name no provider.

pub mod cloud;
pub mod evidence;
mod existing;
mod features;
pub mod kind;

use std::fs;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    cluster::{Cluster, certificate::Certificate},
    config::{ClusterType, Secret},
    deploy::image::PublishedImage,
    env::Env,
    exposure::{Address, Exposure},
    fingerprint::Fingerprint,
    graph::TaskId,
    probe::Probe,
    provider::evidence::Evidence,
};

pub use crate::provider::{
    features::{Features, InitdbAhead},
    kind::on_this_machine,
};

/// One kind of cluster.
pub trait Provider: Sync {
    /// Refuses a configuration that cannot work with this kind of cluster, before anything is made. Asks no cluster.
    fn check(&self, env: &Env) -> Result<()>;
    /// What the cluster depends on: its image, version, settings. Creates nothing.
    fn inputs(&self, env: &Env) -> Result<Fingerprint>;
    /// Whether this instance's cluster is there, runs and answers.
    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe>;
    /// Makes the cluster, or starts a stopped one; done when its API answers and its nodes take pods. While a new one comes up,
    /// `early` is called on a thread of its own, as soon as programs run in its node.
    fn ensure(&self, env: &Env, want: &Fingerprint, early: &(dyn Fn() + Sync)) -> Result<()>;
    /// Gets ready what `probe` and the other looks ask: an engine for a cluster that runs in one, a kubeconfig. Starts nothing.
    /// `Some`: why nothing of this instance can be asked.
    fn connect(&self, env: &Env) -> Result<Option<String>>;
    /// The image as pods name it, where the cluster can get it.
    fn published(&self, env: &Env, local: &str) -> Result<Option<PublishedImage>>;
    /// Brings an image of the engine to where the cluster gets it.
    fn publish(&self, env: &Env, local: &str) -> Result<PublishedImage>;
    /// How pods name an image of the engine, published or not: where only publishing gives it a digest, it has none before.
    fn name_for_pods(&self, env: &Env, local: &str) -> Result<PublishedImage>;
    /// What manifests must say so that the application is reached. Known before anything is applied.
    fn exposure(&self, env: &Env) -> Exposure;
    /// Where the application answers; nothing as long as the cluster has not assigned an address.
    fn address(&self, env: &Env) -> Result<Option<Address>>;
    /// What this cluster allows beside what every cluster does.
    fn features(&self, env: &Env) -> Features;
    /// The operator of others that serves this instance, in words; nothing where the instance has its own.
    fn operator_of_others(&self, _env: &Env) -> Result<Option<String>> {
        Ok(None)
    }
    /// What a Secret of type `kubernetes.io/dockerconfigjson` must hold so that nodes can pull; nothing where they need none.
    fn pull_credentials(&self, _env: &Env) -> Result<Option<Secret>> {
        Ok(None)
    }
    /// The instances that this kind of cluster can be asked about, from here. Creates and starts nothing.
    fn instances(&self, env: &Env) -> Result<Vec<Instance>>;
    /// The certificates of the cluster's own servers and clients, as far as the provider shows them.
    fn certificates(&self, env: &Env) -> Result<Vec<Certificate>>;
    /// What `delete` takes away, and what it has looked for at its end: two sentences for people.
    fn removal(&self, env: &Env) -> Removal;
    /// What nodes and servers say of themselves, from whatever still answers. Empty where the provider made no node.
    fn evidence(&self, _env: &Env) -> Result<Evidence> {
        Ok(Evidence::default())
    }
    /// A node that this provider made and that runs, of a cluster that is finished or not.
    fn node(&self, _env: &Env) -> Result<Option<Node>> {
        Ok(None)
    }
    /// The administrator's kubeconfig as the cluster itself has it, with an address that this machine reaches. Of a cluster that is not
    /// finished, too.
    fn kubeconfig(&self, env: &Env) -> Result<String> {
        let path = env.kubeconfig();
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }
    /// Removes the cluster, or this instance's part of it, and all that `ensure` made. Absent counts as done; what is not ours stays.
    fn destroy(&self, env: &Env, task: TaskId) -> Result<()>;
    /// What of this instance is still there, in words.
    fn leftovers(&self, env: &Env) -> Result<Vec<String>>;
}

/// What `delete` says before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// `removes instance x: its cluster with the database`.
    pub takes: String,
    /// `no container, network, volume or file of this instance is left`.
    pub audited: &'static str,
}

/// One instance as far as can be told without asking its cluster's objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    #[serde(rename = "instance")]
    pub name: String,
    pub state: &'static str,
    /// Empty where it is not known.
    pub url: String,
    /// The folder that it was made from, or the context of the cluster that it is in.
    pub project: String,
}

/// Every instance that can be asked about, by name: those in this machine's engine, and those of the configured cluster. Beside them why
/// one of both could not be asked, where the other was.
pub fn instances(env: &Env) -> Result<(Vec<Instance>, Option<String>)> {
    let here = kind::on_this_machine(env);
    if env.config.cluster.kind != ClusterType::Existing {
        return here.map(|it| (sorted(it), None));
    }
    let there = provider(env).instances(env);
    match (here, there) {
        (Ok(here), Ok(there)) => Ok((sorted([here, there].concat()), None)),
        (Ok(found), Err(why)) | (Err(why), Ok(found)) => Ok((sorted(found), Some(format!("{why:#}")))),
        (Err(why), Err(_)) => Err(why),
    }
}

fn sorted(mut instances: Vec<Instance>) -> Vec<Instance> {
    instances.sort_by(|one, other| one.name.cmp(&other.name));
    instances
}

/// A node as far as it can be used without the cluster's API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its container in the engine.
    pub container: String,
    /// Whether its cluster was finished. If not, the next `create` makes the cluster anew.
    pub finished: bool,
    /// The kubeconfig in it with which its own kubectl may do most.
    pub kubeconfig: &'static str,
}

/// The provider that the configuration names.
pub fn provider(env: &Env) -> Box<dyn Provider> {
    match env.config.cluster.kind {
        ClusterType::Kind => Box::new(kind::Kind),
        ClusterType::Existing => Box::new(existing::Existing),
        ClusterType::Eks | ClusterType::Aks | ClusterType::Gke => Box::new(cloud::Cloud),
    }
}

/// The cluster of the instance, through its own kubeconfig.
pub fn cluster(env: &Env) -> Result<Cluster> {
    Cluster::open(env, &env.kubeconfig())
}
