//! What a failure needs to be understood: container states, last log lines, warning events. Collected, never changed.

use std::fmt;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::cluster::Cluster;

/// The pods of a label that are not well, with reasons, last lines and the namespace's warnings. Empty when all is well.
pub fn collect(cluster: &Cluster, namespace: &str, labels: &str) -> String {
    let mut found: Vec<Finding> = Vec::new();
    for pod in cluster.pods(namespace, labels).unwrap_or_default() {
        let name = pod.metadata.name.clone().unwrap_or_default();
        for (container, state) in unwell(&pod) {
            let lines = cluster.last_lines(namespace, &name, &container, 12).unwrap_or_default();
            let text = format!("{state}{}", lines.lines().map(|it| format!("\n  | {it}")).collect::<String>());
            add(&mut found, Finding { pod: name.clone(), container, text, others: 0 });
        }
    }
    let mut out: String = found.iter().map(|it| format!("\n{it}")).collect();
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

/// What is wrong with a container, and in how many other pods the same is.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    pod: String,
    container: String,
    text: String,
    others: usize,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}, container {}", self.pod, self.container)?;
        if self.others > 0 {
            write!(f, " (and {} more like it)", self.others)?;
        }
        write!(f, ": {}", self.text)
    }
}

/// Four retries of one failure are one finding.
fn add(found: &mut Vec<Finding>, new: Finding) {
    match found.iter_mut().find(|it| it.container == new.container && it.text == new.text) {
        Some(same) => same.others += 1,
        None => found.push(new),
    }
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
    fn the_same_failure_in_several_pods_is_told_once() {
        let finding = |pod: &str, text: &str| Finding { pod: pod.to_owned(), container: "c".to_owned(), text: text.to_owned(), others: 0 };
        let mut found = Vec::new();
        for new in [finding("one", "crash"), finding("two", "crash"), finding("three", "other")] {
            add(&mut found, new);
        }
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["pod one, container c (and 1 more like it): crash", "pod three, container c: other"]);
    }

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
