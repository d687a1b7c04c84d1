//! Objects in the cluster that the serving revision does not have: from a failed change, or no longer in the manifests. They are deleted,
//! except those that may contain data, which are kept and named.

use std::{fmt, time::Duration};

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait},
    deploy::objects::INSTANCE,
    env::Env,
    graph::TaskId,
    invocation,
    tasks::{
        deploy::history::{self, Attempt, Outcome, Revision},
        desired,
    },
};

/// For finalizers and the pods' grace period.
const GONE_LIMIT: Duration = Duration::from_secs(60);

/// API groups whose kinds contain no data outside the manifests. A kind of any other group may be a database.
const GROUPS: [&str; 17] = [
    "",
    "admissionregistration.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "cloud.google.com",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "eks.amazonaws.com",
    "flowcontrol.apiserver.k8s.io",
    "gateway.networking.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];
/// Kinds in these groups that contain data, or other objects.
const KEPT: [&str; 3] = ["PersistentVolumeClaim", "PersistentVolume", "Namespace"];

/// Objects of a change that no successful revision has, and that did not exist before it, or only in a failed change.
pub(super) struct Added(Vec<ObjectId>);

/// The result of their removal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Removed {
    removed: Vec<ObjectId>,
    kept: Vec<ObjectId>,
    failed: Vec<String>,
    /// The reason, for the message before their names.
    why: String,
    /// `cargo xtask --name x kubectl`
    kubectl: String,
}

impl Added {
    /// Must be called before anything is applied. Asks the cluster only about objects that the serving revision lacks.
    pub(super) fn find(env: &Env, cluster: &Cluster, earlier: &[Revision], objects: &[Value]) -> Result<Added> {
        let Some(good) = history::serving(earlier) else { return Ok(Added(Vec::new())) };
        let served = |id: &ObjectId| earlier.iter().any(|it| it.outcome == Outcome::Deployed && holds(&it.objects, id));
        let mut out = Vec::new();
        for object in objects {
            let id = ObjectId::of(object)?;
            if holds(&good.objects, &id) {
                continue;
            }
            let is_added = match cluster.get(&id)? {
                None => true,
                Some(found) => is_ours(env, &found) && !served(&id),
            };
            if is_added {
                out.push(id);
            }
        }
        Ok(Added(out))
    }

    /// Requests the deletion of each object that exists. Failures are collected.
    pub(super) fn remove(&self, cluster: &Cluster) -> Removed {
        Removed::of(&self.0, cluster, "deleted again, since only the failed change added it:".to_owned())
    }
}

impl Removed {
    fn of(ids: &[ObjectId], cluster: &Cluster, why: String) -> Removed {
        let mut out = Removed { why, kubectl: format!("{} kubectl", invocation::name()), ..Removed::default() };
        for id in ids {
            match remove(cluster, id) {
                Ok(None) => {}
                Ok(Some((removed, kept))) => {
                    out.removed.extend(removed);
                    out.kept.extend(kept);
                }
                Err(error) => out.failed.push(format!("{error:#}")),
            }
        }
        out
    }

    /// Waits until they are gone, and reports those that are not.
    pub(super) fn wait(&mut self, env: &Env, cluster: &Cluster, task: TaskId) -> Result<()> {
        for id in std::mem::take(&mut self.removed) {
            let what = format!("{id} to be deleted");
            let gone = cluster.wait_for(env, task, &Wait::new(env, &what, GONE_LIMIT), || {
                Ok(if cluster.get(&id)?.is_none() { Verdict::Yes } else { Verdict::NotYet("still there".to_owned()) })
            });
            env.interrupt.check()?;
            match gone {
                Ok(()) => self.removed.push(id),
                Err(error) => self.failed.push(format!("{error:#}")),
            }
        }
        Ok(())
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        if !self.removed.is_empty() {
            lines.push(self.why.clone());
            lines.extend(self.removed.iter().map(|it| format!("  {it}")));
        }
        if !self.kept.is_empty() {
            lines.push("kept, since it may contain data; to delete it:".to_owned());
            lines.extend(self.kept.iter().map(|it| {
                let namespace = if it.namespace.is_empty() { String::new() } else { format!(" -n {}", it.namespace) };
                format!("  {it}: {} delete{namespace} {} {}", self.kubectl, plural(it), it.name)
            }));
        }
        lines.extend(self.failed.iter().map(|it| format!("could not be removed: {it}")));
        f.write_str(&lines.join("\n"))
    }
}

