//! What was ready before a kill, so that a drill ends when it is ready again: pods on a node that was lost, and those that need the database.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use crate::cluster::{Cluster, ObjectId, Verdict, verdict};

/// The kinds that can become unready by a kill; nodes only where one is lost.
const KINDS: [(&str, &str); 5] =
    [("v1", "Node"), ("apps/v1", "Deployment"), ("apps/v1", "DaemonSet"), ("apps/v1", "StatefulSet"), ("v1", "Pod")];

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
    let mut out = Vec::new();
    for (version, kind) in KINDS {
        match reach {
            Reach::Namespace(_) if kind == "Node" => {}
            Reach::Namespace(name) => out.extend(cluster.list(version, kind, name, "")?),
            Reach::Cluster => out.extend(cluster.list(version, kind, "", "")?),
        }
    }
    Ok(out)
}

impl Well {
    pub(super) fn read(cluster: &Cluster, reach: &Reach<'_>) -> Result<Well> {
        Ok(Well::of(&read(cluster, reach)?))
    }

    /// `Yes` if each of them that still exists is ready again.
    pub(super) fn is_back(&self, cluster: &Cluster, reach: &Reach<'_>) -> Result<Verdict> {
        Ok(self.compare(&read(cluster, reach)?))
    }

    fn of(objects: &[Value]) -> Well {
        Well(objects.iter().filter(|it| verdict::of(it) == Verdict::Yes).filter_map(name).collect())
    }

    fn compare(&self, objects: &[Value]) -> Verdict {
        let was = objects.iter().filter_map(|it| Some((name(it).filter(|name| self.0.contains(name))?, it)));
        // What never becomes ready by itself is waited for as well: a container that ended with its node is started again.
        let not_yet = was.map(|(name, it)| (name, verdict::of(it))).find_map(|(name, it)| Some(format!("{name}: {}", it.why()?)));
        not_yet.map_or(Verdict::Yes, Verdict::NotYet)
    }
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
}
