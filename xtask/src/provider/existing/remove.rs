//! Removes this instance from a shared cluster: exactly the objects with its label, and nothing that others need.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait},
    deploy::{
        objects::INSTANCE,
        operator::{PART, PART_OPERATOR},
    },
    env::Env,
    graph::TaskId,
    provider::registry,
};

/// For a database's pods, PVCs and finalizers.
const GONE_LIMIT: Duration = Duration::from_secs(300);

/// Deletes the instance's objects and waits until they are gone: first its namespace with the database, then the operator that it
/// installed, unless databases of others need the operator.
pub(in crate::provider) fn all(env: &Env, cluster: &Cluster, task: TaskId) -> Result<()> {
    let mine = labelled(env, cluster)?;
    let (operator, app): (Vec<Value>, Vec<Value>) = mine.into_iter().partition(is_operator);
    // Deleting the namespace deletes its objects. The operator must exist until its databases are gone, and a class until the controller has
    // removed what it made for Ingresses.
    let is_class = |it: &Value| ["IngressClass", "IngressClassParams", "GatewayClass"].iter().any(|kind| it["kind"] == *kind);
    let (classes, rest): (Vec<Value>, Vec<Value>) = app.into_iter().partition(is_class);
    delete(env, cluster, task, &rest)?;
    delete(env, cluster, task, &classes)?;
    let others = other_databases(env, cluster)?;
    if !operator.is_empty() && !others.is_empty() {
        env.note(task, format!("CloudNativePG stays, since databases of others need it: {}", others.join(", ")));
        return Ok(());
    }
    delete(env, cluster, task, &operator)?;
    // A cloud's own registry goes with the cluster.
    if env.config.cluster.registry.is_some() {
        for image in registry::all_remembered(env) {
            env.note(task, format!("stays in the registry; remove it there if you want: {image}"));
        }
    }
    Ok(())
}

/// Descriptions of what `delete` would remove, or has not removed.
pub(super) fn leftovers(env: &Env, cluster: &Cluster) -> Result<Vec<String>> {
    let mine = labelled(env, cluster)?;
    let kept = mine.iter().any(is_operator) && !other_databases(env, cluster)?.is_empty();
    mine.iter().filter(|it| !(kept && is_operator(it))).map(|it| Ok(ObjectId::of(it)?.to_string())).collect()
}

/// Namespaces and cluster-scoped objects with the instance's label, and labelled objects in namespaces without it.
fn labelled(env: &Env, cluster: &Cluster) -> Result<Vec<Value>> {
    let found = cluster.labelled(&format!("{INSTANCE}={}", env.instance))?;
    let namespaces: Vec<String> = found.iter().filter(|it| it["kind"] == "Namespace").filter_map(name).collect();
    let inside =
        |it: &Value| it.pointer("/metadata/namespace").and_then(Value::as_str).is_some_and(|it| namespaces.iter().any(|name| name == it));
    Ok(found.into_iter().filter(|it| !inside(it)).collect())
}

fn name(object: &Value) -> Option<String> {
    object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned)
}

fn is_operator(object: &Value) -> bool {
    object["metadata"]["labels"][PART] == PART_OPERATOR
}

/// CloudNativePG's databases of other instances.
fn other_databases(env: &Env, cluster: &Cluster) -> Result<Vec<String>> {
    let label = format!("{INSTANCE}!={}", env.instance);
    let found = cluster.list_if_known("postgresql.cnpg.io/v1", "Cluster", "", &label)?;
    found.iter().map(|it| Ok(ObjectId::of(it)?.to_string())).collect()
}

fn delete(env: &Env, cluster: &Cluster, task: TaskId, objects: &[Value]) -> Result<()> {
    let ids: Vec<ObjectId> = objects.iter().map(ObjectId::of).collect::<Result<_>>()?;
    for id in &ids {
        env.progress(task, format!("deleting {id}"));
        cluster.delete(id)?;
    }
    for id in &ids {
        let what = format!("{id} to be deleted");
        let wait = Wait { pause: Duration::from_millis(200), ..Wait::new(env, &what, GONE_LIMIT) };
        cluster.wait_for(env, task, &wait, || {
            Ok(match cluster.get(id)? {
                None => Verdict::Yes,
                Some(found) => Verdict::NotYet(still_there(&found)),
            })
        })?;
    }
    Ok(())
}

/// Why a namespace, or an object with finalizers, is not gone yet.
fn still_there(object: &Value) -> String {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let remaining = conditions.into_iter().flatten().find(|it| it["type"] == "NamespaceContentRemaining" && it["status"] == "True");
    match remaining.and_then(|it| it["message"].as_str()) {
        Some(message) => message.to_owned(),
        None => "it is still there".to_owned(),
    }
}
