//! What nodes need that went on after they were frozen: the cluster may have given them up meanwhile.

use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait},
    engine::Engine,
    env::Env,
    provider::kind::{TASK, ready::READY_LIMIT},
};

/// The controller manager gives up a node whose Lease is 50 s old (`--node-monitor-grace-period`). The kubelet renews it every 10 s.
const FRESH: SignedDuration = SignedDuration::from_secs(40);

/// Returns when no frozen node of these counts as lost, or is about to. A node that does has its kubelet started again, which reports it at
/// once; otherwise that takes up to ten seconds, in which none of its pods counts as ready.
pub(super) fn take_back(env: &Env, engine: &Engine, cluster: &Cluster, frozen: &[String]) -> Result<()> {
    if frozen.is_empty() {
        return Ok(());
    }
    cluster.wait_until_ready(env, TASK, READY_LIMIT)?;
    for name in frozen {
        // Before this, the controller manager may still be about to give the node up.
        let id = ObjectId::new("coordination.k8s.io/v1", "Lease", "kube-node-lease", name);
        let what = format!("the Lease of node {name}");
        let wait = Wait { pause: Duration::from_millis(50), ..Wait::new(env, &what, READY_LIMIT) };
        cluster.wait_for(env, TASK, &wait, || {
            let Some(lease) = cluster.get(&id)? else { return Ok(Verdict::Yes) };
            let is_fresh = is_fresh(&lease, &now(engine, name)?);
            Ok(if is_fresh { Verdict::Yes } else { Verdict::NotYet("its kubelet has not renewed it".to_owned()) })
        })?;
        if cluster.get(&ObjectId::new("v1", "Node", "", name))?.is_some_and(|it| is_given_up(&it)) {
            env.progress(TASK, format!("{name} was given up while it was frozen: its kubelet starts again"));
            engine.exec(name, &["systemctl", "restart", "kubelet"])?.ok("start the kubelet again")?;
        }
    }
    Ok(())
}

/// The node's own time, since its engine may be on another machine.
fn now(engine: &Engine, node: &str) -> Result<String> {
    engine.exec(node, &["date", "--utc", "+%Y-%m-%dT%H:%M:%SZ"])?.ok("ask for the node's time")
}

/// Whether the kubelet has renewed the Lease lately. A time in the future counts, since the clock may have been set back.
fn is_fresh(lease: &Value, now: &str) -> bool {
    let renewed = lease.pointer("/spec/renewTime").and_then(Value::as_str).and_then(|it| it.parse::<Timestamp>().ok());
    renewed.zip(now.trim().parse::<Timestamp>().ok()).is_none_or(|(renewed, now)| now.duration_since(renewed) < FRESH)
}

/// Whether the controller manager has written the node's state in its kubelet's place.
fn is_given_up(node: &Value) -> bool {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "Unknown")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lease_is_fresh_until_the_controller_manager_may_give_its_node_up() {
        let now = "2026-11-30T10:00:40Z\n";
        let lease = |time: &str| json!({ "spec": { "renewTime": time } });
        assert!(is_fresh(&lease("2026-11-30T10:00:00.000001Z"), now) && is_fresh(&lease("2026-11-30T11:00:00Z"), now));
        assert!(!is_fresh(&lease("2026-11-30T10:00:00Z"), now) && !is_fresh(&lease("2026-11-29T10:00:39Z"), now));
        assert!(is_fresh(&json!({}), now), "nothing to wait for");
    }
}
