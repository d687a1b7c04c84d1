//! Kinds of clusters. Providers do not name tasks, and tasks do not name providers.

pub mod cloud;
pub mod evidence;
mod existing;
mod features;
mod infrastructure;
pub mod kind;
mod registry;
mod requirement;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    cluster::{Cluster, certificate::Certificate},
    config::{ClusterType, Secret, Tls},
    deploy::{folder, image::PublishedImage},
    env::Env,
    errors::Problem,
    exposure::{Address, Exposure},
    fingerprint::Fingerprint,
    graph::TaskId,
    probe::Probe,
    provider::evidence::Evidence,
};

pub use crate::provider::{
    features::{Features, InitdbAhead},
    infrastructure::{Infrastructure, Property},
    kind::on_this_machine,
    requirement::{Met, Requirement},
};

/// A kind of cluster.
pub trait Provider: Sync {
    /// Rejects a configuration that does not fit this kind of cluster, before anything is created. Does not contact the cluster.
    fn check(&self, env: &Env) -> Result<()>;
    /// What this kind of cluster needs besides the machine, for `doctor`. Asks others, so it may take seconds.
    fn requirements(&self, _env: &Env) -> Vec<Requirement> {
        Vec::new()
    }
    /// The inputs of the cluster: image, version, settings. Creates nothing.
    fn inputs(&self, env: &Env) -> Result<Fingerprint>;
    /// Whether this instance's cluster exists, runs and answers.
    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe>;
    /// Creates the cluster, or starts a stopped one. Returns when its API answers and its nodes accept pods. While a new cluster starts,
    /// calls `early` in another thread, as soon as the node runs programs.
    fn ensure(&self, env: &Env, want: &Fingerprint, early: &(dyn Fn() + Sync)) -> Result<()>;
    /// What `ensure` would create, change and remove outside the cluster, as far as it can be planned. Keeps the plan, which a run of a saved
    /// plan applies.
    fn preview(&self, _env: &Env) -> Result<Vec<Infrastructure>> {
        Ok(Vec::new())
    }
    /// Prepares `probe` and other read-only calls: connects to the engine if the cluster runs in one, writes the kubeconfig. Starts
    /// nothing. `Some`: the reason why nothing of this instance can be read.
    fn connect(&self, env: &Env) -> Result<Option<String>>;
    /// The image's name for pods, if the cluster can get the image.
    fn published(&self, env: &Env, local: &str) -> Result<Option<PublishedImage>>;
    /// Makes an image of the engine available to the cluster.
    fn publish(&self, env: &Env, local: &str) -> Result<PublishedImage>;
    /// Removes from the nodes the images of these repositories (`polls`, without a tag) that `publish` brought there, except `kept`. A registry
    /// keeps what it has, since others may pull it.
    fn withdraw(&self, _env: &Env, _repositories: &[String], _kept: &[String]) -> Result<()> {
        Ok(())
    }
    /// The image's name for pods, published or not. It has no digest if only publishing creates one.
    fn name_for_pods(&self, env: &Env, local: &str) -> Result<PublishedImage>;
    /// The Service's type and other settings by which users reach the application. Known before anything is applied.
    fn exposure(&self, env: &Env) -> Exposure;
    /// The application's address; `None` as long as the cluster has not assigned one.
    fn address(&self, env: &Env) -> Result<Option<Address>>;
    /// Optional features of this kind of cluster.
    fn features(&self, env: &Env) -> Features;
    /// A description of the operator that others installed and this instance uses; `None` if the instance has its own.
    fn operator_of_others(&self, _env: &Env) -> Result<Option<String>> {
        Ok(None)
    }
    /// The content of a Secret of type `kubernetes.io/dockerconfigjson` with which nodes pull; `None` if they need none.
    fn pull_credentials(&self, _env: &Env) -> Result<Option<Secret>> {
        Ok(None)
    }
    /// The instances of this kind of cluster that this machine can list. Creates and starts nothing.
    fn instances(&self, env: &Env) -> Result<Vec<Instance>>;
    /// The certificates of the cluster's servers and clients, if the provider has access to them.
    fn certificates(&self, env: &Env) -> Result<Vec<Certificate>>;
    /// Whether NetworkPolicies are enforced. `None` if the provider cannot see it.
    fn policies(&self, _env: &Env) -> Result<Option<Enforcement>> {
        Ok(None)
    }
    /// What `delete` removes, and what it checks at its end: two sentences for users.
    fn removal(&self, env: &Env) -> Removal;
    /// Logs and state of nodes and servers, as far as they can be read. Empty if the provider has created no node.
    fn evidence(&self, _env: &Env) -> Result<Evidence> {
        Ok(Evidence::default())
    }
    /// A running node that this provider has created, of a finished or unfinished cluster.
    fn node(&self, _env: &Env) -> Result<Option<Node>> {
        Ok(None)
    }
    /// The cluster's own kubeconfig for its administrator, with an address that this machine can reach; also of an unfinished cluster.
    fn kubeconfig(&self, env: &Env) -> Result<String> {
        let path = env.kubeconfig();
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }
    /// Stops the cluster, which keeps everything, or only freezes its nodes' programs, which keep their memory; false if all of it is at rest
    /// already: stopped, or frozen where that is enough. The default is an error, for clusters that others stop.
    fn pause(&self, env: &Env, _rest: Rest) -> Result<bool> {
        Err(never_pauses(env))
    }
    /// Starts a stopped cluster. Returns when its API answers, with the names of the nodes that were started.
    fn resume(&self, env: &Env) -> Result<Vec<String>> {
        Err(never_pauses(env))
    }
    /// An error if a drill cannot lose this node. The default is one, for clusters whose nodes are others'.
    fn may_lose(&self, env: &Env, _node: &str) -> Result<()> {
        let what = format!("only a cluster of type `kind` loses nodes in a drill; this one has type `{}`", env.config.cluster.kind);
        Err(Problem::usage(what).hint("`--kill pod` and `--kill postgres` work on every cluster").into())
    }
    /// Loses a node that `may_lose` accepts.
    fn lose(&self, env: &Env, node: &str, _how: Loss) -> Result<()> {
        self.may_lose(env, node)
    }
    /// Brings back every node that a killed drill lost. Does nothing for clusters that lose none.
    fn heal(&self, _env: &Env) -> Result<()> {
        Ok(())
    }
    /// Brings the node back, also after a signal. Returns before it is ready.
    fn bring_back(&self, env: &Env, node: &str, _how: Loss) -> Result<()> {
        self.may_lose(env, node)
    }
    /// Removes the cluster, or this instance's part of it, and everything that `ensure` created. A missing cluster counts as done. Never
    /// removes what this instance does not own.
    fn destroy(&self, env: &Env, task: TaskId) -> Result<()>;
    /// Files outside the project that `delete` removes last, once nothing and no file is left.
    fn kept_outside(&self, _env: &Env) -> Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
    /// Descriptions of what is left of this instance.
    fn leftovers(&self, env: &Env) -> Result<Vec<String>>;
}

