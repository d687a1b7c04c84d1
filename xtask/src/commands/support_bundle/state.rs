//! Collects from engine and cluster: objects without the values of Secrets, events, logs of containers and of the node.

use serde_json::{Value, json};

use crate::{cluster::Cluster, commands::support_bundle::archive::Bundle, deploy::operator, engines, env::Env, provider::provider};

/// The number of last lines of a container's log.
const LINES: i64 = 2000;

/// The relevant kinds in a namespace.
const KINDS: [(&str, &str); 16] = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("batch/v1", "Job"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "Event"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "ServiceAccount"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "ResourceQuota"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("postgresql.cnpg.io/v1", "Cluster"),
];

const CLUSTER_KINDS: [(&str, &str); 4] =
    [("v1", "Node"), ("v1", "Namespace"), ("v1", "PersistentVolume"), ("storage.k8s.io/v1", "StorageClass")];

/// Entries of a Secret that are not secret: masking `polls` and `5432` everywhere would make the texts unreadable.
const PUBLIC: [&str; 9] = ["username", "user", "dbname", "host", "port", "ca.crt", "tls.crt", "namespace", "fqdn-uri"];

fn namespaces(env: &Env) -> [&str; 2] {
    [env.config.namespace.as_str(), operator::NAMESPACE]
}

/// The values of all Secrets, to mask them in all texts. They are not stored.
pub(super) fn secrets(env: &Env, cluster: &Cluster) -> Vec<String> {
    use base64::Engine as _;
    let mut out = Vec::new();
    for namespace in namespaces(env) {
        for secret in cluster.list("v1", "Secret", namespace, "").unwrap_or_default() {
            let entries = secret["data"].as_object().into_iter().flatten().filter(|(name, _)| !PUBLIC.contains(&name.as_str()));
            for encoded in entries.filter_map(|(_, value)| value.as_str()) {
                let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
                out.push(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
    out
}

pub(super) fn cluster(bundle: &mut Bundle, env: &Env, cluster: &Cluster) {
    for namespace in namespaces(env) {
        for (api_version, kind) in KINDS {
            objects(bundle, cluster, api_version, kind, namespace);
        }
        for pod in cluster.list("v1", "Pod", namespace, "").unwrap_or_default() {
            logs(bundle, cluster, namespace, &pod);
        }
    }
    for (api_version, kind) in CLUSTER_KINDS {
        objects(bundle, cluster, api_version, kind, "");
    }
}

fn objects(bundle: &mut Bundle, cluster: &Cluster, api_version: &str, kind: &str, namespace: &str) {
    let place = if namespace.is_empty() { "cluster" } else { namespace };
    match cluster.list(api_version, kind, namespace, "") {
        Ok(found) if found.is_empty() => {}
        Ok(found) => {
            let found: Vec<Value> = found.into_iter().map(|it| without_values(kind, it)).collect();
            bundle.value(&format!("cluster/{place}/{kind}.json"), &json!(found));
        }
        Err(error) => bundle.lack(&format!("objects of kind {kind} in {place}"), &format!("{error:#}")),
    }
}

/// Removes the server's fields, and the values of a Secret.
fn without_values(kind: &str, mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if kind == "Secret" {
        for field in ["data", "stringData"] {
            for value in object.get_mut(field).and_then(Value::as_object_mut).into_iter().flat_map(|it| it.values_mut()) {
                *value = json!("[redacted]");
            }
        }
    }
    object
}

fn logs(bundle: &mut Bundle, cluster: &Cluster, namespace: &str, pod: &Value) {
    let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let lists = ["/spec/initContainers", "/spec/containers"];
    let containers = lists.iter().filter_map(|it| pod.pointer(it)?.as_array()).flatten();
    for container in containers.filter_map(|it| it["name"].as_str()) {
        match cluster.last_lines(namespace, name, container, LINES) {
            Ok(text) => bundle.add(&format!("cluster/{namespace}/logs/{name}/{container}.log"), &text),
            Err(error) => bundle.lack(&format!("the log of {name}/{container}"), &format!("{error:#}")),
        }
    }
}

/// The engine's description of itself, and the nodes' evidence.
pub(super) fn engine(bundle: &mut Bundle, env: &Env) {
    let found = match env.engine() {
        Ok(engine) => Ok(Some(engine.clone())),
        Err(_) => engines::find(env),
    };
    let engine = match found {
        Ok(Some(engine)) => engine,
        Ok(None) => return bundle.lack("the engine and the node", "no container engine answers"),
        Err(error) => return bundle.lack("the engine and the node", &format!("{error:#}")),
    };
    env.set_engine(engine.clone());
    match engine.info().and_then(|it| Ok(serde_json::to_value(it)?)) {
        Ok(info) => bundle.value("engine/info.json", &info),
        Err(error) => bundle.lack("the engine's word on itself", &format!("{error:#}")),
    }
    match provider(env).evidence(env) {
        Ok(evidence) => {
            evidence.files.iter().for_each(|(name, text)| bundle.add(&format!("node/{name}"), text));
            evidence.missing.iter().for_each(|it| bundle.lack("a log of the node", it));
        }
        Err(error) => bundle.lack("the node's logs", &format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_keeps_the_names_of_its_entries_and_nothing_of_their_values() {
        let object = json!({
            "metadata": { "name": "s", "managedFields": [1], "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "canary", "a": "b" } },
            "data": { "password": "Y2FuYXJ5" }, "stringData": { "x": "canary" },
        });
        let expected = json!({ "metadata": { "name": "s", "annotations": { "a": "b" } }, "data": { "password": "[redacted]" }, "stringData": { "x": "[redacted]" } });
        assert_eq!(without_values("Secret", object), expected);
    }
}
