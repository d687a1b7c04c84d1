//! Collects evidence of a failure from the cluster before anything is changed.
//!
//! `diagnosis.rs` interprets it. What cannot be read is left out, since the failure itself matters more.

use std::collections::BTreeMap;

use crate::{
    cluster::{
        Cluster, causes,
        diagnosis::{Diagnosis, Evidence, diagnose},
        log_lines,
    },
    redact::Redactor,
};

/// Diagnoses the failed pods with these labels.
pub fn collect(cluster: &Cluster, namespace: &str, labels: &str) -> Diagnosis {
    let list = |api_version, kind, namespace, labels| cluster.list(api_version, kind, namespace, labels).unwrap_or_default();
    let kinds = [("apps/v1", "ReplicaSet"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"), ("batch/v1", "Job")];
    let owners = kinds.iter().flat_map(|(api_version, kind)| list(api_version, kind, namespace, "")).collect();
    let mut evidence = Evidence {
        namespace: namespace.to_owned(),
        pods: list("v1", "Pod", namespace, labels),
        owners,
        events: list("v1", "Event", namespace, "").into_iter().filter(|it| it["type"] == "Warning").collect(),
        nodes: list("v1", "Node", "", ""),
        logs: BTreeMap::new(),
    };
    // Programs may print their settings when they fail.
    let redactor = Redactor::default();
    for it in diagnose(&evidence).symptoms.iter().filter(|it| !it.container.is_empty()) {
        let read = |previous| log_lines::since(&cluster.lines_of_run(namespace, &it.pod, &it.container, previous), &it.since);
        let mut lines = read(false);
        // A container that was just restarted has not logged its failure yet.
        if it.has_run_before && log_lines::first_error(&lines).is_none() {
            let before = read(true);
            if lines.trim().is_empty() || log_lines::first_error(&before).is_some() {
                lines = before;
            }
        }
        evidence.logs.insert((it.pod.clone(), it.container.clone()), redactor.text(&lines));
    }
    diagnose(&evidence)
}

impl Cluster {
    /// Why PostgreSQL in a database's pod did not start, if a setting is the reason: from the log of its last run.
    pub fn refused_start(&self, namespace: &str, pod: &str) -> Option<String> {
        causes::refused_settings(&log_lines::since(&self.lines_of_run(namespace, pod, "postgres", false), ""))
    }
}
