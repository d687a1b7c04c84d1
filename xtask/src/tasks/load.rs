//! The application's image in the cluster, so that pods can start from it without a registry.

use anyhow::Result;

use crate::{
    env::Env,
    fingerprint::Fingerprint,
    graph::TaskId,
    probe::Probe,
    provider::provider,
    tasks::{Task, image},
};

pub struct Load;

impl Task for Load {
    fn id(&self) -> TaskId {
        TaskId::Load
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let mut out = Fingerprint::new();
        out.add("image", image::current(env)?);
        Ok(out)
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        let image = image::current(env)?;
        if provider(env)?.has_image(env, &image)? {
            Ok(Probe::Fresh(format!("the cluster has {image}")))
        } else {
            Ok(Probe::Stale(format!("the cluster does not have {image}")))
        }
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        provider(env)?.publish(env, &image::current(env)?).map(|_| ())
    }
}
