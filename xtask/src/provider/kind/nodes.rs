//! The nodes of a cluster. Besides the control plane's, which is the first, a cluster has as many as `cluster.workers` says, or as
//! `deploy/kind/cluster.yaml` lists.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    config::Profile,
    deploy::manifests,
    engine::Engine,
    env::Env,
    errors::{Code, Problem},
    images::{self, Chosen},
    provider::kind::{API_PORT, Present, TASK, config, file, network, node, present},
};

/// The file in the recipes with what several nodes of the image from packages need.
const OBJECTS: &str = "node/several-nodes.yaml";

/// kind's label of a node's container with `control-plane`, `worker` or `external-load-balancer`.
const ROLE: &str = "io.x-k8s.kind.role";

/// The containers of the nodes of Kubernetes, the first one first.
pub(super) fn members(env: &Env, engine: &Engine) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for name in names(env, engine)? {
        let role = engine.container(&name)?.and_then(|it| it.labels.get(ROLE).cloned());
        if name == node(env) || matches!(role.as_deref(), Some("control-plane" | "worker")) {
            out.push(name);
        }
    }
    Ok(out)
}

/// All containers on the cluster's network, the first node first: its nodes, and what kind puts before several control planes.
pub(super) fn names(env: &Env, engine: &Engine) -> Result<Vec<String>> {
    let first = node(env);
    let others = engine.containers_on_network(&network(env))?.into_iter().filter(|it| *it != first);
    Ok(std::iter::once(first.clone()).chain(others).collect())
}

/// Removes every node of the cluster, the first one last, so that an interrupted removal can continue.
pub(super) fn remove(env: &Env, engine: &Engine) -> Result<()> {
    for name in names(env, engine)?.iter().rev() {
        engine.remove_container(name, |it| env.waiting(TASK, it))?;
    }
    Ok(())
}

/// `deploy/kind/cluster.yaml` with the configured workers.
pub(super) fn document(env: &Env) -> Result<Value> {
    let database = &env.config.database;
    // Of a durable database, each instance is on a node of its own.
    let by_default = if database.profile == Profile::Durable { database.all_instances() } else { 0 };
    with_workers(config::parse(&file(env)?)?, env.config.cluster.workers, by_default)
}

/// A file that lists several nodes says itself what the cluster has.
fn with_workers(mut document: Value, wanted: Option<u16>, by_default: u16) -> Result<Value> {
    if config::is_alone(&document) {
        for _ in 0..wanted.unwrap_or(by_default) {
            document["nodes"].as_array_mut().context("deploy/kind/cluster.yaml has no `nodes`")?.push(json!({ "role": "worker" }));
        }
    } else if wanted.is_some_and(|it| it > 0) {
        let what = "deploy/kind/cluster.yaml lists several nodes, and `cluster.workers` would add others";
        return Err(Problem::config(what).code(Code::Manifest).hint("leave one of the two out").into());
    }
    Ok(document)
}

/// The names that kind gives the configured nodes: it numbers those of a role from the second one on. The first node alone for a file that
/// cannot be read, which `inputs` reports.
pub(super) fn planned(env: &Env) -> Vec<String> {
    document(env).map_or_else(|_| vec![node(env)], |it| named(&it, &env.instance))
}

fn named(document: &Value, instance: &str) -> Vec<String> {
    let nodes = document["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let roles: Vec<&str> = nodes.iter().map(|it| it["role"].as_str().unwrap_or("control-plane")).collect();
    let earlier = |at: usize| roles[..at].iter().filter(|it| **it == roles[at]).count();
    let number = |at| if earlier(at) == 0 { String::new() } else { (earlier(at) + 1).to_string() };
    (0..roles.len()).map(|at| format!("{instance}-{}{}", roles[at], number(at))).collect()
}

/// Whether the cluster has one node only: the one that is there, whatever the configuration says since, else the configured one. A file
/// that cannot be read counts as one node; `inputs` reports it.
pub(super) fn is_alone(env: &Env) -> bool {
    let is_there = |engine| match present(env, engine)? {
        Present::Finished(_) => Ok(members(env, engine)?.len() == 1),
        _ => Err(Problem::new("there is no cluster yet").into()),
    };
    // Once in a run, so that all its tasks make the same objects.
    let known = env.engine().and_then(|engine| env.readings.once("number of nodes", || is_there(engine)));
    known.unwrap_or_else(|_| document(env).map_or(true, |it| config::is_alone(&it)))
}

/// The objects that connect several nodes of the image from packages; none for one node, or for kind's own image.
pub(super) fn objects(env: &Env) -> Result<Vec<Value>> {
    if images::chosen(env, TASK)? != Chosen::Packages || config::is_alone(&document(env)?) {
        return Ok(Vec::new());
    }
    let mut out = manifests::parse(&images::packages::text(env, OBJECTS)?)?;
    let api = json!({ "name": "KUBERNETES_SERVICE_HOST", "value": node(env) });
    let port = json!({ "name": "KUBERNETES_SERVICE_PORT", "value": API_PORT.to_string() });
    for object in &mut out {
        let Some(containers) = object.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut) else { continue };
        if !env.config.cluster.network_policies {
            containers.retain(|it| it["name"] != "policies");
        }
        for container in containers {
            container["env"].as_array_mut().context("a container of several-nodes.yaml has no `env`")?.extend([api.clone(), port.clone()]);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_those_of_the_key_or_of_the_file() {
        let three = json!({ "nodes": [{ "role": "control-plane" }, { "role": "worker" }, { "role": "worker" }] });
        assert_eq!(named(&three, "shop"), ["shop-control-plane", "shop-worker", "shop-worker2"]);
        let one = json!({ "nodes": [{ "role": "control-plane" }] });
        let two = json!({ "nodes": [{ "role": "control-plane" }, { "role": "worker" }] });
        let count =
            |document: &Value, wanted, by_default| with_workers(document.clone(), wanted, by_default).map(|it| config::count(&it)).ok();
        assert_eq!(count(&one, None, 0), Some(1));
        assert_eq!(count(&one, None, 3), Some(4));
        assert_eq!(count(&one, Some(0), 3), Some(1));
        assert_eq!(count(&one, Some(2), 0), Some(3));
        assert_eq!(count(&two, None, 3), Some(2));
        assert_eq!(count(&two, Some(0), 3), Some(2));
        assert_eq!(count(&two, Some(1), 0), None);
    }
}