/// `persistentvolumeclaim`, `clusters.postgresql.cnpg.io`: kubectl accepts both, and the group distinguishes kinds with the same name.
fn plural(id: &ObjectId) -> String {
    let kind = id.kind.to_lowercase();
    match id.api_version.split_once('/') {
        Some((group, _)) if !GROUPS.contains(&group) => format!("{kind}.{group}"),
        _ => kind,
    }
}

/// `None` if the object does not exist; else the deleted objects and the kept ones.
fn remove(cluster: &Cluster, id: &ObjectId) -> Result<Option<(Vec<ObjectId>, Vec<ObjectId>)>> {
    let Some(found) = cluster.get(id)? else { return Ok(None) };
    if may_hold_data(id, &found) {
        return Ok(Some((Vec::new(), vec![id.clone()])));
    }
    let claims = if id.kind == "StatefulSet" { claims(cluster, id, &found)? } else { Vec::new() };
    cluster.delete(id)?;
    Ok(Some((vec![id.clone()], claims)))
}

fn may_hold_data(id: &ObjectId, object: &Value) -> bool {
    let group = id.api_version.split_once('/').map_or("", |(group, _)| group);
    // A StatefulSet that deletes its PVCs.
    let policy = object.pointer("/spec/persistentVolumeClaimRetentionPolicy/whenDeleted");
    !GROUPS.contains(&group) || KEPT.contains(&id.kind.as_str()) || policy.is_some_and(|it| it == "Delete")
}

/// The PVCs that a StatefulSet created for its pods, which stay when it is deleted.
fn claims(cluster: &Cluster, id: &ObjectId, set: &Value) -> Result<Vec<ObjectId>> {
    let templates = set.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    let prefixes: Vec<String> = templates
        .into_iter()
        .flatten()
        .filter_map(|it| Some(format!("{}-{}-", it.pointer("/metadata/name")?.as_str()?, id.name)))
        .collect();
    if prefixes.is_empty() {
        return Ok(Vec::new());
    }
    let is_of = |name: &str| prefixes.iter().any(|it| name.strip_prefix(it).is_some_and(|rest| rest.parse::<u32>().is_ok()));
    let found = cluster.list("v1", "PersistentVolumeClaim", &id.namespace, "")?;
    let names = found.iter().filter_map(|it| it.pointer("/metadata/name").and_then(Value::as_str)).filter(|it| is_of(it));
    Ok(names.map(|it| ObjectId::new("v1", "PersistentVolumeClaim", &id.namespace, it)).collect())
}

/// Existing objects of earlier attempts that the serving revision does not have, with the PVCs of their StatefulSets; each with whether it
/// may contain data.
pub fn besides_serving(env: &Env, cluster: &Cluster) -> Result<Vec<(ObjectId, bool)>> {
    let revisions = history::read(cluster, &env.config.namespace)?;
    let Some(good) = history::serving(&revisions) else { return Ok(Vec::new()) };
    besides(env, cluster, &revisions, |id| holds(&good.objects, id))
}

/// Existing objects of ours, from earlier revisions, that are no longer in the manifests; each with whether it may contain data. `desired`
/// are the application's objects in the manifests.
pub fn left_manifests<'a>(env: &Env, cluster: &Cluster, desired: impl Iterator<Item = &'a Value>) -> Result<Vec<(ObjectId, bool)>> {
    let revisions = history::read(cluster, &env.config.namespace)?;
    let desired = desired.map(ObjectId::of).chain(desired::besides_app(env)?.into_iter().map(Ok)).collect::<Result<Vec<_>>>()?;
    besides(env, cluster, &revisions, |id| desired.iter().any(|it| is_same(it, id)))
}

/// After a successful change, deletes objects that only earlier revisions had, except those that may contain data. Failures are collected.
pub(super) fn prune(env: &Env, cluster: &Cluster, task: TaskId, attempt: &Attempt) -> Result<()> {
    let Some(good) = attempt.good() else { return Ok(()) };
    let others = desired::besides_app(env)?;
    let keeps = |id: &ObjectId| holds(attempt.objects(), id) || others.iter().any(|it| is_same(it, id));
    let found = besides(env, cluster, attempt.earlier(), keeps)?;
    // Objects kept by an earlier change were named then, and `status` names them.
    let ids: Vec<ObjectId> = found.into_iter().filter(|(id, data)| !data || holds(&good.objects, id)).map(|(id, _)| id).collect();
    let why = format!("deleted, since revision {} does not have it:", attempt.number());
    let mut removed = Removed::of(&ids, cluster, why);
    removed.wait(env, cluster, task)?;
    let said = removed.to_string();
    if !said.is_empty() {
        env.note(task, said);
    }
    Ok(())
}

