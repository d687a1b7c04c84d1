//! Drift: fields that we applied and that another client has changed since. Pure.
//!
//! The API server records for every field which manager set it last (`managedFields`). A field that we still own has the value that we
//! applied, so only fields that we have lost are compared. Fields that others add are not drift, except where they change what ours mean: in a
//! NetworkPolicy, whose absent rules forbid, and in selectors.

use serde_json::{Map, Value, json};

use crate::cluster::{FIELD_MANAGER, difference::Change};

/// Fields that identify an object, or that the API server does not track.
const UNTRACKED: [&str; 6] = ["apiVersion", "kind", "metadata.name", "metadata.namespace", "metadata.creationTimestamp", "status"];

/// Every field of `want` that we have lost and that has another value. In the result, `before` is the current value and `after` the wanted
/// one.
pub(super) fn drift(want: &Value, live: &Value) -> Vec<Change> {
    let owned = owned_fields(live);
    let mut walk = Walk { masked: want["kind"] == "Secret", exact: want["kind"] == "NetworkPolicy", of_metadata: false, out: Vec::new() };
    walk.compare(want, Some(&owned), Some(live), "");
    walk.out.extend(corrections(want, live).iter().map(|(name, right)| Change {
        path: format!("spec.{name}"),
        before: Some(live["spec"][name].to_string()),
        after: (!right.is_null()).then(|| right.to_string()),
    }));
    walk.out
}