/// Whether the cluster enforces NetworkPolicies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enforcement {
    /// `enforced`, or `not enforced: …`.
    pub seen: Result<String, String>,
    /// What helps if they are not enforced.
    pub hint: Option<String>,
}

/// How a cluster of the tool's own rests: what `pause` makes of it, and why its nodes do not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Its programs have ended, and start again.
    Stopped,
    /// Its programs are in memory, get no processor, and go on where they were.
    Frozen,
}

/// How a drill loses a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All its programs end at once. Its files stay.
    Power,
    /// It reaches no other node and nothing outside, and runs on.
    Network,
}

/// The error of `pause` and `resume` for a cluster that others stop and start.
pub fn never_pauses(env: &Env) -> anyhow::Error {
    let what = format!("a cluster of type `{}` is not the tool's to stop and start", env.config.cluster.kind);
    Problem::usage(what).hint("`db snapshot` and `delete` end its costs; `create --restore FILE` brings the data back").into()
}

/// The messages of `delete` before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// `removes instance x: its cluster with the database`.
    pub takes: String,
    /// `no container, network, volume or file of this instance is left`.
    pub audited: String,
}

/// An instance, described without reading its cluster's objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    #[serde(rename = "instance")]
    pub name: String,
    pub state: &'static str,
    /// Empty if unknown.
    pub url: String,
    /// The folder of its project, or the context of its cluster.
    pub project: String,
}

