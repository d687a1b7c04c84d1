//! Volumes, namespaces, definitions, and every kind that has no file of its own.

use serde_json::Value;

use crate::cluster::verdict::{Verdict, condition, text, words};

/// Bound to a volume.
pub(super) fn volume_claim(object: &Value) -> Verdict {
    match text(object, "/status/phase") {
        "Bound" => Verdict::Yes,
        "Lost" => Verdict::Never("its volume is lost".to_owned()),
        "" => Verdict::NotYet("nobody has looked at it yet".to_owned()),
        phase => Verdict::NotYet(format!("it is {phase}, not Bound")),
    }
}

/// Open for objects.
pub(super) fn namespace(object: &Value) -> Verdict {
    match text(object, "/status/phase") {
        "Active" => Verdict::Yes,
        phase => Verdict::NotYet(format!("it is {phase:?}, not Active")),
    }
}

/// Served, under the names that it asks for.
pub(super) fn definition(object: &Value) -> Verdict {
    for kind in ["NamesAccepted", "Established"] {
        match condition(object, kind) {
            Some(it) if text(it, "/status") == "True" => {}
            Some(it) => return Verdict::NotYet(format!("not {kind}: {}", words(it))),
            None => return Verdict::NotYet("the API server has not looked at it yet".to_owned()),
        }
    }
    Verdict::Yes
}

/// Kinds of Kubernetes itself are done when they are there. A custom resource is done when its controller says so: one
/// that says nothing in a way that we understand is never taken for done.
pub(super) fn other(object: &Value, group: &str) -> Verdict {
    for kind in ["Ready", "Available"] {
        match condition(object, kind) {
            Some(it) if text(it, "/status") == "True" => return Verdict::Yes,
            Some(it) => return Verdict::NotYet(format!("not {kind}: {}", words(it))),
            None => {}
        }
    }
    if !group.contains('.') || group.ends_with(".k8s.io") {
        return Verdict::Yes;
    }
    match object.get("status") {
        Some(_) => Verdict::NotYet("its controller has not said that it is ready".to_owned()),
        None => Verdict::NotYet("no controller has looked at it yet".to_owned()),
    }
}
