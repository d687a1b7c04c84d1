//! The fields that would change in an object. Pure; never shows values of Secrets.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A field with different values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// `spec.replicas`, `spec.containers[0].image`.
    pub path: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Fields that the server maintains, and our own annotation.
const PASSED_OVER: [&str; 7] = [
    "metadata.managedFields",
    "metadata.resourceVersion",
    "metadata.generation",
    "metadata.creationTimestamp",
    "metadata.uid",
    "metadata.annotations.dev.pocdeploy/inputs",
    "status",
];

/// All fields that differ between two states of an object.
pub fn difference(before: &Value, after: &Value) -> Vec<Change> {
    let mut out = Vec::new();
    let masked = before["kind"] == "Secret" || after["kind"] == "Secret";
    compare(Some(before), Some(after), "", masked, &mut out);
    out
}

fn compare(before: Option<&Value>, after: Option<&Value>, path: &str, masked: bool, out: &mut Vec<Change>) {
    if before == after || PASSED_OVER.contains(&path) {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(old.get(name), new.get(name), &inner, masked, out);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(Some(old), Some(new), &format!("{path}[{index}]"), masked, out);
            }
        }
        _ => {
            let hide = masked && (path.starts_with("data") || path.starts_with("stringData"));
            let shown = |value: Option<&Value>| value.map(|it| if hide { "[redacted]".to_owned() } else { it.to_string() });
            out.push(Change { path: path.to_owned(), before: shown(before), after: shown(after) });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(before: &Value, after: &Value, expected: &[(&str, Option<&str>, Option<&str>)]) {
        let found = difference(before, after);
        let found: Vec<_> = found.iter().map(|it| (it.path.as_str(), it.before.as_deref(), it.after.as_deref())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_property_that_differs_is_named_with_both_values() {
        check(
            &json!({ "spec": { "replicas": 2, "containers": [{ "image": "a" }], "old": true } }),
            &json!({ "spec": { "replicas": 3, "containers": [{ "image": "b" }], "new": "x" } }),
            &[
                ("spec.containers[0].image", Some("\"a\""), Some("\"b\"")),
                ("spec.new", None, Some("\"x\"")),
                ("spec.old", Some("true"), None),
                ("spec.replicas", Some("2"), Some("3")),
            ],
        );
    }

    #[test]
    fn what_the_server_keeps_for_itself_is_no_change() {
        let with =
            |version: &str| json!({ "metadata": { "name": "x", "resourceVersion": version, "generation": version }, "status": version });
        check(&with("1"), &with("2"), &[]);
    }

    #[test]
    fn a_secret_shows_that_it_changes_and_not_to_what() {
        let with = |value: &str| json!({ "kind": "Secret", "data": { "password": value } });
        check(&with("canary"), &with("other"), &[("data.password", Some("[redacted]"), Some("[redacted]"))]);
    }
}
