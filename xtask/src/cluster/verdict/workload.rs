//! Controllers of pods: Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob.

use serde_json::Value;

use crate::cluster::{
    obstacle,
    verdict::{Verdict, condition, is_behind, is_true, list, number, text, words},
};

fn wanted_replicas(object: &Value) -> i64 {
    object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

/// Every replica is up to date and available, and no old replica is left.
pub fn deployment(object: &Value) -> Verdict {
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    if let Some(progressing) = condition(object, "Progressing")
        && text(progressing, "/reason") == "ProgressDeadlineExceeded"
    {
        return Verdict::Never(text(progressing, "/message").to_owned());
    }
    if let Some(failure) = condition(object, "ReplicaFailure").filter(|it| text(it, "/status") == "True") {
        return match obstacle::refusal(text(failure, "/message")) {
            Some(it) if it.is_final() => Verdict::Never(it.why),
            _ => Verdict::NotYet(words(failure)),
        };
    }
    let want = wanted_replicas(object);
    let updated = number(object, "/status/updatedReplicas");
    let available = number(object, "/status/availableReplicas");
    let all = number(object, "/status/replicas");
    if updated < want {
        let paused = if object.pointer("/spec/paused") == Some(&Value::Bool(true)) { ": it is paused" } else { "" };
        return Verdict::NotYet(format!("{updated} of {want} pods have the new template{paused}"));
    }
    if all > updated {
        return Verdict::NotYet(format!("{} old pods still exist", all - updated));
    }
    if updated > want {
        return Verdict::NotYet(format!("{} surplus pods still exist", updated - want));
    }
    if available < want {
        return Verdict::NotYet(format!("{available} of {want} pods are available"));
    }
    Verdict::Yes
}

/// It has the wanted number of pods, all available.
pub(super) fn replica_set(object: &Value) -> Verdict {
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    if let Some(failure) = condition(object, "ReplicaFailure").filter(|it| text(it, "/status") == "True") {
        return Verdict::NotYet(words(failure));
    }
    let want = wanted_replicas(object);
    let (all, available) = (number(object, "/status/replicas"), number(object, "/status/availableReplicas"));
    if all > want {
        return Verdict::NotYet(format!("{} surplus pods still exist", all - want));
    }
    if available < want {
        return Verdict::NotYet(format!("{available} of {want} pods are available"));
    }
    Verdict::Yes
}

/// Every replica has the current revision, is available, and none is surplus. Pods below the partition, and pods of a set with `OnDelete`,
/// keep their revision.
pub(super) fn stateful_set(object: &Value) -> Verdict {
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    let want = wanted_replicas(object);
    let (updated, ready) = (number(object, "/status/updatedReplicas"), number(object, "/status/readyReplicas"));
    if ready < want {
        return Verdict::NotYet(format!("{ready} of {want} pods are ready"));
    }
    let replaces = text(object, "/spec/updateStrategy/type") != "OnDelete";
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition");
    let wanted = (want - partition).max(0);
    if replaces && text(object, "/status/currentRevision") != text(object, "/status/updateRevision") && updated < wanted {
        return Verdict::NotYet(format!("{updated} of {wanted} pods have the new template"));
    }
    let all = number(object, "/status/replicas");
    if all > want {
        return Verdict::NotYet(format!("{} surplus pods still exist", all - want));
    }
    // Missing on API servers that do not count it.
    let available = object.pointer("/status/availableReplicas").and_then(Value::as_i64).unwrap_or(ready);
    if available < want {
        return Verdict::NotYet(format!("{available} of {want} pods are available"));
    }
    Verdict::Yes
}

/// Every node that should have a pod has an available one with the current template.
pub(super) fn daemon_set(object: &Value) -> Verdict {
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    let want = number(object, "/status/desiredNumberScheduled");
    let (updated, ready) = (number(object, "/status/updatedNumberScheduled"), number(object, "/status/numberReady"));
    if text(object, "/spec/updateStrategy/type") != "OnDelete" && updated < want {
        return Verdict::NotYet(format!("{updated} of {want} pods have the new template"));
    }
    if ready < want {
        return Verdict::NotYet(format!("{ready} of {want} pods are ready"));
    }
    let available = object.pointer("/status/numberAvailable").and_then(Value::as_i64).unwrap_or(ready);
    if available < want {
        return Verdict::NotYet(format!("{available} of {want} pods are available"));
    }
    let stray = number(object, "/status/numberMisscheduled");
    if stray > 0 {
        return Verdict::NotYet(format!("{stray} pods run on nodes that should have none"));
    }
    Verdict::Yes
}

/// The last finished run succeeded. Done if there is none yet.
pub(super) fn cron_job(object: &Value) -> Verdict {
    let (begun, ended) = (text(object, "/status/lastScheduleTime"), text(object, "/status/lastSuccessfulTime"));
    // Timestamps of the API server have the same format, so they compare as strings.
    if !begun.is_empty() && ended < begun && list(object, "/status/active").is_empty() {
        return Verdict::NotYet(format!("its run of {begun} did not succeed"));
    }
    Verdict::Yes
}

/// "Not yet" if no controller has seen the object, or only an earlier generation.
fn unseen(object: &Value) -> Option<Verdict> {
    if object.pointer("/status/observedGeneration").is_none() {
        return Some(Verdict::NotYet("the controller has not seen it".to_owned()));
    }
    is_behind(object).then(|| Verdict::NotYet("the controller has not seen its last change".to_owned()))
}

/// Complete, or failed permanently.
pub fn job(object: &Value) -> Verdict {
    if is_true(object, "Complete") {
        return Verdict::Yes;
    }
    // `FailureTarget` comes first, while the last pods are still terminating.
    for kind in ["Failed", "FailureTarget"] {
        if let Some(failed) = condition(object, kind).filter(|it| text(it, "/status") == "True") {
            return Verdict::Never(words(failed));
        }
    }
    if list(object, "/status/conditions").iter().any(|it| text(it, "/type") == "Suspended" && text(it, "/status") == "True") {
        return Verdict::NotYet("it is suspended".to_owned());
    }
    let (active, failures) = (number(object, "/status/active"), number(object, "/status/failed"));
    Verdict::NotYet(format!("{active} pods run, {failures} failed"))
}
