//! Kubernetes' strategic merge patch, for an object of a user's file that amends another one.
//!
//! Source: `k8s.io/apimachinery/pkg/util/strategicpatch` and the merge keys in the API server's `/openapi/v2` of Kubernetes 1.36
//! (`x-kubernetes-patch-merge-key`). Kinds of CRDs have no merge keys, so theirs is a JSON merge patch (RFC 7386), as `kubectl patch` does.
//! One difference: a new element goes to the end of its list, where `kubectl patch` puts it first, since a variable of a container may
//! refer only to those before it.

use serde_json::{Map, Value};

use crate::deploy::scope;

/// Lists that are merged element by element, and the fields that identify an element. `ports` has one key in containers and another in
/// Services.
const KEYS: [(&str, &[&str]); 16] = [
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("env", &["name"]),
    ("volumes", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("ports", &["containerPort", "port"]),
    ("imagePullSecrets", &["name"]),
    ("secrets", &["name"]),
    ("hostAliases", &["ip"]),
    ("topologySpreadConstraints", &["topologyKey"]),
    ("schedulingGates", &["name"]),
    ("resourceClaims", &["name"]),
    ("ownerReferences", &["uid"]),
    ("conditions", &["type"]),
];
/// A list of plain values that are joined.
const JOINED: &str = "finalizers";
const DIRECTIVE: &str = "$patch";

/// The groups whose kinds have merge keys: Kubernetes' own. Other kinds come from CRDs.
const GROUPS: [&str; 9] =
    ["", "apps", "autoscaling", "batch", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "scheduling.k8s.io", "storage.k8s.io"];

/// Merges an object into one of the same kind. The error names a directive that is not supported, and a list's element without its key.
pub(super) fn objects(base: &mut Value, patch: &Value) -> Result<(), String> {
    let has_keys = GROUPS.contains(&scope::group(patch));
    // The one mapping that is replaced as a whole: `x-kubernetes-patch-strategy: replace`.
    if has_keys && patch["kind"] == "PodDisruptionBudget" && patch["spec"]["selector"].is_object() {
        base["spec"]["selector"] = Value::Null;
    }
    apply(base, patch, has_keys)
}

/// `has_keys` says whether lists have merge keys.
fn apply(base: &mut Value, patch: &Value, has_keys: bool) -> Result<(), String> {
    let (Value::Object(fields), Value::Object(changes)) = (&mut *base, patch) else {
        *base = patch.clone();
        return Ok(());
    };
    match directive(changes)? {
        Some(Directive::Delete) => {
            fields.clear();
            return Ok(());
        }
        Some(Directive::Replace) => {
            *fields = without_directive(changes);
            return Ok(());
        }
        None => {}
    }
    for (name, change) in changes {
        match (fields.get_mut(name), change) {
            (_, Value::Null) => drop(fields.remove(name)),
            (Some(Value::Array(items)), Value::Array(new)) if has_keys && name == JOINED => {
                new.iter().for_each(|it| {
                    if !items.contains(it) {
                        items.push(it.clone())
                    }
                });
            }
            (Some(Value::Array(items)), Value::Array(new)) if has_keys && keys(name).is_some() => {
                elements(items, new, keys(name).unwrap_or_default()).map_err(|why| format!("{name}: {why}"))?;
            }
            (Some(found @ Value::Object(_)), Value::Object(_)) => apply(found, change, has_keys).map_err(|why| format!("{name}.{why}"))?,
            _ => drop(fields.insert(name.clone(), clean(change))),
        }
    }
    Ok(())
}

enum Directive {
    Delete,
    Replace,
}

fn directive(fields: &Map<String, Value>) -> Result<Option<Directive>, String> {
    if let Some(other) = fields.keys().find(|it| it.starts_with('$') && *it != DIRECTIVE) {
        return Err(format!("{other} is not supported; `$patch: delete`, `$patch: replace` and null are"));
    }
    match fields.get(DIRECTIVE).map(|it| it.as_str().unwrap_or_default()) {
        None | Some("merge") => Ok(None),
        Some("delete") => Ok(Some(Directive::Delete)),
        Some("replace") => Ok(Some(Directive::Replace)),
        Some(_) => Err("$patch is delete, replace or merge".to_owned()),
    }
}

fn keys(list: &str) -> Option<&'static [&'static str]> {
    KEYS.iter().find(|(name, _)| *name == list).map(|(_, keys)| *keys)
}

