//! What a run would change outside the cluster: the resources of a plan of OpenTofu, property by property.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A resource that would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Infrastructure {
    /// `aws_subnet.public[0]`.
    pub resource: String,
    /// `create`, `update`, `delete`, `replace`.
    pub action: String,
    pub properties: Vec<Property>,
}

/// A property with different values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    pub name: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// A value that only the cloud knows.
const LATER: &str = "known after apply";

/// The changes in the output of `show -json PLAN` (opentofu.org/docs/internals/json-format). Sensitive values are left out.
pub(super) fn read(plan: &Value) -> Vec<Infrastructure> {
    let mut out = Vec::new();
    for it in plan["resource_changes"].as_array().into_iter().flatten() {
        let actions: Vec<&str> = it["change"]["actions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let action = match actions.as_slice() {
            ["no-op" | "read"] | [] => continue,
            [one] => *one,
            _ => "replace",
        };
        let resource = it["address"].as_str().unwrap_or_default().to_owned();
        out.push(Infrastructure { resource, action: action.to_owned(), properties: properties(&it["change"]) });
    }
    out
}

fn properties(change: &Value) -> Vec<Property> {
    let names = |it: &Value| it.as_object().map(|it| it.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let mut all = [names(&change["before"]), names(&change["after"]), names(&change["after_unknown"])].concat();
    all.sort();
    all.dedup();
    let is_secret = |name: &str| ["before_sensitive", "after_sensitive"].iter().any(|it| change[*it][name] == Value::Bool(true));
    let shown = |side: &str, name: &str| match &change[side][name] {
        Value::Null => None,
        _ if is_secret(name) => Some("(sensitive)".to_owned()),
        value => Some(value.to_string()),
    };
    let mut out = Vec::new();
    for name in all {
        let later = change["after_unknown"][&name] == Value::Bool(true);
        let after = if later { Some(LATER.to_owned()) } else { shown("after", &name) };
        let before = shown("before", &name);
        // A secret that changes looks the same.
        if before != after || (is_secret(&name) && change["before"][&name] != change["after"][&name]) {
            out.push(Property { name, before, after });
        }
    }
    out
}

impl fmt::Display for Infrastructure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.action.as_str() {
            "create" => '+',
            "delete" => '-',
            _ => '~',
        };
        write!(f, "{mark} {}", self.resource)?;
        if self.action == "replace" {
            f.write_str(" (replaced)")?;
        }
        if self.action == "delete" {
            return Ok(());
        }
        for it in &self.properties {
            let absent = || "(not set)".to_owned();
            match &it.before {
                None => write!(f, "\n      {}: {}", it.name, it.after.clone().unwrap_or_else(absent))?,
                Some(before) => write!(f, "\n      {}: {before} -> {}", it.name, it.after.clone().unwrap_or_else(absent))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_is_told_property_by_property_without_secrets() {
        let plan = json!({ "resource_changes": [
            { "address": "a.new", "change": { "actions": ["create"], "before": null, "after": { "name": "x", "key": "s", "off": null },
              "after_unknown": { "id": true }, "after_sensitive": { "key": true } } },
            { "address": "a.same", "change": { "actions": ["no-op"], "before": { "n": 1 }, "after": { "n": 1 } } },
            { "address": "data.a.b", "change": { "actions": ["read"], "before": null, "after": {} } },
            { "address": "a.old", "change": { "actions": ["update"], "before": { "n": 1, "same": 2 }, "after": { "n": 3, "same": 2 } } },
            { "address": "a.key", "change": { "actions": ["update"], "before": { "k": 1 }, "after": { "k": 2 }, "before_sensitive": { "k": true } } },
            { "address": "a.swap", "change": { "actions": ["delete", "create"], "before": { "n": 1 }, "after": { "n": 2 } } },
            { "address": "a.gone", "change": { "actions": ["delete"], "before": { "n": 1 }, "after": null } },
        ] });
        let told: Vec<String> = read(&plan).iter().map(ToString::to_string).collect();
        let expected = [
            "+ a.new\n      id: known after apply\n      key: (sensitive)\n      name: \"x\"",
            "~ a.old\n      n: 1 -> 3",
            "~ a.key\n      k: (sensitive) -> (sensitive)",
            "~ a.swap (replaced)\n      n: 1 -> 2",
            "- a.gone",
        ];
        assert_eq!(told, expected);
    }
}
