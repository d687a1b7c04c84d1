//! Readiness as pure verdicts over an object, each with its reason. An object without a status yet is never ready.

use serde_json::Value;

/// Is it done?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Yes,
    /// Waiting may help.
    NotYet(String),
    /// Waiting will not help.
    Never(String),
}

fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|it| text(it, "/type") == kind)
}

fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|it| text(it, "/status") == "True")
}

/// Every replica is of the present template, available, and no older one is left.
pub fn deployment(object: &Value) -> Verdict {
    if number(object, "/status/observedGeneration") < number(object, "/metadata/generation") {
        return Verdict::NotYet("the controller has not seen it".to_owned());
    }
    if let Some(progressing) = condition(object, "Progressing")
        && text(progressing, "/reason") == "ProgressDeadlineExceeded"
    {
        return Verdict::Never(text(progressing, "/message").to_owned());
    }
    let want = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let updated = number(object, "/status/updatedReplicas");
    let available = number(object, "/status/availableReplicas");
    let all = number(object, "/status/replicas");
    if updated < want {
        return Verdict::NotYet(format!("{updated} of {want} pods are of the new template"));
    }
    if all > updated {
        return Verdict::NotYet(format!("{} old pods are still there", all - updated));
    }
    if available < want {
        return Verdict::NotYet(format!("{available} of {want} pods are available"));
    }
    Verdict::Yes
}

/// Complete, or failed for good.
pub fn job(object: &Value) -> Verdict {
    if is_true(object, "Complete") {
        return Verdict::Yes;
    }
    if let Some(failed) = condition(object, "Failed").filter(|it| text(it, "/status") == "True") {
        return Verdict::Never(format!("{}: {}", text(failed, "/reason"), text(failed, "/message")));
    }
    let (active, failures) = (number(object, "/status/active"), number(object, "/status/failed"));
    Verdict::NotYet(format!("{active} pods run, {failures} failed"))
}

/// A node that takes pods.
pub fn node(object: &Value) -> Verdict {
    if is_true(object, "Ready") {
        return Verdict::Yes;
    }
    match condition(object, "Ready") {
        Some(ready) => Verdict::NotYet(text(ready, "/message").to_owned()),
        None => Verdict::NotYet("the node has not said anything yet".to_owned()),
    }
}

/// CloudNativePG's `Cluster`: condition `Ready` there and true, for this generation's number of instances.
pub fn database(object: &Value) -> Verdict {
    let phase = text(object, "/status/phase");
    // Phases that the operator leaves only by hand (its `api/v1` constants).
    if phase.starts_with("Cluster is unrecoverable")
        || phase == "Cluster cannot proceed to reconciliation due to an unknown plugin being required"
    {
        return Verdict::Never(format!("{phase}: {}", text(object, "/status/phaseReason")));
    }
    let want = object.pointer("/spec/instances").and_then(Value::as_i64).unwrap_or(1);
    let ready = number(object, "/status/readyInstances");
    let seen = if phase.is_empty() { "the operator has not looked at it" } else { phase };
    if !is_true(object, "Ready") {
        return Verdict::NotYet(format!("{seen} ({ready} of {want} instances ready)"));
    }
    if ready < want {
        return Verdict::NotYet(format!("{ready} of {want} instances ready ({seen})"));
    }
    Verdict::Yes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn not_yet(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::NotYet(_))
    }

    #[test]
    fn an_object_without_a_status_is_never_ready() {
        let bare = json!({ "metadata": { "generation": 1 }, "spec": {} });
        for verdict in [deployment(&bare), job(&bare), node(&bare), database(&bare)] {
            assert!(not_yet(&verdict), "{verdict:?}");
        }
    }

    #[test]
    fn a_deployment_is_ready_when_all_pods_are_new_and_available() {
        let with = |observed: i64, replicas: i64, updated: i64, available: i64| {
            deployment(&json!({
                "metadata": { "generation": 2 },
                "spec": { "replicas": 2 },
                "status": { "observedGeneration": observed, "replicas": replicas, "updatedReplicas": updated, "availableReplicas": available },
            }))
        };
        assert_eq!(with(2, 2, 2, 2), Verdict::Yes);
        assert!(not_yet(&with(1, 2, 2, 2)));
        assert!(not_yet(&with(2, 3, 2, 2)));
        assert!(not_yet(&with(2, 2, 1, 2)));
        assert!(not_yet(&with(2, 2, 2, 1)));
    }

    #[test]
    fn a_deployment_past_its_deadline_will_never_be_ready() {
        let object = json!({ "spec": { "replicas": 1 }, "status": { "conditions": [
            { "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out" },
        ] } });
        assert_eq!(deployment(&object), Verdict::Never("timed out".to_owned()));
    }

    #[test]
    fn a_job_ends_well_or_badly_by_its_conditions() {
        let with = |kind: &str| {
            job(
                &json!({ "status": { "conditions": [{ "type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": "m" }] } }),
            )
        };
        assert_eq!(with("Complete"), Verdict::Yes);
        assert_eq!(with("Failed"), Verdict::Never("BackoffLimitExceeded: m".to_owned()));
        assert!(not_yet(&with("SuccessCriteriaMet")));
    }

    #[test]
    fn a_database_needs_its_condition_and_all_instances() {
        let with = |status: &str, ready: i64, phase: &str| {
            database(&json!({ "spec": { "instances": 2 }, "status": {
                "phase": phase, "readyInstances": ready, "conditions": [{ "type": "Ready", "status": status }],
            } }))
        };
        assert_eq!(with("True", 2, "Cluster in healthy state"), Verdict::Yes);
        assert!(not_yet(&with("False", 2, "Waiting for the instances to become active")));
        assert!(not_yet(&with("True", 1, "Creating a new replica")));
        assert!(matches!(with("False", 0, "Cluster is unrecoverable and needs manual intervention"), Verdict::Never(_)));
    }
}
