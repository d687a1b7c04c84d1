//! What a failure needs to be understood: container states, last log lines, warning events. Collected, never changed.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::cluster::Cluster;

/// The pods of a label that are not well, with reasons, last lines and the namespace's warnings. Empty when all is well.
pub fn collect(cluster: &Cluster, namespace: &str, labels: &str) -> String {
    let mut out = String::new();
    for pod in cluster.pods(namespace, labels).unwrap_or_default() {
        let name = pod.metadata.name.clone().unwrap_or_default();
        for (container, state) in unwell(&pod) {
            out.push_str(&format!("\npod {name}, container {container}: {state}"));
            let lines = cluster.last_lines(namespace, &name, &container, 12).unwrap_or_default();
            for line in lines.lines() {
                out.push_str(&format!("\n  | {line}"));
            }
        }
    }
    let mut warnings = cluster.warnings(namespace).unwrap_or_default();
    warnings.sort_by_key(|it| it.last_timestamp.clone().map(|time| time.0));
    for event in warnings.iter().rev().take(5).rev() {
        let object = format!(
            "{} {}",
            event.involved_object.kind.as_deref().unwrap_or_default(),
            event.involved_object.name.as_deref().unwrap_or_default()
        );
        let reason = event.reason.as_deref().unwrap_or_default();
        let message = event.message.as_deref().unwrap_or_default();
        out.push_str(&format!("\nevent: {object}: {reason}: {message}"));
    }
    out
}

/// Containers of a pod that wait or ended badly, each with its state in words.
fn unwell(pod: &Pod) -> Vec<(String, String)> {
    let Some(status) = &pod.status else { return Vec::new() };
    let init = status.init_container_statuses.iter().flatten();
    let main = status.container_statuses.iter().flatten();
    init.chain(main).filter_map(|it| Some((it.name.clone(), describe(it)?))).collect()
}

fn describe(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    let restarts = container.restart_count;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        let message = waiting.message.as_deref().unwrap_or_default();
        return Some(format!("{reason}, {restarts} restarts {message}").trim_end().to_owned());
    }
    if let Some(ended) = state.terminated.as_ref().filter(|it| it.exit_code != 0) {
        return Some(format!(
            "ended with exit code {} ({}), {restarts} restarts",
            ended.exit_code,
            ended.reason.as_deref().unwrap_or_default()
        ));
    }
    if !container.ready && state.running.is_some() {
        return Some(format!("runs, not ready, {restarts} restarts"));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_containers_that_are_not_well_are_named() {
        let pod: Pod = serde_json::from_value(json!({ "status": {
            "initContainerStatuses": [{ "name": "done", "ready": true, "restartCount": 0, "image": "", "imageID": "", "state": { "terminated": { "exitCode": 0 } } }],
            "containerStatuses": [
                { "name": "fine", "ready": true, "restartCount": 0, "image": "", "imageID": "", "state": { "running": {} } },
                { "name": "crashes", "ready": false, "restartCount": 3, "image": "", "imageID": "", "state": { "waiting": { "reason": "CrashLoopBackOff" } } },
            ],
        } }))
        .unwrap();
        assert_eq!(unwell(&pod), [("crashes".to_owned(), "CrashLoopBackOff, 3 restarts".to_owned())]);
    }
}
