//! Gateway API 1.6: GatewayClasses and Gateways that a controller has accepted, and routes that are attached to a Gateway.
//!
//! The CRDs set conditions with status Unknown and reason Pending by default, so a Gateway without a controller has conditions, too.

use serde_json::Value;

use crate::cluster::verdict::{Verdict, is_earlier, list, text, words};

pub(super) fn gateway(object: &Value, kind: &str) -> Verdict {
    match kind {
        "GatewayClass" => all(object, list(object, "/status/conditions"), &["Accepted"], "no controller of its name has accepted it"),
        "Gateway" | "ListenerSet" | "XListenerSet" => {
            let own = list(object, "/status/conditions");
            match all(object, own, &["Accepted", "Programmed"], "no controller of its class has processed it") {
                Verdict::Yes => {
                    list(object, "/status/listeners").iter().map(listener).find(|it| *it != Verdict::Yes).unwrap_or(Verdict::Yes)
                }
                other => other,
            }
        }
        "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute" | "UDPRoute" => route(object),
        "BackendTLSPolicy" => {
            let ancestors = list(object, "/status/ancestors");
            if ancestors.is_empty() {
                return Verdict::NotYet("no Gateway has processed it".to_owned());
            }
            let judged = ancestors.iter().map(|it| all(object, list(it, "/conditions"), &["Accepted"], "no Gateway has accepted it"));
            judged.into_iter().find(|it| *it != Verdict::Yes).unwrap_or(Verdict::Yes)
        }
        // A ReferenceGrant has no status.
        _ => Verdict::Yes,
    }
}

/// The negative conditions of a listener.
fn listener(object: &Value) -> Verdict {
    for condition in list(object, "/conditions") {
        let (kind, status) = (text(condition, "/type"), text(condition, "/status"));
        let is_bad = match kind {
            "Conflicted" => status == "True",
            "Accepted" | "Programmed" | "ResolvedRefs" => status != "True",
            _ => false,
        };
        if is_bad {
            let not = if kind == "Conflicted" { "" } else { "not " };
            return Verdict::NotYet(format!("listener {} is {not}{kind}: {}", text(object, "/name"), words(condition)));
        }
    }
    Verdict::Yes
}

/// Accepted by every parent, with all references resolved.
fn route(object: &Value) -> Verdict {
    let wanted = list(object, "/spec/parentRefs");
    if wanted.is_empty() {
        return Verdict::NotYet("it has no parentRefs, so no Gateway attaches it".to_owned());
    }
    for wanted in wanted {
        let same = |field: &str, default: &str, found: &Value| {
            let value = |of: &Value| {
                of.get(field).map_or_else(|| default.to_owned(), |it| it.as_str().map_or_else(|| it.to_string(), str::to_owned))
            };
            value(wanted) == value(&found["parentRef"])
        };
        let own = text(object, "/metadata/namespace");
        let is_of = |found: &&Value| {
            same("kind", "Gateway", found)
                && same("name", "", found)
                && same("namespace", own, found)
                && same("sectionName", "", found)
                && same("port", "", found)
        };
        let name = text(wanted, "/name");
        // Several controllers may report on one parent.
        let found: Vec<&Value> = list(object, "/status/parents").iter().filter(is_of).collect();
        if found.is_empty() {
            return Verdict::NotYet(format!("no controller has attached it to {name}"));
        }
        for parent in found {
            match all(object, list(parent, "/conditions"), &["Accepted", "ResolvedRefs"], "its controller has not reported on it yet") {
                Verdict::Yes => {}
                Verdict::NotYet(why) | Verdict::Never(why) => return Verdict::NotYet(format!("at {name}: {why}")),
            }
        }
    }
    Verdict::Yes
}

/// Every condition is true for the current generation; `absent` is the text for a missing condition.
fn all(object: &Value, conditions: &[Value], kinds: &[&str], absent: &str) -> Verdict {
    for kind in kinds {
        match conditions.iter().find(|it| text(it, "/type") == *kind) {
            None => return Verdict::NotYet(absent.to_owned()),
            Some(it) if text(it, "/status") != "True" => return Verdict::NotYet(format!("not {kind}: {}", words(it))),
            Some(it) if is_earlier(Some(it), object) => return Verdict::NotYet(format!("{kind} is of an earlier generation")),
            Some(_) => {}
        }
    }
    Verdict::Yes
}
