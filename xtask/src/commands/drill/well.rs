//! What was ready before a kill, so that a drill ends when it is ready again: pods on a node that was lost, and those that need the database.

use std::{cell::Cell, collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, verdict},
    env::Env,
    graph::TaskId,
};

/// For one answer of an API server.
const LIMIT: Duration = Duration::from_secs(60);

/// The kinds that can become unready by a kill.
const KINDS: [(&str, &str); 2] = [("apps/v1", "Deployment"), ("v1", "Pod")];

/// Those that the loss of a node makes unready as well.
const WITH_NODES: [(&str, &str); 3] = [("v1", "Node"), ("apps/v1", "DaemonSet"), ("apps/v1", "StatefulSet")];

/// The objects that are ready.
pub(super) struct Well(BTreeSet<String>);

/// Where to look.
pub(super) enum Reach<'a> {
    /// A kill of a pod or a process: the rights of the tool's user may end there.
    Namespace(&'a str),
    /// The loss of a node.
    Cluster,
}

fn read(cluster: &Cluster, reach: &Reach<'_>) -> Result<Vec<Value>> {
    let (namespace, more) = match reach {
        Reach::Namespace(name) => (*name, &[][..]),
        Reach::Cluster => ("", &WITH_NODES[..]),
    };
    let mut out = Vec::new();
    for (version, kind) in KINDS.iter().chain(more) {
        out.extend(cluster.list(version, kind, namespace, "")?);
    }
    Ok(out)
}

impl Well {
    /// A server that has just come back may not answer the first time.
    pub(super) fn read(env: &Env, cluster: &Cluster, reach: &Reach<'_>) -> Result<Well> {
        let (wait, well) = (Wait::new(env, "what is ready before the kill", LIMIT), Cell::new(None));
        cluster.wait_for(env, TaskId::Database, &wait, || {
            well.set(Some(Well::of(&read(cluster, reach)?)));
            Ok(Verdict::Yes)
        })?;
        well.into_inner().context("nothing was read")
    }

    /// `Yes` if each of them that still exists is ready again. A pod that failed for good stays so, and does not count where it has been replaced, as
    /// in `validate`.
    pub(super) fn is_back(&self, cluster: &Cluster, reach: &Reach<'_>) -> Result<Verdict> {
        let mut lasting = Vec::new();
        for it in read(cluster, reach)? {
            if !cluster.is_replaced(&it)? {
                lasting.push(it);
            }
        }
        Ok(self.compare(&lasting))
    }

    fn of(objects: &[Value]) -> Well {
        Well(objects.iter().filter(|it| verdict::of(it) == Verdict::Yes && !is_of_a_job(it)).filter_map(name).collect())
    }

    fn compare(&self, objects: &[Value]) -> Verdict {
        let was = objects.iter().filter_map(|it| Some((name(it).filter(|name| self.0.contains(name))?, it)));
        // What never becomes ready by itself is waited for as well: a container that ended with its node is started again.
        let not_yet = was.map(|(name, it)| (name, verdict::of(it))).find_map(|(name, it)| Some(format!("{name}: {}", it.why()?)));
        not_yet.map_or(Verdict::Yes, Verdict::NotYet)
    }
}

/// A pod of a Job ends some day, and a kill may end it for good.
fn is_of_a_job(object: &Value) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|it| it["kind"] == "Job")
}

fn name(object: &Value) -> Option<String> {
    ObjectId::of(object).ok().map(|it| it.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(name: &str, available: u64) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": name, "namespace": "polls", "generation": 1 },
            "spec": { "replicas": 1 },
            "status": {
                "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": available, "availableReplicas": available,
                "conditions": [{ "type": "Available", "status": if available == 1 { "True" } else { "False" } }],
            },
        })
    }

    #[test]
    fn what_was_ready_has_to_be_ready_again_and_nothing_else() {
        let well = Well::of(&[deployment("frontend", 1), deployment("broken", 0), deployment("replaced", 1)]);
        assert_eq!(well.compare(&[deployment("frontend", 1), deployment("broken", 0), deployment("new", 0)]), Verdict::Yes);
        let Verdict::NotYet(why) = well.compare(&[deployment("broken", 0), deployment("frontend", 0)]) else { panic!("it is not ready") };
        assert!(why.starts_with("Deployment frontend in polls: "), "{why}");
    }

    #[test]
    fn a_pod_of_a_job_is_not_waited_for_and_one_of_the_database_is() {
        let pod = |name: &str, phase: &str, owner: &str| {
            let ready = if phase == "Running" { "True" } else { "False" };
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": name, "namespace": "polls", "ownerReferences": [{ "kind": owner, "name": "o" }] },
                "status": { "phase": phase, "conditions": [{ "type": "Ready", "status": ready }] },
            })
        };
        let well = Well::of(&[pod("report", "Running", "Job"), pod("db", "Running", "Cluster")]);
        assert_eq!(well.compare(&[pod("report", "Failed", "Job")]), Verdict::Yes);
        assert_eq!(well.compare(&[pod("report", "Pending", "Job")]), Verdict::Yes);
        for db in ["Pending", "Failed"] {
            assert!(matches!(well.compare(&[pod("db", db, "Cluster")]), Verdict::NotYet(_)));
        }
    }
}
