//! Nodes: ready, without pressure, and schedulable.

use serde_json::Value;

use crate::cluster::verdict::{Verdict, condition, is_true, text, words};

/// A node that accepts pods.
pub fn node(object: &Value) -> Verdict {
    match condition(object, "Ready") {
        None => return Verdict::NotYet("the node has not reported its status yet".to_owned()),
        Some(ready) if text(ready, "/status") != "True" => return Verdict::NotYet(words(ready)),
        Some(_) => {}
    }
    for pressure in ["MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"] {
        if is_true(object, pressure) {
            return Verdict::NotYet(format!("{pressure}: {}", condition(object, pressure).map(words).unwrap_or_default()));
        }
    }
    if object.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true) {
        return Verdict::NotYet("it is cordoned: no pod may start on it".to_owned());
    }
    Verdict::Yes
}
