//! Volumes, namespaces, definitions, and every kind that has no file of its own.

use serde_json::Value;

use crate::cluster::verdict::{Verdict, condition, is_earlier, text, words};

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

/// A volume that can be, or is, some PVC's.
pub(super) fn volume(object: &Value) -> Verdict {
    match text(object, "/status/phase") {
        "Available" | "Bound" => Verdict::Yes,
        "" => Verdict::NotYet("nobody has looked at it yet".to_owned()),
        "Failed" => Verdict::Never(format!("it failed: {}", text(object, "/status/message"))),
        phase => Verdict::NotYet(format!("it is {phase}, neither Available nor Bound")),
    }
}

/// In force: the controller has counted what it limits.
pub(super) fn quota(object: &Value) -> Verdict {
    if object.pointer("/spec/hard") == object.pointer("/status/hard") {
        return Verdict::Yes;
    }
    Verdict::NotYet("its limits are not in force yet".to_owned())
}

/// Its server answers.
pub(super) fn api_service(object: &Value) -> Verdict {
    match condition(object, "Available") {
        Some(it) if text(it, "/status") == "True" => Verdict::Yes,
        Some(it) => Verdict::NotYet(format!("not Available: {}", words(it))),
        None => Verdict::NotYet("the API server has not looked at it yet".to_owned()),
    }
}

/// What is wrong with an object while it is true. `Stalled` is kstatus' word for what no waiting mends.
const BAD: [&str; 4] = ["Stalled", "Failed", "Degraded", "Reconciling"];
/// Any of these that is there has to be true.
const GOOD: [&str; 8] = ["Ready", "Available", "Healthy", "Synced", "Programmed", "Accepted", "Established", "Succeeded"];

/// A custom resource is done when its controller says so: one that says nothing in a way that we understand is never taken for done.
/// kstatus (sigs.k8s.io/cli-utils v0.37.2, `pkg/kstatus/status`) knows Ready, Reconciling and Stalled, and takes an object without
/// conditions for done.
pub(super) fn other(object: &Value) -> Verdict {
    for kind in BAD {
        let Some(it) = condition(object, kind).filter(|it| text(it, "/status") == "True") else { continue };
        let why = format!("{kind}: {}", words(it));
        return if kind == "Stalled" { Verdict::Never(why) } else { Verdict::NotYet(why) };
    }
    let mut is_said = false;
    for kind in GOOD {
        let Some(it) = condition(object, kind) else { continue };
        is_said = true;
        if text(it, "/status") != "True" {
            return Verdict::NotYet(format!("not {kind}: {}", words(it)));
        }
        if is_earlier(Some(it), object) {
            return Verdict::NotYet(format!("{kind} is said of an earlier generation"));
        }
    }
    match object.get("status").filter(|it| it.as_object().is_none_or(|it| !it.is_empty())) {
        Some(_) if is_said => Verdict::Yes,
        Some(_) => Verdict::NotYet("its controller has not said that it is ready".to_owned()),
        None => Verdict::NotYet("no controller has looked at it yet".to_owned()),
    }
}
