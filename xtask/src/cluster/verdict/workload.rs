//! Controllers of pods: Deployment, StatefulSet, DaemonSet, Job.

use serde_json::Value;

use crate::cluster::{
    obstacle,
    verdict::{Verdict, condition, is_behind, is_true, list, number, text, words},
};

fn wanted_replicas(object: &Value) -> i64 {
    object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

/// Every replica is of the present template, available, and no older one is left.
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
        return Verdict::NotYet(format!("{updated} of {want} pods are of the new template"));
    }
    if all > updated {
        return Verdict::NotYet(format!("{} old pods are still there", all - updated));
    }
    if updated > want {
        return Verdict::NotYet(format!("{} pods too many are still there", updated - want));
    }
    if available < want {
        return Verdict::NotYet(format!("{available} of {want} pods are available"));
    }
    Verdict::Yes
}

/// Every replica is of the present revision and ready.
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
    if replaces && text(object, "/status/currentRevision") != text(object, "/status/updateRevision") && updated < want {
        return Verdict::NotYet(format!("{updated} of {want} pods are of the new template"));
    }
    Verdict::Yes
}

/// A ready pod of the present template on every node that should have one.
pub(super) fn daemon_set(object: &Value) -> Verdict {
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    let want = number(object, "/status/desiredNumberScheduled");
    let (updated, ready) = (number(object, "/status/updatedNumberScheduled"), number(object, "/status/numberReady"));
    if updated < want {
        return Verdict::NotYet(format!("{updated} of {want} pods are of the new template"));
    }
    if ready < want {
        return Verdict::NotYet(format!("{ready} of {want} pods are ready"));
    }
    Verdict::Yes
}

/// No controller has looked, or only at an earlier generation.
fn unseen(object: &Value) -> Option<Verdict> {
    if object.pointer("/status/observedGeneration").is_none() {
        return Some(Verdict::NotYet("the controller has not seen it".to_owned()));
    }
    is_behind(object).then(|| Verdict::NotYet("the controller has not seen its last change".to_owned()))
}

/// Complete, or failed for good.
pub fn job(object: &Value) -> Verdict {
    if is_true(object, "Complete") {
        return Verdict::Yes;
    }
    // `FailureTarget` comes first, while the last pods are still being ended.
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
