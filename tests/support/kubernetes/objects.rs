//! Writing objects: server-side apply, patches, and fields that the server adds.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Key, Kubernetes, State, absent, status, unknown};
use crate::http::{Answer, Request};

pub(super) fn is_apply(request: &Request) -> bool {
    request.header("content-type") == "application/apply-patch+yaml"
}

impl State {
    pub(super) fn write(&mut self, request: &Request, key: &Key, body: Value) -> Answer {
        let mut key = key.clone();
        if key.name.is_empty() {
            key.name = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        }
        if let Some(refused) = self.refuses(&key) {
            return refused;
        }
        let present = self.objects.get(&key).cloned();
        let manager = request.query("fieldManager").unwrap_or("unknown").to_owned();
        let made = match (request.method.as_str(), request.header("content-type")) {
            ("POST", _) if present.is_some() => {
                return status(409, "AlreadyExists", &format!("{} \"{}\" already exists", key.plural, key.name));
            }
            ("POST" | "PUT", _) => body.clone(),
            _ if is_apply(request) => {
                let last = self.applied.get(&(key.clone(), manager.clone())).cloned().unwrap_or_default();
                let mut object = present.clone().unwrap_or_else(|| json!({}));
                withdraw(&mut object, &last, &body);
                merge(&mut object, &body, false);
                object
            }
            (_, "application/merge-patch+json" | "application/strategic-merge-patch+json") => {
                let Some(mut object) = present.clone() else { return absent(&key) };
                merge(&mut object, &body, true);
                object
            }
            (_, other) => return status(415, "UnsupportedMediaType", other),
        };
        let made = self.complete(&key, made, present.as_ref(), is_apply(request).then_some((manager.as_str(), &body)));
        if request.query("dryRun").is_none() {
            if is_apply(request) {
                self.applied.insert((key.clone(), manager), body);
            }
            self.store(&key, made.clone());
        }
        Answer::json(if present.is_some() { 200 } else { 201 }, &made)
    }

    /// Stores an object and lets the controllers process it.
    pub(super) fn store(&mut self, key: &Key, object: Value) {
        let present = self.objects.get(key).cloned();
        let object = self.complete(key, object, present.as_ref(), None);
        if present.as_ref() != Some(&object) {
            self.version += 1;
            self.objects.insert(key.clone(), object);
            self.settle(key);
        }
    }

    /// The errors of a real server.
    fn refuses(&self, key: &Key) -> Option<Answer> {
        let namespace =
            Key { api_version: "v1".to_owned(), plural: "namespaces".to_owned(), name: key.namespace.clone(), ..Key::default() };
        if !key.namespace.is_empty() && !self.objects.contains_key(&namespace) {
            return Some(absent(&namespace));
        }
        let group = key.api_version.split_once('/').map_or("", |(group, _)| group);
        if group.contains('.') && !group.ends_with(".k8s.io") {
            let definition = format!("{}.{group}", key.plural);
            if !self.objects.keys().any(|it| it.plural == "customresourcedefinitions" && it.name == definition) {
                return Some(unknown());
            }
        }
        None
    }

