//! A Kubernetes API server in memory: objects, server-side apply with dry run, lists, deletion, logs, exec, and failures by name.
//!
//! ```ignore
//! let server = Kubernetes::start();
//! fs::write(env.kubeconfig(), server.kubeconfig())?;             // the tool connects with it
//! server.fail("deployments/polls-frontend", 1, Failure::Webhook);  // the next request for it is rejected
//! server.stall("Job");                                           // controllers ignore objects of this kind
//! server.edit("Deployment", "polls", "polls-frontend", |it| it["spec"]["replicas"] = json!(5)); // a change by another client
//! assert_eq!(server.writes(), ["apply Namespace polls", …]);      // in order
//! ```
//!
//! As a real server it rejects an object in a namespace that does not exist, and a kind without a CRD. Deployments, Jobs and CloudNativePG's
//! Clusters become ready at once, with pods. The path `/` and forwarded ports of pods answer 200, as the application's page does.

mod controllers;
mod objects;
mod streams;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};

use crate::http::{self, Answer, Health, Request};

/// Failures.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// 409: another client changed the object in between.
    Conflict,
    /// 500 of the server itself.
    Internal,
    /// 403: missing permission.
    Forbidden,
    /// An admission webhook rejects the object.
    Webhook,
    /// An admission webhook cannot be called.
    WebhookAway,
    /// 422: a node port that is taken.
    PortTaken,
    /// The connection is closed without a response.
    Reset,
    /// The response is late.
    Slow(Duration),
}

/// The output of a command in a pod, and its exit code.
type Exec = dyn Fn(&str, &[String]) -> (String, i32) + Send + Sync;

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Value>,
    /// The last applied configuration of each field manager, by object.
    applied: BTreeMap<(Key, String), Value>,
    version: u64,
    requests: Vec<String>,
    failures: Vec<(String, usize, Failure)>,
    stalled: Vec<String>,
    logs: BTreeMap<(String, String), String>,
    exec: Option<Arc<Exec>>,
    page: u16,
}

/// `apiVersion`, plural, namespace, name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    api_version: String,
    plural: String,
    namespace: String,
    name: String,
}

#[derive(Clone)]
pub(crate) struct Kubernetes {
    state: Arc<Mutex<State>>,
    pub(crate) port: u16,
    pub(crate) health: Health,
}

impl Kubernetes {
    /// An empty cluster with its four namespaces, a node and a default storage class.
    pub(crate) fn start() -> Kubernetes {
        let state = Arc::new(Mutex::new(State { page: 200, ..State::default() }));
        let served = state.clone();
        let health = Health::default();
        let port = http::serve_tcp(&health, move |request| answer(&served, request));
        let server = Kubernetes { state, port, health };
        server.clear();
        server
    }

    /// A kubeconfig for it.
    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": { "server": format!("http://127.0.0.1:{}", self.port) } }],
            "users": [{ "name": "u", "user": {} }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
        })
        .to_string()
    }

    /// The next `times` requests whose method and path (`PATCH /api/v1/…`) contain `part` fail in this way.
    pub(crate) fn fail(&self, part: &str, times: usize, failure: Failure) {
        self.lock().failures.push((part.to_owned(), times, failure));
    }

    /// From now on controllers ignore objects of this kind.
    pub(crate) fn stall(&self, kind: &str) {
        self.lock().stalled.push(kind.to_owned());
    }

    /// The function answers commands in pods; its arguments are the pod's name and the command.
    pub(crate) fn answer_exec(&self, exec: impl Fn(&str, &[String]) -> (String, i32) + Send + Sync + 'static) {
        self.lock().exec = Some(Arc::new(exec));
    }

    /// Sets the HTTP status of the application's page.
    pub(crate) fn page(&self, status: u16) {
        self.lock().page = status;
    }

    /// Sets the log of a container.
    pub(crate) fn log(&self, pod: &str, container: &str, text: &str) {
        self.lock().logs.insert((pod.to_owned(), container.to_owned()), text.to_owned());
    }

    /// The current object; `None` if it does not exist.
    pub(crate) fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let state = self.lock();
        state.objects.values().find(|it| is(it, kind, namespace, name)).cloned()
    }

    /// Every object as it was last applied, in the order of kinds, namespaces and names.
    pub(crate) fn applied(&self) -> Vec<Value> {
        self.lock().applied.values().cloned().collect()
    }

    /// Creates an object as another client; controllers process it.
    pub(crate) fn put(&self, object: Value) {
        let mut state = self.lock();
        let key = key_of(&object);
        state.store(&key, object);
    }

    /// Changes an existing object as another client.
    pub(crate) fn edit(&self, kind: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.lock();
        let found = state.objects.iter().find(|(_, it)| is(it, kind, namespace, name)).map(|(key, it)| (key.clone(), it.clone()));
        let (key, mut object) = found.unwrap_or_else(|| panic!("there is no {kind} {name}"));
        change(&mut object);
        state.store(&key, object);
    }

    /// Deletes an object as another client.
    pub(crate) fn remove(&self, kind: &str, namespace: &str, name: &str) {
        self.lock().objects.retain(|_, it| !is(it, kind, namespace, name));
    }

    /// All requests as text: `get deployments/x`, `apply Deployment x`, `dry-run Deployment x`, `exec pods/x: psql …`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }

    /// The requests that change the cluster.
    pub(crate) fn writes(&self) -> Vec<String> {
        let is_write = |it: &String| ["apply", "patch", "create", "replace", "delete"].iter().any(|verb| it.starts_with(verb));
        self.requests().into_iter().filter(is_write).collect()
    }

    /// Forgets earlier requests.
    pub(crate) fn forget(&self) {
        self.lock().requests.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn is(object: &Value, kind: &str, namespace: &str, name: &str) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    text("/kind") == kind && text("/metadata/namespace") == namespace && text("/metadata/name") == name
}

