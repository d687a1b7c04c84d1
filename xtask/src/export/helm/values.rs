//! The chart's values, with a comment for each, and their JSON schema.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    deploy::objects,
    export::{Exported, Image, name, text},
};

/// A value: its name, a comment, the default, and its schema.
struct Entry {
    name: &'static str,
    comment: &'static str,
    value: Value,
    schema: Value,
}

fn entries(it: &Exported) -> Vec<Entry> {
    let digest = json!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" });
    let image = json!({
        "type": "object",
        "required": ["repository", "tag", "digest"],
        "additionalProperties": false,
        "properties": { "repository": { "type": "string", "minLength": 1 }, "tag": { "type": "string", "minLength": 1 }, "digest": digest },
    });
    let string = || json!({ "type": "string" });
    let count = |least: u8| json!({ "type": "integer", "minimum": least });
    let mut images: BTreeMap<String, Value> = BTreeMap::new();
    for one in &it.images {
        images.insert(one.service.clone(), json!({ "repository": one.repository, "tag": one.tag, "digest": one.digest }));
    }
    let postgresql =
        Image::new("postgresql", &it.postgresql).map(|it| json!({ "repository": it.repository, "tag": it.tag, "digest": it.digest }));
    let replicas: BTreeMap<&str, &Value> =
        it.app.iter().filter(|it| !it["spec"]["replicas"].is_null()).map(|it| (name(it), &it["spec"]["replicas"])).collect();
    let settings: BTreeMap<&str, BTreeMap<&String, &String>> = it
        .settings
        .iter()
        .map(|it| (it.name.as_str(), it.data.iter().filter(|(key, _)| !objects::follows_address(key)).collect()))
        .collect();
    let secrets: BTreeMap<&str, &str> = it.secrets.iter().map(|it| (it.name.as_str(), it.name.as_str())).collect();
    let pull: Vec<Value> = it.pull_secret.iter().map(|name| json!({ "name": name })).collect();
    let cluster = it.cluster().map(|it| it["spec"].clone()).unwrap_or_default();
    let ingress = ingress(it);
    let class = ingress.and_then(|it| it.pointer("/spec/ingressClassName")).and_then(Value::as_str);
    let has_own_tls = tls_secret(it).is_none() && ingress.is_some_and(|it| it.pointer("/spec/tls/0").is_some());
    let closed = |names: Vec<&str>, of: &Value| {
        let properties: BTreeMap<&str, &Value> = names.into_iter().map(|name| (name, of)).collect();
        json!({ "type": "object", "additionalProperties": false, "required": properties.keys().collect::<Vec<_>>(), "properties": properties })
    };
    vec![
        Entry {
            name: "images",
            comment: "Every image by its digest; the tag is for people, and for CloudNativePG, which reads PostgreSQL's version from it.",
            schema: closed(images.keys().map(String::as_str).collect(), &image),
            value: json!(images),
        },
        Entry {
            name: "imagePullSecrets",
            comment: "Secrets of type kubernetes.io/dockerconfigjson for the registry: [{name: …}].",
            value: json!(pull),
            schema: json!({ "type": "array", "items": { "type": "object", "required": ["name"], "properties": { "name": string() }, "additionalProperties": false } }),
        },
        Entry { name: "host", comment: "The Ingress's host.", value: json!(it.host), schema: json!({ "type": "string", "minLength": 1 }) },
        Entry {
            name: "address",
            comment: "The address that users type: scheme, host and port. Empty: the Ingress's.",
            value: json!(if has_own_tls { format!("https://{}", it.host) } else { String::new() }),
            schema: json!({ "type": "string", "pattern": "^(https?://[^/]+)?$" }),
        },
        Entry {
            name: "extraHosts",
            comment: "Further hosts that requests may name.",
            value: json!([]),
            schema: json!({ "type": "array", "items": string() }),
        },
        Entry {
            name: "service",
            comment: "How the application's Service is reached: ClusterIP (by the Ingress), LoadBalancer or NodePort; nodePort 0 lets the cluster choose.",
            value: json!({ "type": "ClusterIP", "nodePort": 0 }),
            schema: json!({ "type": "object", "additionalProperties": false, "required": ["type"], "properties": {
                "type": { "enum": ["ClusterIP", "LoadBalancer", "NodePort"] },
                "nodePort": { "type": "integer", "minimum": 0, "maximum": 65535 },
            } }),
        },
        Entry {
            name: "ingress",
            comment: "The Ingress: its class (empty: the cluster's default), and the Secret with its certificate (empty: plain HTTP).",
            value: json!({ "enabled": true, "className": class.unwrap_or_default(), "tlsSecret": tls_secret(it).unwrap_or_default() }),
            schema: json!({ "type": "object", "additionalProperties": false, "required": ["enabled"], "properties": {
                "enabled": { "type": "boolean" }, "className": string(), "tlsSecret": string(),
            } }),
        },
        Entry {
            name: "replicas",
            comment: "Pods of each Deployment.",
            schema: closed(replicas.keys().copied().collect(), &count(0)),
            value: json!(replicas),
        },
        Entry {
            name: "database",
            comment: "PostgreSQL: its image, its instances, and the volume of each. Empty class: the cluster's default.",
            value: json!({ "image": postgresql.unwrap_or_default(), "instances": cluster["instances"], "size": cluster["storage"]["size"], "storageClass": "" }),
            schema: json!({ "type": "object", "additionalProperties": false, "required": ["image", "instances", "size"], "properties": {
                "image": image, "instances": count(if cluster["postgresql"]["synchronous"].is_null() { 1 } else { 2 }), "size": { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti)$" }, "storageClass": string(),
            } }),
        },
        Entry {
            name: "settings",
            comment: "The variables of each ConfigMap. Those that follow from the address are not here.",
            schema: closed(settings.keys().copied().collect(), &json!({ "type": "object", "additionalProperties": string() })),
            value: json!(settings),
        },
        Entry {
            name: "secrets",
            comment: "The names of your Secrets: README.md says which keys each has.",
            schema: closed(secrets.keys().copied().collect(), &json!({ "type": "string", "minLength": 1 })),
            value: json!(secrets),
        },
    ]
}

fn ingress(it: &Exported) -> Option<&Value> {
    it.app.iter().find(|it| it["kind"] == "Ingress")
}

/// The Secret with the certificate, if the Ingress has one certificate, for the host: then it is a value.
pub(super) fn tls_secret(it: &Exported) -> Option<&str> {
    let tls = ingress(it)?.pointer("/spec/tls")?.as_array()?;
    let one = tls.first().filter(|_| tls.len() == 1)?;
    one["secretName"].as_str().filter(|_| one["hosts"] == json!([it.host]))
}

/// `values.yaml`.
pub(super) fn text_of(it: &Exported) -> Result<String> {
    let mut out = String::from("# Written by `pocdeploy export`.\n");
    for entry in entries(it) {
        out.push_str(&format!("\n# {}\n{}", entry.comment, text(&json!({ entry.name: entry.value }))?));
    }
    Ok(out)
}

/// `values.schema.json`, draft 7.
pub(super) fn schema(it: &Exported) -> Result<String> {
    let all = entries(it);
    let with_description = |mut entry: Entry| {
        entry.schema["description"] = json!(entry.comment);
        (entry.name, entry.schema)
    };
    let required: Vec<&str> = all.iter().map(|it| it.name).collect();
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "required": required,
        "properties": all.into_iter().map(with_description).chain([("global", json!({ "type": "object" }))]).collect::<BTreeMap<_, _>>(),
        "additionalProperties": false,
    });
    Ok(format!("{}\n", serde_json::to_string_pretty(&schema)?))
}
