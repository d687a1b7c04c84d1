//! Readiness as pure verdicts about objects, each with a reason; and which function judges which kind.
//!
//! An object without a status is "not yet", never ready.

mod database;
mod gateway;
mod managed;
mod network;
mod node;
mod other;
mod pod;
mod scaling;
mod workload;

use serde_json::Value;

use crate::cluster::kinds::is_built_in;
pub use crate::cluster::verdict::{
    database::{Held, database, held},
    node::node,
    pod::{controller, has_worked, is_left_behind, is_replaced, is_starting},
    workload::{deployment, job},
};

/// Whether an object is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Yes,
    /// Waiting may help.
    NotYet(String),
    /// Waiting will not help.
    Never(String),
}

impl Verdict {
    /// The reason why it is not done.
    pub fn why(&self) -> Option<&str> {
        match self {
            Verdict::Yes => None,
            Verdict::NotYet(why) | Verdict::Never(why) => Some(why),
        }
    }
}

/// The verdict from metadata alone: the object is not being deleted.
pub fn of_metadata(object: &Value) -> Verdict {
    if object.pointer("/metadata/deletionTimestamp").is_some_and(|it| !it.is_null()) {
        return Verdict::NotYet("it is being deleted".to_owned());
    }
    Verdict::Yes
}

/// The verdict about an object of any kind.
pub fn of(object: &Value) -> Verdict {
    if of_metadata(object) != Verdict::Yes {
        return of_metadata(object);
    }
    let group = text(object, "/apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    let kind = text(object, "/kind");
    if group == "postgresql.cnpg.io" && managed::KINDS.contains(&kind) {
        return managed::managed(object);
    }
    if is_behind(object) {
        return Verdict::NotYet("the controller has not seen its last change".to_owned());
    }
    match (group, kind) {
        ("apps", "Deployment") => deployment(object),
        ("apps", "StatefulSet") => workload::stateful_set(object),
        ("apps", "DaemonSet") => workload::daemon_set(object),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => workload::replica_set(object),
        ("batch", "Job") => job(object),
        ("batch", "CronJob") => workload::cron_job(object),
        ("autoscaling", "HorizontalPodAutoscaler") => scaling::autoscaler(object),
        ("policy", "PodDisruptionBudget") => scaling::disruption_budget(object),
        ("gateway.networking.k8s.io", _) => gateway::gateway(object, kind),
        ("apiregistration.k8s.io", "APIService") => other::api_service(object),
        ("", "Pod") => pod::pod(object),
        ("", "PersistentVolumeClaim") => other::volume_claim(object),
        ("", "PersistentVolume") => other::volume(object),
        ("", "ResourceQuota") => other::quota(object),
        ("", "Service") => network::service(object),
        ("networking.k8s.io", "Ingress") => network::ingress(object),
        ("", "Node") => node(object),
        ("", "Namespace") => other::namespace(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => other::definition(object),
        ("postgresql.cnpg.io", "Cluster") => database(object),
        _ if is_built_in(group) => Verdict::Yes,
        _ => other::other(object),
    }
}

/// Whether a deployment fails if an object of this kind is not done. An application serves although a scheduled run failed or an autoscaler
/// has no metrics; these are reported, but do not cause a return to the previous revision.
pub fn must_be_done(kind: &str) -> bool {
    !["CronJob", "HorizontalPodAutoscaler", "PodDisruptionBudget"].contains(&kind)
}

/// Whether the status is of an earlier generation; false for kinds without `observedGeneration`.
fn is_behind(object: &Value) -> bool {
    is_earlier(object.pointer("/status"), object)
}

/// Whether a status, or one of its conditions, is of an earlier generation.
fn is_earlier(part: Option<&Value>, object: &Value) -> bool {
    let observed = part.and_then(|it| it.get("observedGeneration")).and_then(Value::as_i64);
    observed.is_some_and(|it| it < number(object, "/metadata/generation"))
}

fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").iter().find(|it| text(it, "/type") == kind)
}

fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|it| text(it, "/status") == "True")
}

/// A condition's reason and message, as far as present.
fn words(condition: &Value) -> String {
    match (text(condition, "/reason"), text(condition, "/message")) {
        ("", message) => message.to_owned(),
        (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// An object, and the expected verdict.
    #[derive(Deserialize)]
    struct Case {
        name: String,
        verdict: String,
        #[serde(default)]
        says: String,
        object: Value,
    }

    #[test]
    fn every_object_of_the_collection_is_judged_as_it_should_be() {
        let cases: Vec<Case> = serde_saphyr::from_str(include_str!("../../../tests/fixtures/verdicts.yaml")).unwrap();
        assert!(cases.len() >= 130, "{} cases", cases.len());
        let mut wrong = Vec::new();
        for case in cases {
            let found = of(&case.object);
            let word = match found {
                Verdict::Yes => "yes",
                Verdict::NotYet(_) => "not yet",
                Verdict::Never(_) => "never",
            };
            if word != case.verdict || !found.why().unwrap_or_default().contains(&case.says) {
                wrong.push(format!("{}: {found:?}, expected {} {:?}", case.name, case.verdict, case.says));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
