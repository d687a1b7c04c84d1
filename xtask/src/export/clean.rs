//! Removes the tool's own marks from objects, and makes a Job that needs nobody to wait for the database.

use serde_json::{Value, json};

use crate::{
    deploy::objects::INSTANCE,
    export::{Image, Settings, name},
    fingerprint::Fingerprint,
};

/// The prefix of the tool's annotations and labels.
const OURS: &str = "dev.pocdeploy/";
/// The label with which the operator, the database's policies and the pods find each other: it stays.
const CLIENT: &str = "dev.pocdeploy/database-client";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// A Job may wait this long for a new database, in seconds.
const DEADLINE: u64 = 900;

/// Removes the tool's labels and annotations, in the object and in its pod template.
pub fn clean(object: &mut Value) {
    match object {
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => {
            if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
                for list in ["labels", "annotations"] {
                    let Some(entries) = metadata.get_mut(list).and_then(Value::as_object_mut) else { continue };
                    entries.remove(INSTANCE);
                    entries.retain(|key, _| key == CLIENT || !key.starts_with(OURS));
                    if entries.get(MANAGED_BY).is_some_and(|it| it == "pocdeploy") {
                        entries.remove(MANAGED_BY);
                    }
                    if entries.is_empty() {
                        metadata.remove(list);
                    }
                }
            }
            fields.values_mut().for_each(clean);
        }
        _ => {}
    }
}

/// Calls `change` with every container in the object.
fn containers(object: &mut Value, change: &mut dyn FnMut(&mut Value)) {
    match object {
        Value::Array(items) => items.iter_mut().for_each(|it| containers(it, change)),
        Value::Object(fields) => {
            for (key, inner) in fields {
                if matches!(key.as_str(), "containers" | "initContainers") {
                    inner.as_array_mut().into_iter().flatten().for_each(&mut *change);
                } else {
                    containers(inner, change);
                }
            }
        }
        _ => {}
    }
}

/// Replaces each reference of these images by the image's name. `references` are the references in the objects, in the images' order.
/// Returns the images of other containers that have no digest.
pub fn image_names(object: &mut Value, images: &[Image], references: &[String]) -> Vec<String> {
    let mut others = Vec::new();
    containers(object, &mut |container| {
        let Some(reference) = container["image"].as_str() else { return };
        match references.iter().position(|it| it == reference) {
            Some(index) => container["image"] = json!(images[index].name),
            None if !reference.contains("@sha256:") => others.push(reference.to_owned()),
            None => {}
        }
    });
    others
}

/// A Job for files: its name has a hash of its content, image and settings, since a Job cannot be changed. With `wait`, the database's
/// host and PostgreSQL's image, a container before the others waits until the database answers.
pub fn job_for_files(mut job: Value, images: &[Image], settings: &[Settings], wait: Option<(&str, &str)>) -> Value {
    if let Some((host, image)) = wait {
        // Without a name libpq asks for that of the process' user, and the image knows no user 10001: pg_isready would never ask.
        let spec = &mut job["spec"];
        let limit = spec["activeDeadlineSeconds"].as_u64().unwrap_or_default().max(DEADLINE);
        spec["activeDeadlineSeconds"] = json!(limit);
        let pod = &mut spec["template"]["spec"];
        let security = pod["containers"][0]["securityContext"].clone();
        let mut first = json!({
            "name": "wait-for-database",
            "image": image,
            "command": ["sh", "-c", format!(
                "PATH=\"$(echo /usr/lib/postgresql/*/bin):$PATH\"; until pg_isready --quiet --username=postgres --host={host} --timeout=3; do sleep 2; done"
            )],
            "resources": { "requests": { "cpu": "10m", "memory": "16Mi" }, "limits": { "cpu": "500m", "memory": "64Mi" } },
        });
        if !security.is_null() {
            first["securityContext"] = security;
        }
        let rest = pod["initContainers"].as_array().cloned().unwrap_or_default();
        pod["initContainers"] = json!([vec![first], rest].concat());
    }
    let mut key = Fingerprint::new();
    key.add("job", job.to_string());
    for image in images.iter().filter(|it| it.is_in(&job)) {
        key.add(format!("image {}", image.name), &image.digest);
    }
    let used = super::Exported::used(&job, "ConfigMap");
    for it in settings.iter().filter(|it| used.contains(&it.name)) {
        key.add(format!("settings {}", it.name), format!("{:?}", it.data));
    }
    job["metadata"]["name"] = json!(format!("{}-{}", name(&job), key.short()));
    job
}

/// The name of a Job's own copy of a ConfigMap: a Job cannot be changed, and runs before the other pods get new settings.
pub(super) fn copy_of(name: &str) -> String {
    format!("{name}-jobs")
}

/// The Job with its own copies of these ConfigMaps.
pub(super) fn with_own_settings(job: &Value, settings: &[Settings]) -> Value {
    let mut out = job.clone();
    rename(&mut out["spec"], settings);
    out
}

/// Renames the ConfigMaps that a pod refers to.
fn rename(pod: &mut Value, settings: &[Settings]) {
    match pod {
        Value::Array(items) => items.iter_mut().for_each(|it| rename(it, settings)),
        Value::Object(fields) => {
            for (field, inner) in fields {
                let is_reference = matches!(field.as_str(), "configMapRef" | "configMapKeyRef" | "configMap");
                match inner["name"].as_str().filter(|_| is_reference) {
                    Some(name) if settings.iter().any(|it| it.name == name) => inner["name"] = json!(copy_of(name)),
                    _ => rename(inner, settings),
                }
            }
        }
        _ => {}
    }
}
