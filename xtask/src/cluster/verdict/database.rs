//! CloudNativePG's `Cluster`: the phases of its `api/v1`, the condition, and the instances.

use serde_json::Value;

use crate::cluster::verdict::{Verdict, is_true, number, text};

const HEALTHY: &str = "Cluster in healthy state";

/// Phases that the operator leaves only when somebody changes something.
const HOPELESS: [&str; 6] = [
    "Cluster is unrecoverable and needs manual intervention",
    "Cluster cannot proceed to reconciliation due to an unknown plugin being required",
    "Cluster has incomplete or invalid image catalog",
    "Cluster cannot execute instance online upgrade due to missing architecture binary",
    "Invalid cluster definition",
    "Waiting for user action",
];

/// Condition `Ready` there and true, all instances ready, and the operator at rest: in every other phase it is
/// about to change something.
pub fn database(object: &Value) -> Verdict {
    let phase = text(object, "/status/phase");
    let seen = match (phase, text(object, "/status/phaseReason")) {
        ("", _) => "the operator has not looked at it".to_owned(),
        (phase, "") => phase.to_owned(),
        (phase, reason) => format!("{phase}: {reason}"),
    };
    if HOPELESS.contains(&phase) {
        return Verdict::Never(seen);
    }
    let want = object.pointer("/spec/instances").and_then(Value::as_i64).unwrap_or(1);
    let (ready, there) = (number(object, "/status/readyInstances"), number(object, "/status/instances"));
    if !is_true(object, "Ready") || ready < want || phase != HEALTHY {
        return Verdict::NotYet(format!("{seen} ({ready} of {want} instances ready)"));
    }
    if there > want {
        return Verdict::NotYet(format!("{} instances too many are still there", there - want));
    }
    let (current, target) = (text(object, "/status/currentPrimary"), text(object, "/status/targetPrimary"));
    if current != target {
        return Verdict::NotYet(format!("{target} is to become the primary in place of {current}"));
    }
    Verdict::Yes
}