fn besides(env: &Env, cluster: &Cluster, revisions: &[Revision], keeps: impl Fn(&ObjectId) -> bool) -> Result<Vec<(ObjectId, bool)>> {
    let mut seen: Vec<ObjectId> = Vec::new();
    let mut out: Vec<(ObjectId, bool)> = Vec::new();
    // The newest first, since its PVCs were created last.
    for object in revisions.iter().rev().flat_map(|it| &it.objects) {
        let id = ObjectId::of(object)?;
        if keeps(&id) || seen.iter().any(|it| is_same(it, &id)) {
            continue;
        }
        if id.kind == "StatefulSet" {
            let claims = claims(cluster, &id, object)?;
            let new: Vec<ObjectId> = claims.into_iter().filter(|claim| !out.iter().any(|(it, _)| is_same(it, claim))).collect();
            out.extend(new.into_iter().map(|it| (it, true)));
        }
        if let Some(found) = cluster.get(&id)?
            && is_ours(env, &found)
        {
            let may_hold_data = may_hold_data(&id, &found);
            out.push((id.clone(), may_hold_data));
        }
        seen.push(id);
    }
    Ok(out)
}

fn is_ours(env: &Env, object: &Value) -> bool {
    object["metadata"]["labels"][INSTANCE] == env.instance.as_str()
}

fn holds(objects: &[Value], id: &ObjectId) -> bool {
    objects.iter().filter_map(|it| ObjectId::of(it).ok()).any(|it| is_same(&it, id))
}

/// Whether it is the same object, in any version of its API group.
fn is_same(one: &ObjectId, other: &ObjectId) -> bool {
    let group = |it: &ObjectId| it.api_version.split_once('/').map(|(group, _)| group.to_owned());
    (group(one), &one.kind, &one.namespace, &one.name) == (group(other), &other.kind, &other.namespace, &other.name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_hold_data_is_kept() {
        let holds = |api_version, kind| may_hold_data(&ObjectId::new(api_version, kind, "n", "x"), &json!({}));
        for (api_version, kind) in [
            ("v1", "PersistentVolumeClaim"),
            ("postgresql.cnpg.io/v1", "Cluster"),
            ("example.com/v1", "Queue"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ] {
            assert!(holds(api_version, kind), "{kind}");
        }
        for (api_version, kind) in [
            ("apps/v1", "Deployment"),
            ("apps/v1", "StatefulSet"),
            ("batch/v1", "CronJob"),
            ("v1", "Service"),
            ("v1", "ConfigMap"),
            ("v1", "Secret"),
            ("networking.k8s.io/v1", "NetworkPolicy"),
            ("networking.k8s.io/v1", "Ingress"),
            ("scheduling.k8s.io/v1", "PriorityClass"),
            ("storage.k8s.io/v1", "StorageClass"),
            ("rbac.authorization.k8s.io/v1", "ClusterRole"),
        ] {
            assert!(!holds(api_version, kind), "{kind}");
        }
        let takes_its_claims = json!({ "spec": { "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Delete" } } });
        assert!(may_hold_data(&ObjectId::new("apps/v1", "StatefulSet", "n", "x"), &takes_its_claims));
    }

    #[test]
    fn another_version_of_a_kind_is_the_same_object() {
        let id = |version| ObjectId::new(version, "HorizontalPodAutoscaler", "n", "x");
        assert!(is_same(&id("autoscaling/v1"), &id("autoscaling/v2")));
        assert!(!is_same(&id("autoscaling/v1"), &id("example.com/v1")));
    }

    #[test]
    fn what_was_removed_and_what_stays_is_told_line_by_line() {
        let removed = Removed {
            removed: vec![ObjectId::new("batch/v1", "CronJob", "polls", "nightly")],
            kept: vec![
                ObjectId::new("v1", "PersistentVolumeClaim", "polls", "media"),
                ObjectId::new("postgresql.cnpg.io/v1", "Cluster", "polls", "more"),
            ],
            failed: vec!["delete Secret x in polls: no".to_owned()],
            why: "deleted again, since only the failed change added it:".to_owned(),
            kubectl: "cargo xtask kubectl".to_owned(),
        };
        assert_eq!(
            removed.to_string(),
            "deleted again, since only the failed change added it:\n  CronJob nightly in polls\n\
             kept, since it may contain data; to delete it:\n\
             \x20 PersistentVolumeClaim media in polls: cargo xtask kubectl delete -n polls persistentvolumeclaim media\n\
             \x20 Cluster more in polls: cargo xtask kubectl delete -n polls cluster.postgresql.cnpg.io more\n\
             could not be removed: delete Secret x in polls: no"
        );
    }
}