fn elements(items: &mut Vec<Value>, new: &[Value], keys: &[&str]) -> Result<(), String> {
    // An element that is nothing but the directive is about the whole list.
    let about_all = |it: &Value| it.as_object().is_some_and(|it| it.len() == 1 && it.contains_key(DIRECTIVE));
    let mut whole = None;
    for it in new.iter().filter(|it| about_all(it)) {
        whole = it.as_object().map(directive).transpose()?.flatten();
    }
    if whole.is_some() {
        items.clear();
    }
    for change in new.iter().filter(|it| !about_all(it)) {
        let key = keys.iter().find(|it| !change[**it].is_null()).ok_or_else(|| format!("an element has no {}", keys.join(" or ")))?;
        let at = items.iter().position(|it| it[*key] == change[*key]);
        let directive = change.as_object().map(directive).transpose()?.flatten();
        if matches!(directive, Some(Directive::Replace)) {
            // Kubernetes would drop this element and replace the list by the others of the patch.
            return Err("`$patch: replace` is about the whole list: write it as an element of its own".to_owned());
        }
        let deletes = directive.is_some();
        match at {
            Some(index) if deletes => drop(items.remove(index)),
            None if deletes => {}
            Some(index) => apply(&mut items[index], change, true)?,
            None => items.push(clean(change)),
        }
    }
    Ok(())
}

/// A value that nothing is merged into: without directives, and without the fields that it would have deleted.
fn clean(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(without_directive(fields)),
        Value::Array(items) => items.iter().map(clean).collect(),
        other => other.clone(),
    }
}

