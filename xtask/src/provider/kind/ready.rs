//! Waits until a created or started node is usable.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, verdict},
    engine::Engine,
    env::Env,
    provider::kind::{TASK, nodes, policies},
    report::Waiting,
};

/// A small machine under load needs one minute; kubeadm itself gives up after four.
pub(super) const READY_LIMIT: Duration = Duration::from_secs(240);

/// The program starts within ten seconds.
const ENFORCED_LIMIT: Duration = Duration::from_secs(30);

/// Waits until the API server answers and every node accepts pods. `several` are the objects that several nodes need before they do.
pub(super) fn wait_until_ready(env: &Env, engine: &Engine, cluster: &Cluster, several: &[Value]) -> Result<()> {
    cluster.wait_until_ready(env, TASK, READY_LIMIT)?;
    cluster.apply_all(several)?;
    for name in nodes::members(env, engine)? {
        let id = ObjectId::new("v1", "Node", "", &name);
        cluster.wait_for_object(env, TASK, &Wait::new(env, &format!("node {name}"), READY_LIMIT), &id, verdict::node)?;
    }
    Ok(())
}

/// After a node's restart, the API server still shows the state before its stop. Waits until no pod has a container that started before the
/// node.
pub(super) fn wait_until_true(env: &Env, engine: &Engine, cluster: &Cluster) -> Result<()> {
    let mut started = BTreeMap::new();
    for name in nodes::members(env, engine)? {
        started.extend(engine.container(&name)?.map(|it| (name, it.started)));
    }
    let wait = Wait::new(env, "the kubelet to report the node's pods after a restart", READY_LIMIT);
    cluster.wait_for(env, TASK, &wait, || Ok(seen_since(&cluster.list("v1", "Pod", "", "")?, &started)))
}

/// After a node's restart, the program that enforces NetworkPolicies comes seconds after the other pods, and connections hang while it reads
/// the policies. Waits until it has begun; a kernel that refuses its rules is for `validate` to report.
pub(super) fn wait_until_enforced(env: &Env, engine: &Engine) -> Result<()> {
    let began = Instant::now();
    while policies::enforced(env, engine)?.is_some_and(|it| it.seen.is_err()) && began.elapsed() < ENFORCED_LIMIT {
        env.waiting(TASK, Waiting::new("NetworkPolicies", "they are not enforced yet", began.elapsed(), ENFORCED_LIMIT));
        env.interrupt.sleep(Duration::from_millis(200))?;
    }
    Ok(())
}

/// `started` has the time of each node's start by its name.
fn seen_since(pods: &[Value], started: &BTreeMap<String, String>) -> Verdict {
    // Compares seconds, since only one of the clocks writes fractions.
    let second = |it: &str| it.chars().take("2026-01-01T00:00:00".len()).collect::<String>();
    for pod in pods {
        let node = pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
        let Some(started) = started.get(node) else { continue };
        for container in pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten() {
            let Some(since) = container.pointer("/state/running/startedAt").and_then(Value::as_str) else { continue };
            if second(since) < second(started) {
                let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                return Verdict::NotYet(format!("pod {name} still has its state from before the restart"));
            }
        }
    }
    Verdict::Yes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_pod_claims_from_before_the_start_is_not_believed() {
        let pod = |since: &str| json!({ "metadata": { "name": "p" }, "spec": { "nodeName": "b" }, "status": { "containerStatuses": [{ "state": { "running": { "startedAt": since } } }] } });
        let started: BTreeMap<String, String> = [("a", "2026-11-24T09:00:00Z"), ("b", "2026-11-24T08:00:55.123456789Z")]
            .map(|(name, at)| (name.to_owned(), at.to_owned()))
            .into();
        assert_eq!(seen_since(&[pod("2026-11-24T08:00:55Z"), json!({})], &started), Verdict::Yes);
        assert_eq!(
            seen_since(&[pod("2026-11-24T07:59:00Z")], &started),
            Verdict::NotYet("pod p still has its state from before the restart".to_owned())
        );
    }
}