fn key_of(object: &Value) -> Key {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = text("/kind").to_lowercase();
    let plural = if kind.ends_with('s') {
        format!("{kind}es")
    } else if let Some(stem) = kind.strip_suffix('y') {
        format!("{stem}ies")
    } else {
        format!("{kind}s")
    };
    Key { api_version: text("/apiVersion"), plural, namespace: text("/metadata/namespace"), name: text("/metadata/name") }
}

/// Object and subresource of a path; the name is empty for a list.
fn parse(path: &str) -> Option<(Key, String)> {
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (api_version, rest) = match words.as_slice() {
        ["api", version, rest @ ..] => ((*version).to_owned(), rest),
        ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        _ => ("", rest),
    };
    let (plural, name, sub) = match rest {
        [plural] => (*plural, "", ""),
        [plural, name] => (*plural, *name, ""),
        [plural, name, sub, ..] => (*plural, *name, *sub),
        [] => return None,
    };
    let key = Key { api_version, plural: plural.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
    Some((key, sub.to_owned()))
}

fn answer(state: &Mutex<State>, request: &Request) -> Answer {
    if request.path == "/readyz" {
        return Answer::text("ok");
    }
    let Some((key, sub)) = parse(&request.path) else {
        if matches!(request.path.as_str(), "/api" | "/apis") {
            return state.lock().unwrap().discovery(request.path == "/apis");
        }
        let status = state.lock().unwrap().page;
        return if request.path == "/" { Answer::Whole { status, kind: "text/html", body: b"page".to_vec() } } else { unknown() };
    };
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let failure = {
        let mut state = state.lock().unwrap();
        state.requests.push(describe(request, &key, &sub, &body));
        state.failure(&format!("{} {}", request.method, request.path))
    };
    match failure {
        Some(Failure::Reset) => return Answer::Reset,
        Some(Failure::Slow(time)) => std::thread::sleep(time),
        Some(failure) => return refuse(&failure, &key),
        None => {}
    }
    let mut state = state.lock().unwrap();
    match (request.method.as_str(), sub.as_str()) {
        ("GET", "log") => log(&state, request, &key),
        (_, "exec") => streams::exec(state.exec.clone(), request, &key),
        (_, "portforward") => streams::forward(state.page, request),
        ("GET", _) if key.name.is_empty() => state.list(&key, request),
        ("GET", _) => state.objects.get(&key).map_or_else(|| absent(&key), |it| Answer::json(200, it)),
        ("DELETE", _) => state.delete(&key),
        ("PATCH" | "POST" | "PUT", _) => state.write(request, &key, body),
        _ => unknown(),
    }
}

/// For `Kubernetes::requests`.
fn describe(request: &Request, key: &Key, sub: &str, body: &Value) -> String {
    let place = if key.name.is_empty() { key.plural.clone() } else { format!("{}/{}", key.plural, key.name) };
    let command = || request.query.iter().filter(|(name, _)| name == "command").map(|(_, it)| it.as_str()).collect::<Vec<_>>().join(" ");
    let object = format!(
        "{} {}",
        body["kind"].as_str().unwrap_or_default(),
        body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
    );
    match (request.method.as_str(), sub) {
        (_, "exec") => format!("exec {place}: {}", command()),
        (_, "portforward") => format!("forward {place}"),
        ("GET", "log") => format!("log {place}"),
        ("GET", _) if key.name.is_empty() => format!("list {place}"),
        ("GET", _) => format!("get {place}"),
        ("DELETE", _) => format!("delete {place}"),
        ("PATCH" | "POST" | "PUT", _) if request.query("dryRun").is_some() => format!("dry-run {object}"),
        ("PATCH", _) if objects::is_apply(request) => format!("apply {object}"),
        ("PATCH", _) => format!("patch {place}"),
        ("POST", _) => format!("create {object}"),
        ("PUT", _) => format!("replace {object}"),
        (other, _) => format!("{other} {place}"),
    }
}

impl State {
    fn failure(&mut self, asked: &str) -> Option<Failure> {
        let found = self.failures.iter_mut().find(|(part, times, _)| *times > 0 && asked.contains(part.as_str()))?;
        found.1 -= 1;
        Some(found.2.clone())
    }

    fn list(&self, key: &Key, request: &Request) -> Answer {
        let is_listed = |(it, object): &(&Key, &Value)| {
            it.api_version == key.api_version
                && it.plural == key.plural
                && (key.namespace.is_empty() || it.namespace == key.namespace)
                && selected(object, request.query("labelSelector").unwrap_or_default())
        };
        let items: Vec<&Value> = self.objects.iter().filter(is_listed).map(|(_, object)| object).collect();
        Answer::json(
            200,
            &json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": self.version.to_string() }, "items": items }),
        )
    }

    /// The kinds of existing objects in aggregated discovery: those of the core group, or all others.
    fn discovery(&self, named: bool) -> Answer {
        let mut groups: BTreeMap<(String, String), BTreeMap<String, Value>> = BTreeMap::new();
        for (key, object) in &self.objects {
            let (group, version) = key.api_version.split_once('/').unwrap_or(("", &key.api_version));
            if group.is_empty() != named {
                let scope = if key.namespace.is_empty() { "Cluster" } else { "Namespaced" };
                let resource = json!({
                    "resource": key.plural, "singularResource": "", "scope": scope, "verbs": ["get", "list", "delete", "patch"],
                    "responseKind": { "group": group, "version": version, "kind": object["kind"] },
                });
                groups.entry((group.to_owned(), version.to_owned())).or_default().insert(key.plural.clone(), resource);
            }
        }
        let item = |((group, version), resources): (&(String, String), &BTreeMap<String, Value>)| {
            let resources: Vec<&Value> = resources.values().collect();
            json!({ "metadata": { "name": group }, "versions": [{ "version": version, "resources": resources, "freshness": "Current" }] })
        };
        let items: Vec<Value> = groups.iter().map(item).collect();
        Answer::json(
            200,
            &json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items }),
        )
    }

    fn delete(&mut self, key: &Key) -> Answer {
        let Some(object) = self.objects.remove(key) else { return absent(key) };
        self.applied.retain(|(it, _), _| it != key);
        if key.plural == "namespaces" {
            self.objects.retain(|it, _| it.namespace != key.name);
        }
        // Pods are deleted with their owner.
        self.objects.retain(|it, pod| it.plural != "pods" || pod["metadata"]["ownerReferences"][0]["name"] != object["metadata"]["name"]);
        Answer::json(200, &object)
    }
}

