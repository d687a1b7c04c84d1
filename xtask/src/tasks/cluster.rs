//! The cluster, from the configured provider.

use anyhow::Result;

use crate::{
    env::Env,
    fingerprint::Fingerprint,
    graph::TaskId,
    probe::Probe,
    provider::provider,
    tasks::{Task, database},
};

pub struct Cluster;

impl Task for Cluster {
    fn id(&self) -> TaskId {
        TaskId::Cluster
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        provider(env).inputs(env)
    }

    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe> {
        provider(env).probe(env, want)
    }

    fn run(&self, env: &Env, want: &Fingerprint) -> Result<()> {
        provider(env).ensure(env, want, &|| database::begin_initdb(env))
    }
}
