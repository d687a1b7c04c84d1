//! From collected evidence to a diagnosis: the failed containers, their owners, and the probable cause.
//!
//! Pure: objects, events and logs are arguments. `causes.rs` has the rules, `evidence.rs` collects the evidence.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    cluster::{
        causes::{self, Cause},
        log_lines, obstacle, verdict,
    },
    errors::Problem,
};

/// The evidence, collected before anything is deleted.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub namespace: String,
    /// The affected pods.
    pub pods: Vec<Value>,
    /// Possible owners of the pods: ReplicaSets and Jobs of the namespace.
    pub owners: Vec<Value>,
    /// The namespace's events of type Warning.
    pub events: Vec<Value>,
    pub nodes: Vec<Value>,
    /// The last log lines, by pod and container.
    pub logs: BTreeMap<(String, String), String>,
}

/// A failed container or pod, with everything that is known about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symptom {
    /// `Deployment web -> ReplicaSet web-1 -> Pod web-1-a -> container main`.
    pub chain: Vec<String>,
    pub namespace: String,
    pub pod: String,
    pub container: String,
    pub image: String,
    /// The container's state for messages.
    pub state: String,
    /// `CrashLoopBackOff`, `OOMKilled`, `Unschedulable`, `FailedCreate`.
    pub reasons: Vec<String>,
    /// The message of the kubelet, the scheduler or a controller.
    pub message: String,
    pub exit_code: Option<i64>,
    pub log: String,
    /// The start of the relevant part of its log, as RFC 3339 in UTC; empty for the whole log.
    pub since: String,
    /// Whether the container has a log of a previous run.
    pub has_run_before: bool,
    /// The number of other pods with the same symptom.
    pub others: usize,
}

/// The findings about a failure.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    pub cause: Option<Cause>,
    pub symptoms: Vec<Symptom>,
    /// The newest warnings, in order of time.
    pub events: Vec<String>,
}

impl Diagnosis {
    /// The problem with its probable cause first, then the evidence, then the original message.
    pub fn explain(&self, problem: Problem) -> Problem {
        let mut parts = vec![self.to_string(), problem.what.clone()];
        parts.retain(|it| !it.is_empty());
        let Some(cause) = &self.cause else {
            parts.reverse();
            return Problem { what: parts.join("\n"), ..problem };
        };
        parts.insert(0, format!("probable cause: {}", cause.text));
        let hint = [Some(cause.command.clone()), problem.hint.clone()].into_iter().flatten().collect::<Vec<_>>().join("\n");
        Problem { what: parts.join("\n"), hint: Some(hint), code: cause.code, ..problem }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        for it in &self.symptoms {
            let others = if it.others > 0 { format!(" (and {} more like it)", it.others) } else { String::new() };
            lines.push(format!("{}{others}: {}", it.chain.join(" -> "), it.state));
            lines.extend(log_lines::excerpt(&it.log).iter().map(|line| format!("  | {line}")));
        }
        lines.extend(self.events.iter().map(|it| format!("event: {it}")));
        f.write_str(&lines.join("\n"))
    }
}

/// Reads the evidence. The cause is the first rule that matches a symptom.
pub fn diagnose(evidence: &Evidence) -> Diagnosis {
    let mut symptoms: Vec<Symptom> = Vec::new();
    // The oldest pod failed first; later ones may fail because of it.
    let mut pods: Vec<&Value> = evidence.pods.iter().filter(|it| !is_replaced(evidence, it)).collect();
    pods.sort_by_key(|it| text(it, "/metadata/creationTimestamp"));
    let found = pods.into_iter().flat_map(|pod| of_pod(evidence, pod)).chain(without_pods(evidence));
    for new in found {
        // Several retries with the same failure are one finding.
        let same = |it: &&mut Symptom| {
            (&it.container, &it.reasons, it.exit_code) == (&new.container, &new.reasons, new.exit_code)
                && (new.log.is_empty() || new.log == it.log)
        };
        match symptoms.iter_mut().find(same) {
            Some(same) => same.others += 1,
            None => symptoms.push(new),
        }
    }
    let cause = causes::of(&symptoms);
    let mut events: Vec<&Value> = evidence.events.iter().collect();
    let time = |it: &Value| ["/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"].map(|at| text(it, at).to_owned());
    events.sort_by_key(|it| time(it).into_iter().find(|it| !it.is_empty()));
    let newest = events.split_off(events.len().saturating_sub(5));
    let events = newest.into_iter().map(|it| {
        let object = format!("{} {}", text(it, "/involvedObject/kind"), text(it, "/involvedObject/name"));
        format!("{object}: {}: {}", text(it, "/reason"), text(it, "/message"))
    });
    Diagnosis { cause, symptoms, events: events.collect() }
}