/// Whether an object's labels match a selector: `a=b,c!=d,e`.
fn selected(object: &Value, selector: &str) -> bool {
    selector.split(',').filter(|it| !it.is_empty()).all(|it| {
        if let Some((name, value)) = it.split_once("!=") {
            return object["metadata"]["labels"].get(name).is_none_or(|it| it != value);
        }
        let (name, value) = it.split_once('=').map_or((it, None), |(name, value)| (name, Some(value.trim_start_matches('='))));
        let label = object["metadata"]["labels"].get(name).and_then(Value::as_str);
        label.is_some_and(|label| value.is_none_or(|it| it == label))
    })
}

fn status(code: u16, reason: &str, message: &str) -> Answer {
    let value = json!({ "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message });
    Answer::json(code, &value)
}

fn absent(key: &Key) -> Answer {
    status(404, "NotFound", &format!("{} \"{}\" not found", key.plural, key.name))
}

/// A kind without a CRD.
fn unknown() -> Answer {
    Answer::Whole { status: 404, kind: "text/plain", body: b"404 page not found\n".to_vec() }
}

fn refuse(failure: &Failure, key: &Key) -> Answer {
    let place = format!("{} \"{}\"", key.plural, key.name);
    match failure {
        Failure::Conflict => status(409, "Conflict", &format!("Operation cannot be fulfilled on {place}: the object has been modified")),
        Failure::Internal => status(500, "InternalError", "Internal error occurred: etcdserver: request timed out"),
        Failure::Forbidden => status(403, "Forbidden", &format!("{place} is forbidden: User \"u\" cannot patch it")),
        Failure::Webhook => status(403, "Forbidden", "admission webhook \"guard.example.com\" denied the request: not on a Friday"),
        Failure::WebhookAway => {
            status(500, "InternalError", "Internal error occurred: failed calling webhook \"guard.example.com\": connection refused")
        }
        Failure::PortTaken => {
            let what = "is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated";
            status(422, "Invalid", &format!("Service \"{}\" {what}", key.name))
        }
        // Answered before the request is recorded.
        Failure::Reset | Failure::Slow(_) => unknown(),
    }
}

fn log(state: &State, request: &Request, key: &Key) -> Answer {
    let wanted = request.query("container").unwrap_or_default();
    let found = state.logs.iter().find(|((pod, container), _)| *pod == key.name && (wanted.is_empty() || container == wanted));
    let text = found.map(|(_, text)| text.as_str()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = request.query("tailLines").and_then(|it| it.parse().ok()).unwrap_or(usize::MAX);
    let previous = request.query("previous") == Some("true");
    let shown = if previous { "" } else { &lines[lines.len().saturating_sub(tail)..].join("\n") };
    Answer::text(shown)
}