    /// Fields that the server adds; an unchanged object stays as it is.
    fn complete(&self, key: &Key, mut object: Value, present: Option<&Value>, manager: Option<(&str, &Value)>) -> Value {
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.name);
        if !key.namespace.is_empty() {
            metadata["namespace"] = json!(key.namespace);
        }
        if object["kind"] == "Service" && object["spec"]["clusterIP"].is_null() {
            object["spec"]["clusterIP"] = json!("10.96.0.10");
        }
        let metadata = &mut object["metadata"];
        let old = present.map(|it| it["metadata"].clone()).unwrap_or_else(
            || json!({ "uid": format!("uid-{}", self.version + 1), "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1 }),
        );
        for name in ["uid", "creationTimestamp", "generation", "resourceVersion", "managedFields"] {
            if !old[name].is_null() && (name != "managedFields" || metadata[name].is_null()) {
                metadata[name] = old[name].clone();
            }
        }
        if let Some((manager, applied)) = manager {
            own(&mut object["metadata"]["managedFields"], manager, applied);
        }
        if let Some(present) = present {
            if *present == object {
                return object;
            }
            if present["spec"] != object["spec"] {
                object["metadata"]["generation"] = json!(old["generation"].as_i64().unwrap_or(1) + 1);
            }
        }
        object["metadata"]["resourceVersion"] = json!((self.version + 1).to_string());
        object
    }
}

/// Removes fields that a manager applied earlier and no longer applies.
fn withdraw(object: &mut Value, last: &Value, now: &Value) {
    let (Some(object), Some(last)) = (object.as_object_mut(), last.as_object()) else { return };
    for (name, old) in last {
        match now.get(name) {
            None => {
                object.remove(name);
            }
            Some(now) => {
                if let Some(inner) = object.get_mut(name) {
                    withdraw(inner, old, now);
                }
            }
        }
    }
}

/// Maps are merged, lists of named items are merged by name, other values are replaced; `null` in a patch removes.
fn merge(object: &mut Value, with: &Value, null_removes: bool) {
    match (object, with) {
        (Value::Object(object), Value::Object(with)) => {
            for (name, value) in with {
                if null_removes && value.is_null() {
                    object.remove(name);
                } else {
                    merge(object.entry(name.clone()).or_insert(Value::Null), value, null_removes);
                }
            }
        }
        (Value::Array(object), Value::Array(with)) if named(with) && named(object) => {
            if !null_removes {
                object.retain(|old| with.iter().any(|it| it["name"] == old["name"]));
            }
            for item in with {
                match object.iter_mut().find(|it| it["name"] == item["name"]) {
                    Some(old) => merge(old, item, null_removes),
                    None => object.push(item.clone()),
                }
            }
        }
        (object, with) => *object = with.clone(),
    }
}

fn named(list: &[Value]) -> bool {
    list.iter().all(|it| it["name"].is_string())
}

/// The manager's entry in `managedFields`.
fn own(entries: &mut Value, manager: &str, applied: &Value) {
    let mut list = entries.as_array().cloned().unwrap_or_default();
    let mut fields = applied.clone();
    for name in ["apiVersion", "kind"] {
        if let Some(fields) = fields.as_object_mut() {
            fields.remove(name);
        }
    }
    if let Some(metadata) = fields["metadata"].as_object_mut() {
        metadata.remove("name");
        metadata.remove("namespace");
    }
    let entry = json!({
        "manager": manager, "operation": "Apply", "apiVersion": applied["apiVersion"], "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": owned(&fields),
    });
    match list.iter_mut().find(|it| it["manager"] == manager && it["operation"] == "Apply") {
        Some(old) => *old = entry,
        None => list.push(entry),
    }
    *entries = Value::Array(list);
}

fn owned(fields: &Value) -> Value {
    match fields {
        Value::Object(fields) => Value::Object(fields.iter().map(|(name, value)| (format!("f:{name}"), owned(value))).collect()),
        Value::Array(items) if !items.is_empty() && named(items) => {
            let entry = |it: &Value| (format!("k:{}", json!({ "name": it["name"] })), owned(it));
            Value::Object(items.iter().map(entry).collect())
        }
        _ => Value::Object(Map::new()),
    }
}

impl Kubernetes {
    /// Makes it a new cluster: without the objects of before.
    pub(crate) fn clear(&self) {
        *self.lock() = State { page: 200, ..State::default() };
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            self.put(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
        }
        self.put(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": "node" },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        }));
        self.put(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "p",
            "metadata": { "name": "standard", "annotations": { "storageclass.kubernetes.io/is-default-class": "true" } },
        }));
    }

    /// All objects by kind, namespace and name.
    pub(crate) fn objects(&self) -> BTreeMap<String, Value> {
        self.lock().objects.iter().map(|(key, it)| (format!("{} {}/{}", key.plural, key.namespace, key.name), it.clone())).collect()
    }
}