/// Whether a pod failed in the past, and another one is in its place. `evidence` has the owners of its namespace.
fn is_replaced(evidence: &Evidence, pod: &Value) -> bool {
    let name = verdict::controller(pod).map(|it| text(it, "/name"));
    verdict::is_replaced(pod, evidence.owners.iter().find(|it| Some(text(it, "/metadata/name")) == name))
}

fn of_pod(evidence: &Evidence, pod: &Value) -> Vec<Symptom> {
    let name = text(pod, "/metadata/name");
    let mut chain = chain(evidence, pod);
    chain.push(format!("Pod {name}"));
    let base = Symptom {
        chain,
        namespace: evidence.namespace.clone(),
        pod: name.to_owned(),
        message: said_of(evidence, "Pod", name),
        ..Symptom::default()
    };
    let reason = text(pod, "/status/reason");
    if !reason.is_empty() {
        let message = text(pod, "/status/message");
        let pressure = pressure(evidence).unwrap_or_default();
        let state = format!("{reason}: {message}");
        return vec![Symptom {
            state,
            reasons: vec![reason.to_owned(), pressure],
            message: format!("{message}\n{}", base.message),
            ..base
        }];
    }
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let scheduled = conditions.into_iter().find(|it| it["type"] == "PodScheduled" && it["status"] == "False");
    if let Some(condition) = scheduled {
        let message = text(condition, "/message").to_owned();
        return vec![Symptom { state: format!("waits for a node: {message}"), reasons: vec!["Unschedulable".to_owned()], message, ..base }];
    }
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let statuses = statuses.iter().filter_map(|it| pod.pointer(it)?.as_array()).flatten();
    statuses.filter_map(|it| of_container(evidence, &base, it).map(|found| Symptom { since: outage(pod, &found), ..found })).collect()
}

/// When the current outage of a running container began. The kubelet marks a pod as not ready only after several failed probes, and log
/// lines of this time belong to the outage.
fn outage(pod: &Value, symptom: &Symptom) -> String {
    if symptom.exit_code.is_some() || !symptom.reasons.is_empty() {
        return String::new();
    }
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let unready = conditions.into_iter().find(|it| it["type"] == "Ready" && it["status"] == "False");
    let Some(began) = unready.and_then(|it| text(it, "/lastTransitionTime").parse::<Timestamp>().ok()) else { return String::new() };
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let probe = containers.into_iter().find(|it| it["name"] == symptom.container.as_str()).map(|it| &it["readinessProbe"]);
    let number = |name: &str, otherwise: i64| probe.and_then(|it| it[name].as_i64()).unwrap_or(otherwise);
    // Kubernetes' defaults, and a few seconds, since the kubelet updates the status late on a busy node.
    let seconds = number("periodSeconds", 10) * number("failureThreshold", 3) + number("timeoutSeconds", 1) + 5;
    began.checked_sub(SignedDuration::from_secs(seconds)).map_or_else(|_| String::new(), |it| it.to_string())
}

