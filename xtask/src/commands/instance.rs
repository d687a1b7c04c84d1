//! The way into an instance that runs, for commands that look inside. Creates and starts nothing.

use anyhow::Result;

use crate::{
    cluster::{Cluster, Place},
    deploy::parts::Part,
    env::Env,
    errors::{Code, Exit, Problem},
    fingerprint::Fingerprint,
    probe::Probe,
    provider::provider,
};

/// Gets ready what looks ask; says why and what helps where the instance's cluster does not answer.
pub(super) fn find(env: &Env) -> Result<()> {
    let provider = provider(env);
    if let Some(why) = provider.connect(env)? {
        return Err(absent(env, &why));
    }
    // What the cluster should be made from is another question, and may not be decided yet.
    match provider.probe(env, &Fingerprint::new())? {
        Probe::Fresh(_) => Ok(()),
        Probe::Stale(why) => Err(absent(env, &why)),
    }
}

/// The cluster of the instance, for calls that are answered at once.
pub(super) fn connect(env: &Env) -> Result<Cluster> {
    env.only_looking(|| find(env))?;
    Cluster::open(env, &env.kubeconfig())
}

/// The same for streams.
pub(super) fn connect_for_streams(env: &Env) -> Result<Cluster> {
    env.only_looking(|| find(env))?;
    Cluster::open_for_streams(env, &env.kubeconfig())
}

/// The URL of the application's page.
pub(super) fn url(env: &Env) -> Result<String> {
    match provider(env).address(env)? {
        Some(address) => Ok(address.url(&env.config.app.path)),
        None => Err(Problem { exit: Exit::Unhealthy, ..Problem::new("the cluster has not assigned an address to the application yet") }
            .code(Code::Unhealthy)
            .hint("`cargo xtask status` says what it waits for")
            .into()),
    }
}

fn absent(env: &Env, why: &str) -> anyhow::Error {
    let what = format!("no instance {} runs here: {why}", env.instance);
    let hint = "`cargo xtask create` brings it up, with its data where there was one; `cargo xtask ls` shows all instances";
    Problem { exit: Exit::Unhealthy, ..Problem::new(what) }.code(Code::NoInstance).hint(hint).into()
}

/// A container of the part to work in.
pub(super) fn place(cluster: &Cluster, part: &Part) -> Result<Place> {
    match cluster.ready_pod(&part.namespace, &part.selector)? {
        Some(pod) => Ok(Place { namespace: part.namespace.clone(), pod, container: part.container.clone() }),
        None => Err(Problem { exit: Exit::Unhealthy, ..Problem::new(format!("no pod of the {} is ready", part.name)) }
            .code(Code::Unhealthy)
            .hint("`cargo xtask validate` says why")
            .into()),
    }
}
