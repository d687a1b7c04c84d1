//! Pods: running and ready, or succeeded. States that persist are `Never`.

use serde_json::Value;

use crate::cluster::{
    obstacle,
    verdict::{Verdict, condition, is_true, list, number, of, text, words},
};

pub(super) fn pod(object: &Value) -> Verdict {
    match text(object, "/status/phase") {
        "Succeeded" => return Verdict::Yes,
        "Failed" => {
            let why = [text(object, "/status/reason"), text(object, "/status/message")].join(" ");
            return Verdict::Never(format!("it failed: {}", ended(object).unwrap_or_else(|| why.trim().to_owned())));
        }
        _ => {}
    }
    if let Some(scheduled) = condition(object, "PodScheduled").filter(|it| text(it, "/status") == "False") {
        return Verdict::NotYet(words(scheduled));
    }
    for container in containers(object) {
        if let Some(obstacle) = obstacle::of_container(container) {
            let why = format!("container {}: {}", text(container, "/name"), obstacle.why);
            return if obstacle.is_final() { Verdict::Never(why) } else { Verdict::NotYet(why) };
        }
        let Some(waiting) = container.pointer("/state/waiting") else { continue };
        let reason = text(waiting, "/reason");
        let restarts = number(container, "/restartCount");
        let name = text(container, "/name");
        if reason == "CrashLoopBackOff" {
            return Verdict::NotYet(format!("container {name}: {reason}, {restarts} restarts"));
        }
    }
    if is_true(object, "Ready") && text(object, "/status/phase") == "Running" {
        return Verdict::Yes;
    }
    match containers(object).find(|it| it["ready"] != true && !ended_well(it)) {
        Some(container) => Verdict::NotYet(format!("container {} is not ready", text(container, "/name"))),
        None => Verdict::NotYet("the kubelet does not report it as ready".to_owned()),
    }
}

/// Whether all containers have succeeded, whatever the phase is: the phase changes only after the node has cleaned up the pod.
pub fn has_worked(object: &Value) -> bool {
    let ended = list(object, "/status/containerStatuses");
    !ended.is_empty() && ended.iter().all(ended_well)
}

/// Whether the pod has failed for good and a controller, which is judged for itself, makes another one in its place: the kubelet of a full node
/// turned it away (`OutOfcpu`: for a moment it counts pods that the scheduler no longer counts), or it was evicted. A ReplicaSet keeps such a
/// pod until 12,500 of them exist or the ReplicaSet is deleted.
pub fn is_left_behind(object: &Value) -> bool {
    let kinds = ["ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet"];
    text(object, "/status/phase") == "Failed" && controller(object).is_some_and(|it| kinds.contains(&text(it, "/kind")))
}

/// Whether a pod was left behind and another one is there: its controller has all the pods that it wants, or is gone.
pub fn is_replaced(object: &Value, controller: Option<&Value>) -> bool {
    is_left_behind(object) && controller.is_none_or(|it| of(it) == Verdict::Yes)
}

/// The reference to what makes such pods, if something does.
pub fn controller(object: &Value) -> Option<&Value> {
    list(object, "/metadata/ownerReferences").iter().find(|it| it["controller"] == true)
}

/// Whether a running container has not passed its startup probe yet, so it is neither healthy nor unhealthy. The kubelet marks a container
/// without such a probe as started at once. Also true for the mirror of a static pod without a status, or whose container has passed its
/// startup probe and not been asked yet whether it is ready: on a slow machine the kubelet creates a mirror up to a minute after the pod, and
/// reports its status a moment later.
pub fn is_starting(object: &Value) -> bool {
    let is_mirror = object["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string();
    let statuses = list(object, "/status/containerStatuses");
    let is_behind = |it: &Value| it["started"] == false || is_mirror && it["ready"] == false;
    is_mirror && statuses.is_empty() || statuses.iter().any(|it| it.pointer("/state/running").is_some() && is_behind(it))
}

fn containers(object: &Value) -> impl Iterator<Item = &Value> {
    list(object, "/status/initContainerStatuses").iter().chain(list(object, "/status/containerStatuses"))
}

fn ended_well(container: &Value) -> bool {
    container.pointer("/state/terminated/exitCode").and_then(Value::as_i64) == Some(0)
}

/// The first container that failed.
fn ended(object: &Value) -> Option<String> {
    containers(object).find_map(|it| {
        let code = it.pointer("/state/terminated/exitCode").and_then(Value::as_i64).filter(|code| *code != 0)?;
        Some(format!("container {} ended with exit code {code} {}", text(it, "/name"), text(it, "/state/terminated/reason")))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_failed_pod_that_a_controller_replaces_is_left_behind() {
        let pod = |phase: &str, owner: &str| json!({ "kind": "Pod", "metadata": { "ownerReferences": [{ "kind": "ConfigMap" }, { "kind": owner, "controller": true }] }, "status": { "phase": phase, "reason": "OutOfcpu" } });
        assert!(is_left_behind(&pod("Failed", "ReplicaSet")) && is_left_behind(&pod("Failed", "DaemonSet")));
        assert!(
            !is_left_behind(&pod("Pending", "ReplicaSet"))
                && !is_left_behind(&pod("Failed", "Job"))
                && !is_left_behind(&pod("Failed", "Cluster"))
        );
        assert!(!is_left_behind(&json!({ "kind": "Pod", "status": { "phase": "Failed" } })), "nobody replaces it");
    }

    #[test]
    fn only_a_container_that_runs_is_starting() {
        let pod = |container: Value| json!({ "kind": "Pod", "status": { "containerStatuses": [{ "started": true }, container] } });
        let running = json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } });
        assert!(is_starting(&pod(json!({ "started": false, "state": running }))));
        assert!(is_starting(&pod(json!({ "started": false, "restartCount": 1, "state": running }))), "with its node");
        assert!(!is_starting(&pod(json!({ "started": true, "state": running }))), "its probe has answered");
        let mirror = json!({ "kind": "Pod", "metadata": { "annotations": { "kubernetes.io/config.mirror": "x" } }, "status": { "phase": "Pending" } });
        assert!(is_starting(&mirror));
        let unready = json!({ "started": true, "ready": false, "state": running });
        let mut asked_next = mirror.clone();
        asked_next["status"] = json!({ "containerStatuses": [unready] });
        assert!(is_starting(&asked_next));
        assert!(!is_starting(&pod(unready)), "a pod that is no mirror is unhealthy");
        asked_next["status"]["containerStatuses"][0]["ready"] = json!(true);
        assert!(!is_starting(&asked_next));
        assert!(!is_starting(&json!({ "kind": "Pod", "status": { "phase": "Pending" } })), "no mirror");
        let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        assert!(!is_starting(&pod(json!({ "started": false, "restartCount": 1, "state": waiting }))), "nothing runs");
    }
}