/// What to merge into a NetworkPolicy's `spec` against fields that others added to it, and that let more through.
pub(super) fn corrections(want: &Value, live: &Value) -> Map<String, Value> {
    if want["kind"] != "NetworkPolicy" {
        return Map::new();
    }
    let wanted = &want["spec"];
    let there = live["spec"].as_object().into_iter().flatten();
    let added = there.map(|(name, _)| name).filter(|it| wanted.get(it.as_str()).is_none() && *it != "policyTypes");
    let mut out: Map<String, Value> = added.map(|it| (it.clone(), Value::Null)).collect();
    // The API server's own choice.
    let types = if wanted.get("egress").is_some() { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    if wanted.get("policyTypes").is_none() && live["spec"].get("policyTypes").is_some_and(|it| *it != types) {
        out.insert("policyTypes".to_owned(), types);
    }
    out
}

/// Whether we still own every field of `want`, judged by the object's metadata alone.
pub(super) fn is_all_ours(want: &Value, metadata: &Value) -> bool {
    let owned = owned_fields(&serde_json::json!({ "metadata": metadata }));
    let mut walk = Walk { masked: true, exact: false, of_metadata: true, out: Vec::new() };
    walk.compare(want, Some(&owned), None, "");
    walk.out.is_empty() && (want["kind"] != "NetworkPolicy" || !others_have_spec(metadata))
}

/// Whether another manager owns a field of `spec`.
fn others_have_spec(metadata: &Value) -> bool {
    let entries = metadata["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().any(|it| it["manager"] != FIELD_MANAGER && it.pointer("/fieldsV1/f:spec").is_some())
}

/// Maps that the API server lets one manager own as a whole (`x-kubernetes-map-type: atomic`), and in which a further key means another
/// choice: Service and NodeSelector, and every LabelSelector.
const ATOMIC: [&str; 6] = ["selector", "nodeSelector", "podSelector", "namespaceSelector", "objectSelector", "labelSelector"];

/// Whether we still own the annotation.
pub(super) fn holds_annotation(live: &Value, name: &str) -> bool {
    owned_fields(live).pointer("/f:metadata/f:annotations").is_some_and(|it| it.get(format!("f:{name}")).is_some())
}

/// The fields that we own by server-side apply.
fn owned_fields(object: &Value) -> Value {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let ours =
        |it: &&Value| it["manager"] == FIELD_MANAGER && it["operation"] == "Apply" && it.get("subresource").is_none_or(Value::is_null);
    // Without an entry of ours, we own nothing; `{}` would mean that we own everything.
    entries.iter().find(ours).map_or(serde_json::json!({ ".": {} }), |it| it["fieldsV1"].clone())
}

struct Walk {
    masked: bool,
    /// Whether lost values must have nothing more than the wanted ones.
    exact: bool,
    /// Whether only metadata is known: a lost selector may have any value.
    of_metadata: bool,
    out: Vec<Change>,
}

impl Walk {
    fn compare(&mut self, want: &Value, owned: Option<&Value>, live: Option<&Value>, path: &str) {
        if want.is_null() || UNTRACKED.contains(&path) || owned.is_some_and(|it| is_whole(it) || !(want.is_object() || want.is_array())) {
            return;
        }
        match want {
            Value::Object(fields) => {
                for (name, inner) in fields {
                    let owned = owned.and_then(|it| it.get(format!("f:{name}")));
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    let live = live.and_then(|it| it.get(name));
                    if owned.is_none() && ATOMIC.contains(&name.as_str()) {
                        if self.of_metadata || !is_equal(inner, live) {
                            self.report(inner, live, &path);
                        }
                        continue;
                    }
                    self.compare(inner, owned, live, &path);
                }
            }
            Value::Array(items) => match owned.and_then(Value::as_object) {
                Some(owned) => self.compare_items(items, owned, live, path),
                None => self.compare_values(want, live, path),
            },
            _ => self.compare_values(want, live, path),
        }
    }

    /// A list whose items have separate owners, and are identified by their keys or values.
    fn compare_items(&mut self, items: &[Value], owned: &Map<String, Value>, live: Option<&Value>, path: &str) {
        let there = live.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let key = owned.iter().find(|(key, _)| is_item(key, item, index));
            let found = match key {
                Some((key, _)) => there.iter().enumerate().find(|(index, it)| is_item(key, it, *index)).map(|(_, it)| it),
                // We have lost this item: compare with the item of the same name, or an equal item.
                None => there.iter().find(|it| item.get("name").map_or(*it == item, |name| it.get("name") == Some(name))),
            };
            self.compare(item, key.map(|(_, fields)| fields), found, &path);
        }
    }

    /// A lost field must still have the wanted value.
    fn compare_values(&mut self, want: &Value, live: Option<&Value>, path: &str) {
        let is_right = if self.exact { is_equal(want, live) } else { is_held(want, live) };
        if !is_right {
            self.report(want, live, path);
        }
    }

    fn report(&mut self, want: &Value, live: Option<&Value>, path: &str) {
        let hide = self.masked && (path.starts_with("data") || path.starts_with("stringData"));
        let shown = |value: &Value| if hide { "[redacted]".to_owned() } else { value.to_string() };
        self.out.push(Change { path: path.to_owned(), before: live.map(shown), after: Some(shown(want)) });
    }
}

/// Whether the field is owned with everything below it.
fn is_whole(owned: &Value) -> bool {
    owned.as_object().is_some_and(Map::is_empty)
}

/// Whether a key of `fieldsV1` identifies this item: `k:{"name":"a"}`, `v:"a"` or `i:0`. A key field that the item omits matches, since it
/// has its default.
fn is_item(key: &str, item: &Value, index: usize) -> bool {
    match key.split_once(':') {
        Some(("k", keys)) => serde_json::from_str(keys).is_ok_and(|keys: Map<String, Value>| {
            keys.keys().any(|name| item.get(name).is_some()) && keys.iter().all(|(name, value)| item.get(name).is_none_or(|it| it == value))
        }),
        Some(("v", value)) => serde_json::from_str(value).is_ok_and(|value: Value| value == *item),
        Some(("i", at)) => at.parse() == Ok(index),
        _ => false,
    }
}

/// Whether `live` is `want`, but for what the API server adds to ports. Empty values may be missing.
fn is_equal(want: &Value, live: Option<&Value>) -> bool {
    match (want, live) {
        (Value::Object(want), Some(Value::Object(live))) => {
            want.iter().all(|(name, value)| is_equal(value, live.get(name)))
                && live.iter().all(|(name, value)| want.contains_key(name) || (name == "protocol" && value == "TCP"))
        }
        (Value::Array(want), Some(Value::Array(live))) => {
            want.len() == live.len() && want.iter().zip(live).all(|(want, live)| is_equal(want, Some(live)))
        }
        _ => is_held(want, live),
    }
}

/// Whether `live` contains `want`; maps may have more keys. Empty values may be missing.
fn is_held(want: &Value, live: Option<&Value>) -> bool {
    match (want, live) {
        (Value::Object(want), Some(Value::Object(live))) => want.iter().all(|(name, value)| is_held(value, live.get(name))),
        (Value::Array(want), Some(Value::Array(live))) => {
            want.len() == live.len() && want.iter().zip(live).all(|(want, live)| is_held(want, Some(live)))
        }
        (Value::Null, None | Some(Value::Null)) => true,
        (Value::Object(want), None) => want.is_empty(),
        (Value::Array(want), None) => want.is_empty(),
        (Value::String(want), None) => want.is_empty(),
        (want, Some(live)) => want == live,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(mut object: Value, fields: &Value) -> Value {
        object["metadata"]["managedFields"] = json!([
            { "manager": "kubectl", "operation": "Update", "fieldsV1": {} },
            { "manager": "pocdeploy", "operation": "Apply", "fieldsV1": fields },
        ]);
        object
    }

    #[track_caller]
    fn check(want: &Value, there: &Value, expected: &[(&str, Option<&str>)]) {
        let found = drift(want, there);
        let found: Vec<_> = found.iter().map(|it| (it.path.as_str(), it.before.as_deref())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn fields_that_are_ours_hold_what_we_applied_however_the_server_writes_them() {
        let want = json!({ "spec": { "replicas": 2, "cpu": "1000m" } });
        let there =
            live(json!({ "spec": { "replicas": 2, "cpu": "1", "added": true } }), &json!({ "f:spec": { "f:replicas": {}, "f:cpu": {} } }));
        check(&want, &there, &[]);
        assert!(is_all_ours(&want, &there["metadata"]));
    }

    #[test]
    fn a_field_that_was_changed_is_named_with_what_is_there() {
        let want = json!({ "spec": { "replicas": 2, "paused": false } });
        let there = live(json!({ "spec": { "replicas": 5 } }), &json!({ "f:spec": {".": {} } }));
        check(&want, &there, &[("spec.replicas", Some("5")), ("spec.paused", None)]);
        assert!(!is_all_ours(&want, &there["metadata"]));
    }

    #[test]
    fn a_field_that_was_changed_and_changed_back_is_no_drift() {
        let want = json!({ "spec": { "replicas": 2, "empty": "", "list": [] } });
        let there = live(json!({ "spec": { "replicas": 2 } }), &json!({ "f:spec": {".": {} } }));
        check(&want, &there, &[]);
    }

    #[test]
    fn items_of_a_list_are_found_by_their_keys_and_other_items_are_not_ours_to_judge() {
        let want = json!({ "containers": [{ "name": "app", "image": "a", "ports": [{ "containerPort": 80 }] }] });
        let fields = |image: &Value| {
            json!({ "f:containers": { "k:{\"name\":\"app\"}": { ".": {}, "f:name": {}, "f:image": image,
            "f:ports": { "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": { ".": {}, "f:containerPort": {} } } } } })
        };
        let port = json!([{ "containerPort": 80, "protocol": "TCP" }]);
        let containers = json!([{ "name": "sidecar" }, { "name": "app", "image": "b", "ports": port }]);
        check(&want, &live(json!({ "containers": containers }), &fields(&json!({}))), &[]);
        let mut lost = fields(&json!({}));
        lost["f:containers"]["k:{\"name\":\"app\"}"].as_object_mut().unwrap().remove("f:image");
        check(&want, &live(json!({ "containers": containers }), &lost), &[("containers[0].image", Some("\"b\""))]);
    }

    #[test]
    fn an_item_that_was_removed_is_drift() {
        let want = json!({ "finalizers": ["a", "b"], "env": [{ "name": "X", "value": "1" }] });
        let there = live(json!({ "finalizers": ["a"], "env": [] }), &json!({ "f:finalizers": { "v:\"a\"": {} }, "f:env": { ".": {} } }));
        check(&want, &there, &[("finalizers[1]", None), ("env[0].name", None), ("env[0].value", None)]);
    }

    #[test]
    fn a_list_that_was_taken_over_whole_must_have_no_item_more() {
        let want = json!({ "ingress": [{ "ports": [{ "port": 80 }] }] });
        let owned = json!({ ".": {} });
        check(&want, &live(json!({ "ingress": [{ "ports": [{ "port": 80, "protocol": "TCP" }] }] }), &owned), &[]);
        let opened = json!([{ "ports": [{ "port": 80 }] }, {}]);
        check(&want, &live(json!({ "ingress": opened.clone() }), &owned), &[("ingress", Some(opened.to_string().as_str()))]);
    }

    /// What `kubectl patch` leaves: the stranger owns the atomic field as a whole, and what it added.
    #[test]
    fn a_policy_that_selects_less_or_lets_more_in_is_drift_and_so_is_a_selector_with_a_key_more() {
        let policy = |spec: Value| json!({ "kind": "NetworkPolicy", "spec": spec });
        let deny = policy(json!({ "podSelector": {}, "policyTypes": ["Ingress"] }));
        let owned = json!({ "f:spec": { "f:podSelector": {}, "f:policyTypes": {} } });
        let stranger = |mut object: Value, theirs: Value| {
            object["metadata"]["managedFields"].as_array_mut().unwrap().push(json!({ "manager": "kubectl-patch", "fieldsV1": theirs }));
            object
        };
        let there = live(deny.clone(), &owned);
        check(&deny, &there, &[]);
        assert!(is_all_ours(&deny, &there["metadata"]));

        let evil = json!({ "matchLabels": { "evil": "x" } });
        let lost = json!({ "f:spec": { "f:policyTypes": {} } });
        let narrowed = live(policy(json!({ "podSelector": evil, "policyTypes": ["Ingress"] })), &lost);
        check(&deny, &narrowed, &[("spec.podSelector", Some(evil.to_string().as_str()))]);
        assert!(!is_all_ours(&deny, &narrowed["metadata"]));

        let open = live(policy(json!({ "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}] })), &owned);
        let open = stranger(open, json!({ "f:spec": { "f:ingress": {} } }));
        check(&deny, &open, &[("spec.ingress", Some("[{}]"))]);
        assert!(!is_all_ours(&deny, &open["metadata"]));

        let want = policy(json!({ "podSelector": {}, "ingress": [] }));
        let lax = live(policy(json!({ "podSelector": {}, "ingress": [], "policyTypes": ["Egress"] })), &owned);
        check(&want, &lax, &[("spec.policyTypes", Some("[\"Egress\"]"))]);

        let rule = |from: Option<Value>| {
            let mut rule = json!({ "ports": [{ "port": 80, "protocol": "TCP" }] });
            rule.as_object_mut().unwrap().extend(from.map(|it| ("from".to_owned(), it)));
            policy(json!({ "podSelector": {}, "ingress": [rule] }))
        };
        let owned = json!({ "f:spec": { "f:podSelector": {} } });
        check(&rule(None), &live(rule(None), &owned), &[]);
        assert_eq!(drift(&rule(None), &live(rule(Some(json!([{}]))), &owned)).len(), 1);

        let service = |selector: Value| json!({ "kind": "Service", "spec": { "selector": selector } });
        let want = service(json!({ "app": "a" }));
        let owned = json!({ "f:spec": { ".": {} } });
        check(&want, &live(service(json!({ "app": "a" })), &owned), &[]);
        let more = json!({ "app": "a", "x": "y" });
        check(&want, &live(service(more.clone()), &owned), &[("spec.selector", Some(more.to_string().as_str()))]);
        assert!(!is_all_ours(&want, &live(service(more), &owned)["metadata"]));
    }

    #[test]
    fn an_object_whose_owners_were_wiped_is_compared_as_a_whole() {
        let want =
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c", "labels": { "a": "1" } }, "data": { "k": "v" } });
        check(&want, &json!({ "metadata": { "labels": { "a": "1", "b": "2" } }, "data": { "k": "v" } }), &[]);
        check(&want, &json!({ "metadata": {}, "data": { "k": "w" } }), &[("metadata.labels.a", None), ("data.k", Some("\"w\""))]);
    }

    #[test]
    fn values_of_secrets_are_never_shown() {
        let want = json!({ "kind": "Secret", "data": { "password": "canary" } });
        check(&want, &json!({ "data": { "password": "other" } }), &[("data.password", Some("[redacted]"))]);
    }
}
