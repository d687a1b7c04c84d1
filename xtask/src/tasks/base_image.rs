//! The base image of the application's image: upstream's Python.

use anyhow::Result;

use crate::{
    env::Env,
    fingerprint::Fingerprint,
    graph::TaskId,
    images::{self, Role},
    probe::Probe,
    tasks::Task,
};

pub struct BaseImage;

impl Task for BaseImage {
    fn id(&self) -> TaskId {
        TaskId::BaseImage
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let mut out = Fingerprint::new();
        out.add("reference", images::reference(env, self.id(), Role::Python)?);
        Ok(out)
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        images::probe(env, self.id(), Role::Python)
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        images::ensure(env, self.id(), Role::Python)
    }
}
