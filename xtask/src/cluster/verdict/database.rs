//! CloudNativePG's `Cluster`: hibernation and fencing by annotations, the phases in `api/v1`, the condition `Ready`, and the instances.

use serde_json::Value;

use crate::cluster::verdict::{Verdict, is_true, list, number, text};

const HEALTHY: &str = "Cluster in healthy state";

/// Phases that need a change by a person.
const HOPELESS: [&str; 6] = [
    "Cluster is unrecoverable and needs manual intervention",
    "Cluster cannot proceed to reconciliation due to an unknown plugin being required",
    "Cluster has incomplete or invalid image catalog",
    "Cluster cannot execute instance online upgrade due to missing architecture binary",
    "Invalid cluster definition",
    "Waiting for user action",
];

/// Hibernation or fencing: the `Cluster` stays in this state as long as it has the annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// `hibernated`, `fenced: polls-db-1`.
    pub state: String,
    /// The command that removes the annotation.
    pub command: String,
}

/// Whether the `Cluster` is hibernated, or instances are fenced. The annotations decide, since the condition `Ready` and the phase do not
/// change (seen with CloudNativePG 1.30.0), and the condition `cnpg.io/hibernation` changes late.
pub fn held(object: &Value) -> Option<Held> {
    let annotation = |name: &str| object.pointer("/metadata/annotations")?.get(name)?.as_str();
    let (name, namespace) = (text(object, "/metadata/name"), text(object, "/metadata/namespace"));
    let held = |state: String, annotation: &str| Held {
        state,
        command: format!("cargo xtask kubectl annotate clusters.postgresql.cnpg.io {name} -n {namespace} {annotation}-"),
    };
    // Only the value "on" means hibernation (`pkg/reconciler/hibernation`).
    if annotation(HIBERNATION) == Some("on") {
        return Some(held("hibernated".to_owned(), HIBERNATION));
    }
    let fenced = annotation(FENCED)?;
    let Ok(fenced) = serde_json::from_str::<Vec<String>>(fenced) else {
        return Some(held(format!("annotation {FENCED} is not a JSON list of instances: {fenced}"), FENCED));
    };
    let there: Vec<&str> = list(object, "/status/instanceNames").iter().filter_map(Value::as_str).collect();
    if fenced.iter().any(|it| it == "*") {
        return Some(held("fenced: all instances".to_owned(), FENCED));
    }
    // A name that is no instance fences nothing.
    let fenced: Vec<&str> = fenced.iter().map(String::as_str).filter(|it| there.contains(it)).collect();
    (!fenced.is_empty()).then(|| held(format!("fenced: {}", fenced.join(", ")), FENCED))
}

const HIBERNATION: &str = "cnpg.io/hibernation";
const FENCED: &str = "cnpg.io/fencedInstances";

/// Ready: condition `Ready` is true, all instances are ready, and the operator is idle. In every other phase it is about to change
/// something.
pub fn database(object: &Value) -> Verdict {
    if let Some(held) = held(object) {
        return Verdict::Never(held.state);
    }
    let phase = text(object, "/status/phase");
    let seen = match (phase, text(object, "/status/phaseReason")) {
        ("", _) => "the operator has not processed it".to_owned(),
        (phase, "") => phase.to_owned(),
        (phase, reason) => format!("{phase}: {reason}"),
    };
    if HOPELESS.contains(&phase) {
        return Verdict::Never(seen);
    }
    let want = object.pointer("/spec/instances").and_then(Value::as_i64).unwrap_or(1);
    let (ready, there) = (number(object, "/status/readyInstances"), number(object, "/status/instances"));
    // During a switchover, the phase and the condition `Ready` may not change.
    let (current, target) = (text(object, "/status/currentPrimary"), text(object, "/status/targetPrimary"));
    if phase == HEALTHY && current != target {
        return Verdict::NotYet(format!("{target} is to become the primary in place of {current} ({ready} of {want} instances ready)"));
    }
    // The phase may be "healthy" although instances are missing.
    if phase == HEALTHY && is_true(object, "Ready") && ready < want {
        return Verdict::NotYet(format!("{ready} of {want} instances ready"));
    }
    if !is_true(object, "Ready") || ready < want || phase != HEALTHY {
        return Verdict::NotYet(format!("{seen} ({ready} of {want} instances ready)"));
    }
    if there > want {
        return Verdict::NotYet(format!("{} surplus instances still exist", there - want));
    }
    Verdict::Yes
}
