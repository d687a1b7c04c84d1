//! The image that a cluster node is made of, and all images that must be in it.

use anyhow::Result;

use crate::{
    config::ClusterType,
    env::Env,
    fingerprint::Fingerprint,
    graph::TaskId,
    images::{self, Chosen, Role},
    probe::Probe,
    tasks::Task,
};

pub struct NodeImage;

impl Task for NodeImage {
    fn id(&self) -> TaskId {
        TaskId::NodeImage
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let mut out = Fingerprint::new();
        out.add("reference", images::reference(env, self.id(), Role::Node)?);
        Ok(out)
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        // Nodes that are there need no image; those of operator and database are in it where they are built from packages.
        if env.config.cluster.kind != ClusterType::Kind && images::chosen(env, self.id())? == Chosen::Registry {
            return Ok(Probe::Fresh("not needed: the cluster pulls upstream's images from their registries".to_owned()));
        }
        images::probe(env, self.id(), Role::Node)
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        images::ensure(env, self.id(), Role::Node)
    }
}
