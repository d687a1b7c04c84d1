//! HorizontalPodAutoscaler and PodDisruptionBudget: whether their controllers can work.

use std::borrow::Cow;

use serde_json::Value;

use crate::cluster::verdict::{Verdict, list, text, words};

/// The annotation with the conditions of `autoscaling/v1`, as JSON.
const V1_CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

/// It can read its target's scale and has metrics. It is inactive if the target is scaled to zero, which is fine.
pub(super) fn autoscaler(object: &Value) -> Verdict {
    let packed = object.pointer("/metadata/annotations").and_then(|it| it.get(V1_CONDITIONS)).and_then(Value::as_str);
    let conditions: Cow<'_, [Value]> = match packed.and_then(|it| serde_json::from_str::<Vec<Value>>(it).ok()) {
        Some(it) => it.into(),
        None => list(object, "/status/conditions").into(),
    };
    for kind in ["AbleToScale", "ScalingActive"] {
        match conditions.iter().find(|it| text(it, "/type") == kind) {
            None => return Verdict::NotYet("the autoscaler's controller has not processed it yet".to_owned()),
            Some(it) if text(it, "/status") == "True" || text(it, "/reason") == "ScalingDisabled" => {}
            Some(it) => return Verdict::NotYet(format!("not {kind}: {}", words(it))),
        }
    }
    Verdict::Yes
}

/// Its controller has computed it. It may rightly allow no disruption now.
pub(super) fn disruption_budget(object: &Value) -> Verdict {
    if object.pointer("/status/observedGeneration").is_none() {
        return Verdict::NotYet("the controller has not counted its pods yet".to_owned());
    }
    match list(object, "/status/conditions").iter().find(|it| text(it, "/reason") == "SyncFailed") {
        Some(it) => Verdict::NotYet(words(it)),
        None => Verdict::Yes,
    }
}
