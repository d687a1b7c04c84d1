//! The JSON schema of `Pocdeploy.toml`, generated from its types, for completion and checks in editors.
//!
//! Uses only features of every draft since 4, since TOML editors support the oldest best.

use schemars::{generate::SchemaSettings, transform::RestrictFormats};
use serde_json::{Map, Value, json};

use crate::config::Config;

/// The schema's path in a checkout, which the file's first line names.
pub const PLACE: &str = "docs/pocdeploy.schema.json";

/// The schema's text, as in the repository.
pub fn text() -> String {
    let settings = SchemaSettings::draft07().with(|it| {
        it.inline_subschemas = true;
        it.transforms.push(Box::new(RestrictFormats::default()));
    });
    let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
    simplify(&mut schema);
    schema["$schema"] = json!("http://json-schema.org/draft-04/schema#");
    schema["title"] = json!("Pocdeploy.toml");
    format!("{schema:#}\n")
}

/// TOML has no null, and an enumeration is a list of names.
fn simplify(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(simplify),
        Value::Object(fields) => {
            fields.values_mut().for_each(simplify);
            without_null(fields);
            names_in_a_list(fields);
        }
        _ => {}
    }
}

fn without_null(fields: &mut Map<String, Value>) {
    if let Some(types) = fields.get("type").and_then(Value::as_array)
        && let Some(kind) = types.iter().find(|it| *it != "null").cloned()
    {
        fields.insert("type".to_owned(), kind);
    }
    fields.retain(|name, value| name != "format" && (name != "default" || !value.is_null()));
    let optional = fields.get("anyOf").and_then(Value::as_array).filter(|it| it.len() == 2);
    if let Some(Value::Object(inner)) = optional.and_then(|it| it.iter().find(|it| it["type"] != "null")).cloned() {
        fields.remove("anyOf");
        inner.into_iter().for_each(|(name, value)| {
            fields.entry(name).or_insert(value);
        });
    }
    if let Some(defaults) = fields.get_mut("default").and_then(Value::as_object_mut) {
        defaults.retain(|_, value| !value.is_null());
    }
}

fn names_in_a_list(fields: &mut Map<String, Value>) {
    let Some(alternatives) = fields.get("oneOf").and_then(Value::as_array) else { return };
    let names = |it: &Value| it.get("const").map(|name| vec![name.clone()]).or_else(|| it.get("enum")?.as_array().cloned());
    let names: Option<Vec<Vec<Value>>> = alternatives.iter().map(names).collect();
    if let Some(names) = names {
        fields.remove("oneOf");
        fields.insert("type".to_owned(), json!("string"));
        fields.insert("enum".to_owned(), json!(names.concat()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn every_key_is_in_it_with_its_type_and_words_and_nothing_newer_than_draft_4() {
        let text = text();
        let schema: Value = serde_json::from_str(&text).unwrap();
        for key in keys::fixed() {
            let pointer = format!("/properties/{}", key.path.replace('.', "/properties/"));
            let found = schema.pointer(&pointer).unwrap_or_else(|| panic!("{} is not in\n{text}", key.path));
            assert!(found["type"].is_string(), "{}: {found}", key.path);
        }
        for key in keys::of_service() {
            let pointer = format!("/properties/services/additionalProperties/properties/{key}");
            assert!(schema.pointer(&pointer).is_some(), "{pointer} is not in\n{text}");
        }
        for newer in ["\"const\"", "\"$defs\"", "\"definitions\"", "\"null\"", "\"exclusiveMinimum\"", "\"oneOf\"", "\"anyOf\""] {
            assert!(!text.contains(newer), "{newer} in\n{text}");
        }
        assert_eq!(schema["properties"]["cluster"]["properties"]["type"]["enum"], json!(["kind", "existing", "eks", "aks", "gke"]));
        assert_eq!(schema["properties"]["images"]["properties"]["source"]["enum"], json!(["auto", "registry", "packages"]));
        assert_eq!(schema["properties"]["database"]["properties"]["instances"]["maximum"], json!(9));
        assert_eq!(schema["additionalProperties"], json!(false));
    }
}
