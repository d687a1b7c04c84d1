//! Reasons why a pod cannot be created or started, and how long each may take to resolve by itself.
//!
//! Pure, except `Patience`, which stores times. The messages are those of Kubernetes 1.36, containerd 2.4 and runc 1.1 on real clusters.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::cluster::Verdict;

/// Waiting does not help: the pod, its namespace or the registry must change.
const NEVER: Duration = Duration::ZERO;
/// Related objects are applied within seconds, and the kubelet retries every few seconds.
const OBJECTS: Duration = Duration::from_secs(20);
/// The kubelet retries a pull after 10 s and 20 s; a short failure of DNS or registry is over by then.
const PULLS: Duration = Duration::from_secs(35);
/// An API server that starts knows its users within this time.
const STARTS: Duration = Duration::from_secs(8);
/// For a registry, or a webhook's pod, that is starting or busy.
const BUSY: Duration = Duration::from_secs(90);
/// Old pods, which have 30 s to end where their manifest says nothing, give back what they asked for.
const ROOM: Duration = Duration::from_secs(90);
/// The kind of obstacle that a new node removes.
const NO_ROOM: &str = "room";

/// A reason why a pod does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    pub why: String,
    /// How long it may last, from when it is first seen.
    pub fair: Duration,
    kind: &'static str,
}

impl Obstacle {
    /// Whether waiting cannot help.
    pub fn is_final(&self) -> bool {
        self.fair == NEVER
    }
}

fn has(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|it| text.contains(it))
}

/// The obstacle in the API server's rejection of a pod. `None` if the message is unknown.
pub fn refusal(message: &str) -> Option<Obstacle> {
    let of = |kind, fair| Some(Obstacle { why: format!("the API server rejects the pod: {message}"), fair, kind });
    let is_decided = [
        "violates podsecurity",
        "denied the request",
        "validatingadmissionpolicy",
        "per container is",
        "per pod is",
        "must specify",
        "is invalid",
        "no priorityclass",
        "securitycontextconstraint",
        "security context constraint",
        "because it is being terminated",
    ];
    // If a webhook cannot be called, the message is "Internal error occurred: failed calling webhook".
    if has(message, &["failed calling webhook"]) {
        return of("webhook", BUSY);
    }
    if has(message, &is_decided) {
        return of("refused", NEVER);
    }
    // These resolve when old pods end, or when a ServiceAccount is applied a moment later.
    if has(message, &["exceeded quota", "service account", "serviceaccount"]) {
        return of("quota", OBJECTS);
    }
    has(message, &["is forbidden"]).then_some(()).and_then(|()| of("forbidden", OBJECTS))
}

/// The obstacle in what an API server said at the door: it does not know the user, or one of the two does not trust the other.
pub fn at_the_door(message: &str) -> Option<Obstacle> {
    let words = ["unauthorized", "certificate", "corrupt message", "not that of an api server"];
    has(message, &words).then(|| Obstacle { why: message.to_owned(), fair: STARTS, kind: "door" })
}

/// The obstacle in a container's status.
pub fn of_container(status: &Value) -> Option<Obstacle> {
    let text = |at: &str| status.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let (reason, message) = (text("/state/waiting/reason"), text("/state/waiting/message"));
    let of = |kind, fair| {
        let why = if message.is_empty() { reason.to_owned() } else { format!("{reason}: {}", short(message)) };
        Some(Obstacle { why: if reason.contains("Image") { format!("{why} ({})", text("/image")) } else { why }, fair, kind })
    };
    match reason {
        "ErrImageNeverPull" | "InvalidImageName" | "ErrImageInspect" => of("image", NEVER),
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "SignatureValidationFailed" => of("image", pull(message)),
        "CreateContainerConfigError" if has(message, &["non-root", "runasnonroot", "run as root"]) => of("start", NEVER),
        "CreateContainerConfigError" => of("setting", OBJECTS),
        "CreateContainerError" => of("start", OBJECTS),
        "RunContainerError" if has(message, &["not found in $path", "no such file", "permission denied", "exec format"]) => {
            of("start", NEVER)
        }
        "RunContainerError" => of("start", OBJECTS),
        // Between two restarts the reason is CrashLoopBackOff, and the last state has the cause.
        "CrashLoopBackOff" if text("/lastState/terminated/reason") == "StartError" => {
            Some(Obstacle { why: format!("it cannot start: {}", short(text("/lastState/terminated/message"))), fair: NEVER, kind: "start" })
        }
        _ => None,
    }
}

