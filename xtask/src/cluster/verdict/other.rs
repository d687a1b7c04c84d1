//! PVCs, PVs, namespaces, CRDs, and every kind without a file of its own.

use serde_json::Value;

use crate::cluster::verdict::{Verdict, condition, is_earlier, text, words};

/// A PVC: bound.
pub(super) fn volume_claim(object: &Value) -> Verdict {
    match text(object, "/status/phase") {
        "Bound" => Verdict::Yes,
        "Lost" => Verdict::Never("its volume is lost".to_owned()),
        "" => Verdict::NotYet("no controller has processed it yet".to_owned()),
        phase => Verdict::NotYet(format!("it is {phase}, not Bound")),
    }
}

/// A namespace: active.
pub(super) fn namespace(object: &Value) -> Verdict {
    match text(object, "/status/phase") {
        "Active" => Verdict::Yes,
        phase => Verdict::NotYet(format!("it is {phase:?}, not Active")),
    }
}

/// A CRD: served, under the names that it requests.
pub(super) fn definition(object: &Value) -> Verdict {
    for kind in ["NamesAccepted", "Established"] {
        match condition(object, kind) {
            Some(it) if text(it, "/status") == "True" => {}
            Some(it) => return Verdict::NotYet(format!("not {kind}: {}", words(it))),
            None => return Verdict::NotYet("the API server has not processed it yet".to_owned()),
        }
    }
    Verdict::Yes
}

/// A PV: available or bound.
pub(super) fn volume(object: &Value) -> Verdict {
    match text(object, "/status/phase") {
        "Available" | "Bound" => Verdict::Yes,
        "" => Verdict::NotYet("no controller has processed it yet".to_owned()),
        "Failed" => Verdict::Never(format!("it failed: {}", text(object, "/status/message"))),
        phase => Verdict::NotYet(format!("it is {phase}, neither Available nor Bound")),
    }
}

/// A ResourceQuota: its controller has counted the usage.
pub(super) fn quota(object: &Value) -> Verdict {
    if object.pointer("/spec/hard") == object.pointer("/status/hard") {
        return Verdict::Yes;
    }
    Verdict::NotYet("its limits are not in effect yet".to_owned())
}

/// An APIService: its server answers.
pub(super) fn api_service(object: &Value) -> Verdict {
    match condition(object, "Available") {
        Some(it) if text(it, "/status") == "True" => Verdict::Yes,
        Some(it) => Verdict::NotYet(format!("not Available: {}", words(it))),
        None => Verdict::NotYet("the API server has not processed it yet".to_owned()),
    }
}

/// Conditions that mean trouble if true. `Stalled` is kstatus' condition for an error that persists.
const BAD: [&str; 4] = ["Stalled", "Failed", "Degraded", "Reconciling"];
/// Conditions that must be true if present.
const GOOD: [&str; 8] = ["Ready", "Available", "Healthy", "Synced", "Programmed", "Accepted", "Established", "Succeeded"];

/// A custom resource is done when its controller reports it. Without a known condition it is never done. kstatus (sigs.k8s.io/cli-utils
/// v0.37.2, `pkg/kstatus/status`) knows Ready, Reconciling and Stalled, and treats an object without conditions as done.
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
            return Verdict::NotYet(format!("{kind} is of an earlier generation"));
        }
    }
    match object.get("status").filter(|it| it.as_object().is_none_or(|it| !it.is_empty())) {
        Some(_) if is_said => Verdict::Yes,
        Some(_) => Verdict::NotYet("its controller does not report it as ready".to_owned()),
        None => Verdict::NotYet("no controller has processed it yet".to_owned()),
    }
}
