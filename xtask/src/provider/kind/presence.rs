//! Whether the instance's cluster is there, and whose the container with its name is.

use anyhow::Result;

use crate::{
    engine::{Container, Engine},
    env::Env,
    errors::{Code, Problem},
    provider::kind::{FINISHED, INSTANCE_LABEL, network, node},
};

/// kind's label of a node, with the cluster's name.
pub(super) const KIND_LABEL: &str = "io.x-k8s.kind.cluster";

/// What has the instance's name.
pub(super) enum Present {
    Nothing,
    /// Another owner's cluster with the same name.
    Foreign,
    /// Our own, unfinished cluster.
    HalfMade(Container),
    /// Our own, finished cluster, whose network was removed: it keeps the database and cannot start.
    Stranded(Container),
    Finished(Container),
}

pub(super) fn present(env: &Env, engine: &Engine) -> Result<Present> {
    let Some(container) = engine.container(&node(env))? else { return Ok(Present::Nothing) };
    if !container.networks.contains(&network(env)) {
        return Ok(Present::Foreign);
    }
    if !owns_network(env, engine)? {
        // A `kind` that outlived its run made the node on a network that `delete` had removed: such a node never starts.
        let is_orphan = engine.network_labels(&network(env))?.is_none() && container.labels.get(KIND_LABEL) == Some(&env.instance);
        return Ok(match is_orphan {
            false => Present::Foreign,
            true if is_finished(env, engine, &container)? => Present::Stranded(container),
            true => Present::HalfMade(container),
        });
    }
    Ok(if is_finished(env, engine, &container)? { Present::Finished(container) } else { Present::HalfMade(container) })
}

/// While the engine removes a container, its files cannot be read.
fn is_finished(env: &Env, engine: &Engine, container: &Container) -> Result<bool> {
    Ok(!container.leaving && engine.has_path(&node(env), FINISHED)?)
}

pub(super) fn stranded(env: &Env) -> anyhow::Error {
    let what = format!(
        "the network {} of this instance was removed, perhaps by `docker network prune`: its cluster keeps the database and cannot start",
        network(env)
    );
    Problem::new(what).code(Code::ClusterFailed).hint("give the instance up, with its database: cargo xtask delete").into()
}

pub(super) fn owns_network(env: &Env, engine: &Engine) -> Result<bool> {
    let Some(labels) = engine.network_labels(&network(env))? else { return Ok(false) };
    Ok(labels.get(INSTANCE_LABEL) == Some(&env.instance))
}

pub(super) fn foreign(env: &Env) -> anyhow::Error {
    Problem::new(format!("there is a container {} that this tool did not create; it was not changed", node(env)))
        .code(Code::NameTaken)
        .hint("set another `name` in Pocdeploy.toml, or remove that cluster yourself")
        .into()
}