/// The obstacle of a pod that no node has room for, or of its first container that has one.
pub fn of_pod(pod: &Value) -> Option<Obstacle> {
    let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if let Some(said) = without_room(pod) {
        return Some(Obstacle { why: format!("no node has room for pod {name}: {said}"), fair: ROOM, kind: NO_ROOM });
    }
    let statuses = |at: &str| pod.pointer(at).and_then(Value::as_array).into_iter().flatten();
    let mut all = statuses("/status/initContainerStatuses").chain(statuses("/status/containerStatuses"));
    all.find_map(|it| {
        let found = of_container(it)?;
        let container = it["name"].as_str().unwrap_or_default();
        Some(Obstacle { why: format!("container {container} of pod {name} does not start: {}", found.why), ..found })
    })
}

/// The scheduler's words for a pod that asks for more than any node has left: `0/1 nodes are available: 1 Insufficient cpu`.
fn without_room(pod: &Value) -> Option<&str> {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array)?;
    let refused = |it: &&Value| it["type"] == "PodScheduled" && it["status"] == "False" && it["reason"] == "Unschedulable";
    let message = conditions.iter().find(refused)?["message"].as_str()?;
    // What follows is about preemption and claims.
    let said = message.split(". ").next().unwrap_or(message).trim_end_matches('.');
    has(said, &["insufficient", "too many pods"]).then_some(said)
}

/// How long a pull with this message may be retried.
fn pull(message: &str) -> Duration {
    let absent = [
        "manifest unknown",
        "repository does not exist",
        "unauthorized",
        "authorization failed",
        "denied",
        "403 forbidden",
        "invalid reference",
    ];
    if has(message, &absent) || message.trim_end().ends_with(": not found") {
        return NEVER;
    }
    if has(
        message,
        &["timeout", "too many requests", "toomanyrequests", "429", "500 ", "502 ", "503 ", "504 ", "unexpected eof", "reset by peer"],
    ) {
        return BUSY;
    }
    PULLS
}

/// The message of containerd or runc, without the prefixes of the programs that forwarded it.
pub fn short(message: &str) -> &str {
    let from = ["unable to start container process: ", "failed to resolve reference ", "ErrImagePull: "];
    let at = from.iter().find_map(|it| Some((message.find(it)?, it.len())));
    at.map_or(message, |(at, length)| &message[at + length..]).trim()
}

/// The rejection in the newest event of an object whose pods could not be created.
pub fn of_events(events: &[Value], uid: &str) -> Option<Obstacle> {
    let text = |it: &Value, at: &str| it.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut found: Vec<&Value> = events
        .iter()
        .filter(|it| text(it, "/reason") == "FailedCreate" && text(it, "/involvedObject/uid") == uid && !uid.is_empty())
        .collect();
    found.sort_by_key(|it| (text(it, "/lastTimestamp"), text(it, "/eventTime")));
    refusal(&text(found.last()?, "/message"))
}

/// `no node has room for pod p`, without the scheduler's words, which may change.
fn before_colon(why: &str) -> &str {
    why.split(": ").next().unwrap_or(why)
}

/// Remembers when each kind of obstacle was first seen; of pods that no node has room for, when each was.
#[derive(Debug, Default)]
pub struct Patience {
    since: RefCell<BTreeMap<String, Instant>>,
    /// How long a pod may find no room; `None`: as long as the wait lasts.
    room: Option<Duration>,
}

impl Patience {
    /// For pods of a cluster whose nodes are all there is.
    pub fn with_fixed_nodes() -> Patience {
        Patience { room: Some(ROOM), ..Patience::default() }
    }