fn without_directive(fields: &Map<String, Value>) -> Map<String, Value> {
    let kept = fields.iter().filter(|(name, it)| *name != DIRECTIVE && !it.is_null());
    kept.map(|(name, it)| (name.clone(), clean(it))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, json};

    use super::*;

    fn merged(base: &Value, patch: &Value, has_keys: bool) -> Result<Value, String> {
        let mut out = base.clone();
        apply(&mut out, patch, has_keys).map(|()| out)
    }

    /// The order of elements is not compared: `kubectl patch` puts new ones first.
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(sorted).collect();
                items.sort_by_key(Value::to_string);
                Value::Array(items)
            }
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().map(|(name, it)| (name.clone(), sorted(it))).collect();
                fields.sort_by(|one, other| one.0.cmp(&other.0));
                Value::Object(fields.into_iter().collect())
            }
            other => other.clone(),
        }
    }

    #[test]
    fn the_result_is_kubectls() {
        let all: Value = from_str(include_str!("../../../tests/fixtures/strategic_merge.json")).unwrap();
        let cases = all["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 24);
        for case in cases {
            let mut found = all["bases"][usize::try_from(case["base"].as_u64().unwrap()).unwrap()].clone();
            let mut patch = case["patch"].clone();
            patch["kind"] = found["kind"].clone();
            patch["apiVersion"] = found["apiVersion"].clone();
            objects(&mut found, &patch).unwrap();
            assert_eq!(sorted(&found), sorted(&case["result"]), "{}", case["patch"]);
        }
    }

    #[test]
    fn elements_meet_by_their_key_and_new_ones_come_last() {
        let base = json!({ "spec": { "containers": [
            { "name": "web", "image": "a", "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }], "args": ["x", "y"] },
        ] } });
        let patch = json!({ "spec": { "containers": [
            { "name": "proxy", "image": "p" },
            { "name": "web", "env": [{ "name": "C", "value": "$(A)" }, { "name": "B", "value": "3" }], "args": ["z"] },
        ] } });
        let expected = json!({ "spec": { "containers": [
            { "name": "web", "image": "a", "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "3" }, { "name": "C", "value": "$(A)" }], "args": ["z"] },
            { "name": "proxy", "image": "p" },
        ] } });
        assert_eq!(merged(&base, &patch, true), Ok(expected));
    }

    #[test]
    fn ports_have_one_key_in_containers_and_another_in_services() {
        let base = json!({ "ports": [{ "containerPort": 1, "name": "a" }] });
        let patch = json!({ "ports": [{ "containerPort": 1, "name": "b" }, { "containerPort": 2 }] });
        assert_eq!(merged(&base, &patch, true), Ok(json!({ "ports": [{ "containerPort": 1, "name": "b" }, { "containerPort": 2 }] })));
        let base = json!({ "ports": [{ "port": 80, "targetPort": "http" }] });
        let patch = json!({ "ports": [{ "port": 80, "nodePort": 30001 }] });
        assert_eq!(merged(&base, &patch, true), Ok(json!({ "ports": [{ "port": 80, "targetPort": "http", "nodePort": 30001 }] })));
    }

    #[test]
    fn null_and_the_directives_delete_and_replace() {
        let base = json!({ "a": { "x": 1, "y": 2 }, "volumes": [{ "name": "tmp", "emptyDir": {} }, { "name": "keys", "secret": {} }] });
        for (patch, expected) in [
            (json!({ "a": { "x": null, "z": { "w": null } } }), json!({ "a": { "y": 2, "z": {} }, "volumes": base["volumes"] })),
            (json!({ "a": { "$patch": "replace", "z": 3 } }), json!({ "a": { "z": 3 }, "volumes": base["volumes"] })),
            (json!({ "a": { "$patch": "delete" } }), json!({ "a": {}, "volumes": base["volumes"] })),
            (
                json!({ "volumes": [{ "name": "tmp", "$patch": "delete" }, { "name": "none", "$patch": "delete" }] }),
                json!({ "a": base["a"], "volumes": [{ "name": "keys", "secret": {} }] }),
            ),
            (
                json!({ "volumes": [{ "$patch": "replace" }, { "name": "new", "emptyDir": {} }] }),
                json!({ "a": base["a"], "volumes": [{ "name": "new", "emptyDir": {} }] }),
            ),
        ] {
            assert_eq!(merged(&base, &patch, true), Ok(expected), "{patch}");
        }
    }

    #[test]
    fn other_lists_are_replaced_and_so_is_every_list_of_a_crds_kind() {
        let base = json!({ "tolerations": [{ "key": "a" }], "env": [{ "name": "A" }], "finalizers": ["x"] });
        let patch = json!({ "tolerations": [{ "key": "b" }], "env": [{ "name": "B" }], "finalizers": ["y", "x"] });
        let expected = json!({ "tolerations": [{ "key": "b" }], "env": [{ "name": "A" }, { "name": "B" }], "finalizers": ["x", "y"] });
        assert_eq!(merged(&base, &patch, true), Ok(expected));
        assert_eq!(merged(&base, &patch, false), Ok(patch.clone()));
    }

    #[test]
    fn what_it_does_not_know_is_named() {
        let base = json!({ "spec": { "containers": [{ "name": "web" }] } });
        for (patch, expected) in [
            (json!({ "spec": { "$retainKeys": ["a"] } }), "spec.$retainKeys is not supported"),
            (json!({ "spec": { "$patch": "remove" } }), "spec.$patch is delete, replace or merge"),
            (json!({ "spec": { "containers": [{ "image": "x" }] } }), "spec.containers: an element has no name"),
            (
                json!({ "spec": { "containers": [{ "name": "web", "$patch": "replace" }] } }),
                "spec.containers: `$patch: replace` is about the",
            ),
        ] {
            let error = merged(&base, &patch, true).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