fn of_container(evidence: &Evidence, base: &Symptom, status: &Value) -> Option<Symptom> {
    let name = text(status, "/name");
    let restarts = status["restartCount"].as_i64().unwrap_or_default();
    let waiting = status.pointer("/state/waiting");
    // The last state of a container that waits for its restart describes its end.
    let before = status.pointer("/lastState/terminated");
    // Exit code 0 is a failure too, if the container is restarted again and again.
    let is_again = waiting.is_some_and(|it| it["reason"] == "CrashLoopBackOff");
    let ended = status.pointer("/state/terminated").or(before).filter(|it| it["exitCode"] != 0 || is_again);
    let ready = status["ready"] == true;
    let running = status.pointer("/state/running").is_some();
    if ready || (waiting.is_none() && !running && ended.is_none()) {
        return None;
    }
    // A pod that has just been created is not a finding by itself.
    let mut words = Vec::new();
    let mut reasons = Vec::new();
    let mut message = String::new();
    if let Some(waiting) = waiting {
        let reason = waiting["reason"].as_str().unwrap_or("waiting");
        words.push(reason.to_owned());
        reasons.push(reason.to_owned());
        message = text(waiting, "/message").to_owned();
        if !message.is_empty() && reason != "CrashLoopBackOff" {
            words.push(obstacle::short(&message).to_owned());
        }
    }
    if let Some(ended) = ended {
        let reason = text(ended, "/reason");
        words.push(format!("ended with exit code {} ({reason})", ended["exitCode"]));
        // The reason why it never started.
        let said = text(ended, "/message");
        if reason == "StartError" && !message.contains(said) {
            words.push(obstacle::short(said).to_owned());
            message = format!("{message}\n{said}");
        }
        reasons.push(reason.to_owned());
    }
    if running {
        words.push("runs but is not ready".to_owned());
    }
    if restarts > 0 {
        words.push(format!("{restarts} restarts"));
    }
    let mut chain = base.chain.clone();
    chain.push(format!("container {name}"));
    Some(Symptom {
        chain,
        container: name.to_owned(),
        image: text(status, "/image").to_owned(),
        state: words.join(", "),
        reasons,
        message: format!("{message}\n{}", base.message),
        has_run_before: before.is_some(),
        exit_code: ended.and_then(|it| it["exitCode"].as_i64()),
        log: evidence.logs.get(&(base.pod.clone(), name.to_owned())).cloned().unwrap_or_default(),
        ..base.clone()
    })
}

/// Owners whose pods were rejected, so that no pod exists to inspect.
fn without_pods(evidence: &Evidence) -> Vec<Symptom> {
    let refused = evidence.events.iter().filter(|it| text(it, "/reason") == "FailedCreate");
    let mut out: Vec<Symptom> = Vec::new();
    for event in refused {
        let (kind, name) = (text(event, "/involvedObject/kind"), text(event, "/involvedObject/name"));
        let Some(owner) = evidence.owners.iter().find(|it| text(it, "/kind") == kind && text(it, "/metadata/name") == name) else {
            continue;
        };
        // An owner that wants no pods, for example an old ReplicaSet, was rejected in an earlier run.
        if owner.pointer("/spec/replicas").and_then(Value::as_i64) == Some(0) {
            continue;
        }
        if out.iter().any(|it| it.pod == name) || evidence.pods.iter().any(|pod| owner_of(pod).is_some_and(|it| it.1 == name)) {
            continue;
        }
        let mut chain = chain(evidence, owner);
        chain.push(format!("{kind} {name}"));
        let message = text(event, "/message").to_owned();
        out.push(Symptom {
            chain,
            namespace: evidence.namespace.clone(),
            pod: name.to_owned(),
            state: format!("its pods are rejected: {message}"),
            reasons: vec!["FailedCreate".to_owned()],
            message,
            ..Symptom::default()
        });
    }
    out
}

/// The controllers above an object, topmost first. A controller that was not collected is known by its name in the owner reference only.
fn chain(evidence: &Evidence, object: &Value) -> Vec<String> {
    let mut out = Vec::new();
    let mut next = owner_of(object);
    while let Some((kind, name)) = next {
        out.insert(0, format!("{kind} {name}"));
        let owner = evidence.owners.iter().find(|it| text(it, "/kind") == kind && text(it, "/metadata/name") == name);
        next = owner.and_then(owner_of).filter(|_| out.len() < 5);
    }
    out
}

fn owner_of(object: &Value) -> Option<(&str, &str)> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|it| it["controller"] == true)?;
    Some((text(owner, "/kind"), text(owner, "/name")))
}

/// The messages of all events about an object, one on each line.
fn said_of(evidence: &Evidence, kind: &str, name: &str) -> String {
    let of = |it: &&Value| text(it, "/involvedObject/kind") == kind && text(it, "/involvedObject/name") == name;
    let lines = evidence.events.iter().filter(of).map(|it| format!("{}: {}", text(it, "/reason"), text(it, "/message")));
    lines.collect::<Vec<_>>().join("\n")
}

/// The condition `DiskPressure`, `MemoryPressure` or `PIDPressure` of any node.
fn pressure(evidence: &Evidence) -> Option<String> {
    let conditions = evidence.nodes.iter().filter_map(|it| it.pointer("/status/conditions")?.as_array()).flatten();
    let mut pressed = conditions.filter(|it| text(it, "/type").ends_with("Pressure") && it["status"] == "True");
    pressed.next().map(|it| text(it, "/type").to_owned())
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