    /// `Never` if the obstacle has lasted longer than its limit; `otherwise` without an obstacle.
    pub fn judge(&self, obstacle: Option<Obstacle>, otherwise: Verdict) -> Verdict {
        let Some(obstacle) = obstacle else { return otherwise };
        let (key, fair) = match obstacle.kind {
            // The next pod begins to wait when this one has found its place.
            NO_ROOM => (before_colon(&obstacle.why).to_owned(), self.room),
            kind => (kind.to_owned(), Some(obstacle.fair)),
        };
        let waited = self.since.borrow_mut().entry(key).or_insert_with(Instant::now).elapsed();
        match fair {
            Some(fair) if waited >= fair => Verdict::Never(obstacle.why),
            Some(fair) => Verdict::NotYet(format!("{}; waiting for {} s more", obstacle.why, (fair - waited).as_secs())),
            None => Verdict::NotYet(obstacle.why),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fair(reason: &str, message: &str) -> Option<Duration> {
        of_container(&json!({ "name": "main", "image": "i:1", "state": { "waiting": { "reason": reason, "message": message } } }))
            .map(|it| it.fair)
    }

    #[test]
    fn a_pull_is_given_up_as_soon_as_no_further_try_can_help() {
        let at = |tail: &str| {
            fair("ErrImagePull", &format!("failed to pull and unpack image \"r/x:1\": failed to resolve reference \"r/x:1\": {tail}"))
        };
        assert_eq!(at("r/x:1: not found"), Some(NEVER));
        assert_eq!(at("pull access denied, repository does not exist or may require authorization"), Some(NEVER));
        assert_eq!(
            at("failed to do request: Head \"https://r/v2/x/manifests/1\": dial tcp: lookup r on 10.0.0.2:53: no such host"),
            Some(PULLS)
        );
        assert_eq!(
            at("failed to do request: Head \"https://r/v2/x/manifests/1\": dial tcp 127.0.0.1:1: connect: connection refused"),
            Some(PULLS)
        );
        assert_eq!(at("unexpected status from HEAD request to https://r/v2/x/manifests/1: 503 Service Unavailable"), Some(BUSY));
        assert_eq!(at("dial tcp 192.0.2.1:443: i/o timeout"), Some(BUSY));
        assert_eq!(fair("InvalidImageName", "couldn't parse image name"), Some(NEVER));
        assert_eq!(fair("ErrImageNeverPull", "Container image \"polls:1\" is not present with pull policy of Never"), Some(NEVER));
    }

    #[test]
    fn a_container_that_cannot_be_started_is_told_from_one_whose_settings_may_still_come() {
        let runc = |tail: &str| {
            format!(
                "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: {tail}"
            )
        };
        assert_eq!(fair("RunContainerError", &runc("exec: \"nosuchprogram\": executable file not found in $PATH")), Some(NEVER));
        assert_eq!(fair("RunContainerError", &runc("exec: \"/etc/passwd\": permission denied")), Some(NEVER));
        assert_eq!(
            fair("CreateContainerConfigError", "container's runAsUser breaks non-root policy (pod: \"p\", container: main)"),
            Some(NEVER)
        );
        assert_eq!(fair("CreateContainerConfigError", "secret \"gone\" not found"), Some(OBJECTS));
        assert_eq!(fair("CreateContainerConfigError", "couldn't find key a in ConfigMap free/kube-root-ca.crt"), Some(OBJECTS));
        assert_eq!(fair("ContainerCreating", ""), None);
        assert_eq!(short(&runc("exec: \"x\": permission denied")), "exec: \"x\": permission denied");
    }

    #[test]
    fn what_the_api_server_refuses_is_final_unless_others_may_give_way() {
        let fair = |message: &str| refusal(message).map(|it| it.fair);
        for message in [
            "pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false",
            "pods \"p\" is forbidden: maximum memory usage per Container is 16Mi, but limit is 1Gi",
            "admission webhook \"policy.example.com\" denied the request: no team label",
            "pods \"p\" is forbidden: failed quota: q: must specify limits.memory for: main",
            "Pod \"p\" is invalid: spec.containers[0].ports[0].containerPort: Invalid value: 0",
        ] {
            assert_eq!(fair(message), Some(NEVER), "{message}");
        }
        assert_eq!(fair("pods \"p\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"), Some(OBJECTS));
        assert_eq!(
            fair("pods \"p-\" is forbidden: error looking up service account free/nobody: serviceaccount \"nobody\" not found"),
            Some(OBJECTS)
        );
        let away = "Internal error occurred: failed calling webhook \"x\": failed to call webhook: Post \"https://x\": connection refused";
        assert_eq!(fair(away), Some(BUSY));
        assert_eq!(fair("etcdserver: request timed out"), None);
    }

    #[test]
    fn only_the_events_of_the_very_object_count() {
        let event = |uid: &str, at: &str, message: &str| json!({ "reason": "FailedCreate", "involvedObject": { "uid": uid }, "lastTimestamp": at, "message": message });
        let events = [
            event("a", "2026-01-01T00:00:02Z", "pods \"p\" is forbidden: exceeded quota: q"),
            event("a", "2026-01-01T00:00:01Z", "pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\""),
            event("b", "2026-01-01T00:00:03Z", "pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\""),
        ];
        assert!(of_events(&events, "a").unwrap().why.contains("exceeded quota"));
        assert_eq!(of_events(&events, "c"), None);
        assert_eq!(of_events(&events, ""), None);
    }

    #[test]
    fn a_pod_without_room_is_waited_for_longer_where_a_node_may_come() {
        let pod = |reason: &str, message: &str| {
            let condition = json!({ "type": "PodScheduled", "status": "False", "reason": reason, "message": message });
            of_pod(&json!({ "metadata": { "name": "p" }, "status": { "conditions": [condition] } }))
        };
        let full = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
        let found = pod("Unschedulable", full).unwrap();
        assert_eq!(found.why, "no node has room for pod p: 0/1 nodes are available: 1 Insufficient cpu");
        assert!(pod("Unschedulable", "0/2 nodes are available: 2 Too many pods.").is_some());
        // What is about to happen may be enough: a volume is made, a taint goes.
        assert_eq!(pod("Unschedulable", "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."), None);
        assert_eq!(pod("Unschedulable", "0/1 nodes are available: 1 node(s) had untolerated taint(s)."), None);
        assert_eq!(pod("SchedulingGated", full), None);
        let said = |patience: &Patience| match patience.judge(Some(found.clone()), Verdict::Yes) {
            Verdict::NotYet(why) => why,
            other => panic!("{other:?}"),
        };
        assert!(said(&Patience::with_fixed_nodes()).contains("Insufficient cpu; waiting for 8"));
        assert!(said(&Patience::default()).ends_with("Insufficient cpu"));
        let late = |patience: Patience| {
            patience.since.borrow_mut().insert("no node has room for pod p".to_owned(), Instant::now().checked_sub(ROOM).unwrap());
            // Another pod has only begun to wait.
            let other = Obstacle { why: "no node has room for pod q: 1 Insufficient cpu".to_owned(), ..found.clone() };
            assert!(matches!(patience.judge(Some(other), Verdict::Yes), Verdict::NotYet(_)));
            patience.judge(Some(found.clone()), Verdict::Yes)
        };
        assert_eq!(late(Patience::with_fixed_nodes()), Verdict::Never(found.why.clone()));
        assert!(matches!(late(Patience::default()), Verdict::NotYet(_)));
    }

    #[test]
    fn patience_ends_at_once_for_what_is_final() {
        let patience = Patience::default();
        let obstacle = |fair| Some(Obstacle { why: "x".to_owned(), fair, kind: "image" });
        assert_eq!(patience.judge(None, Verdict::Yes), Verdict::Yes);
        assert!(matches!(patience.judge(obstacle(BUSY), Verdict::Yes), Verdict::NotYet(_)));
        assert_eq!(patience.judge(obstacle(NEVER), Verdict::Yes), Verdict::Never("x".to_owned()));
    }
}
