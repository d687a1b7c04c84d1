//! EKS, AKS and GKE: known names, not supported yet. Every command says so before it does anything.

use anyhow::Result;

use crate::{
    cluster::certificate::Certificate,
    deploy::image::PublishedImage,
    env::Env,
    errors::{Code, Problem},
    exposure::{Address, Exposure, ServiceType},
    fingerprint::Fingerprint,
    graph::TaskId,
    probe::Probe,
    provider::{Features, Instance, Provider, Removal},
};

/// A cloud's cluster: every method returns this error.
pub struct Cloud;

fn not_there_yet(env: &Env) -> anyhow::Error {
    let kind = env.config.cluster.kind;
    Problem::config(format!("clusters of type `{kind}` are not supported yet; nothing was changed"))
        .code(Code::Unsupported)
        .hint("use `--type kind`, or leave `cluster.type` out of Pocdeploy.toml")
        .into()
}

impl Provider for Cloud {
    fn check(&self, env: &Env) -> Result<()> {
        Err(not_there_yet(env))
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        Err(not_there_yet(env))
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        Err(not_there_yet(env))
    }

    fn ensure(&self, env: &Env, _want: &Fingerprint, _early: &(dyn Fn() + Sync)) -> Result<()> {
        Err(not_there_yet(env))
    }

    fn connect(&self, env: &Env) -> Result<Option<String>> {
        Err(not_there_yet(env))
    }

    fn published(&self, env: &Env, _local: &str) -> Result<Option<PublishedImage>> {
        Err(not_there_yet(env))
    }

    fn publish(&self, env: &Env, _local: &str) -> Result<PublishedImage> {
        Err(not_there_yet(env))
    }

    fn name_for_pods(&self, env: &Env, _local: &str) -> Result<PublishedImage> {
        Err(not_there_yet(env))
    }

    fn exposure(&self, _env: &Env) -> Exposure {
        Exposure { service: ServiceType::LoadBalancer, plain_hosts: Vec::new() }
    }

    fn address(&self, env: &Env) -> Result<Option<Address>> {
        Err(not_there_yet(env))
    }

    fn features(&self, _env: &Env) -> Features {
        Features::default()
    }

    fn instances(&self, env: &Env) -> Result<Vec<Instance>> {
        Err(not_there_yet(env))
    }

    fn certificates(&self, env: &Env) -> Result<Vec<Certificate>> {
        Err(not_there_yet(env))
    }

    fn removal(&self, env: &Env) -> Removal {
        Removal { takes: format!("removes instance {}", env.instance), audited: "nothing was asked" }
    }

    fn destroy(&self, env: &Env, _task: TaskId) -> Result<()> {
        Err(not_there_yet(env))
    }

    fn leftovers(&self, env: &Env) -> Result<Vec<String>> {
        Err(not_there_yet(env))
    }
}
