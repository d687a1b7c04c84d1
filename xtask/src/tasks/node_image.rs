//! The image that a cluster node is made of, and all images that must be in it.

use anyhow::Result;

use crate::{
    env::Env,
    fingerprint::Fingerprint,
    graph::TaskId,
    images::{self, Role},
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
        images::probe(env, self.id(), Role::Node)
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        images::ensure(env, self.id(), Role::Node)
    }
}