/// Every instance that can be listed, by name: those in this machine's engine, and those of the configured cluster. If one of the two
/// cannot be read, the second value says why.
pub fn instances(env: &Env) -> Result<(Vec<Instance>, Option<String>)> {
    let here = kind::on_this_machine(env);
    if env.config.cluster.kind == ClusterType::Kind {
        return here.map(|it| (sorted(it), None));
    }
    let there = provider(env).instances(env);
    match (here, there) {
        (Ok(here), Ok(there)) => Ok((sorted([here, there].concat()), None)),
        (Ok(found), Err(why)) | (Err(why), Ok(found)) => Ok((sorted(found), Some(format!("{why:#}")))),
        (Err(why), Err(_)) => Err(why),
    }
}

/// The other instances in this machine's engine.
pub fn others(env: &Env) -> Result<Vec<Instance>> {
    Ok(on_this_machine(env)?.into_iter().filter(|it| it.name != env.instance).collect())
}

fn sorted(mut instances: Vec<Instance>) -> Vec<Instance> {
    instances.sort_by(|one, other| one.name.cmp(&other.name));
    instances
}

/// A node, accessible without the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its container in the engine.
    pub container: String,
    /// Whether its cluster is finished. If not, the next `create` recreates it.
    pub finished: bool,
    /// The path of the kubeconfig in the node with the most permissions, for its own kubectl.
    pub kubeconfig: &'static str,
}

/// A cluster in a cloud whose time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    pub instance: String,
    /// `eks`, `aks`, `gke`.
    pub kind: String,
    /// The day.
    pub on: String,
    /// Whether the instance has a folder of its own, as with `--name`.
    pub is_named: bool,
}

/// The clusters of this project in clouds whose time is over. Asks no cloud.
pub fn expired(env: &Env) -> Vec<Expired> {
    cloud::expired(env)
}

/// The provider in the configuration.
pub fn provider(env: &Env) -> Box<dyn Provider> {
    match env.config.cluster.kind {
        ClusterType::Kind => Box::new(kind::Kind),
        ClusterType::Existing => Box::new(existing::Existing),
        kind @ (ClusterType::Eks | ClusterType::Aks | ClusterType::Gke) => Box::new(cloud::Cloud(kind)),
    }
}

/// The name for nodes, with its digest, of an image that `cluster.registry` has. For any kind of cluster: exported files are for another
/// one.
pub fn in_registry(env: &Env, local: &str) -> Result<Option<PublishedImage>> {
    registry::published(env, local)
}

/// Pushes an image of the engine to `cluster.registry`; returns its name for nodes, with its digest.
pub fn publish_to_registry(env: &Env, local: &str) -> Result<PublishedImage> {
    registry::publish(env, local)
}

/// The credentials to pull from `cluster.registry`; `None` if it wants none.
pub fn registry_credentials(env: &Env) -> Result<Option<Secret>> {
    registry::pull_credentials(env)
}

/// The address of an application behind a controller of its cluster: the configured host.
pub fn ingress_address(env: &Env) -> Result<Address> {
    let objects = folder::of_service(env, None)?;
    let has_own = objects.iter().any(|it| it.object["kind"] == "Ingress" && it.object.pointer("/spec/tls/0").is_some());
    let has_tls = has_own || (env.config.is_behind_others() && env.config.ingress.tls != Tls::None);
    Ok(Address::new(format!("{}://{}", if has_tls { "https" } else { "http" }, env.config.frontend.host)))
}

/// The instance's cluster, with its own kubeconfig.
pub fn cluster(env: &Env) -> Result<Cluster> {
    Cluster::open(env, &env.kubeconfig())
}
