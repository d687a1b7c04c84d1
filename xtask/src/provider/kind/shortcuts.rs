//! What makes a cluster on the user's own machine come up faster and is fit for a cluster that is thrown away only.
//!
//! No other provider has any of it, and `plan` names each.

use serde_json::{Value, json};

use crate::provider::kind::ADMIN;

/// What is done differently, in words, for `plan`.
pub(super) const NAMES: [&str; 8] = [
    "etcd does not wait for the disk: a machine that loses power may lose the cluster's objects; PostgreSQL's own data is always flushed",
    "scheduler, controller manager and operator hold no elections, since there is one of each",
    "the controllers share one identity that may do everything and the API server's certificate, and call the API server as often as they like",
    "kube-proxy takes in a new endpoint within a tenth of a second, which would be too often for many",
    "the cluster's keys are of elliptic curves, which are made in no time",
    "a cluster of one node is made without what upgrades and further nodes would need, and its kubelet's certificate ends after a year",
    "operator and API server call each other at their own addresses, which are there before their Services' are",
    "the operator's definitions are without their descriptions: `kubectl explain` has no words for its kinds",
];

/// Adds them to kind's configuration; what the file itself says stays.
pub(super) fn add(document: &mut Value) {
    super::config::push(
        document,
        "kubeadmConfigPatches",
        "kind: ClusterConfiguration\nencryptionAlgorithm: ECDSA-P256\netcd:\n  local:\n    extraArgs:\n    - name: unsafe-no-fsync\n      value: \"true\"\n",
    );
    // By default a second lies between two of its looks, and a new endpoint is of no use before the next.
    super::config::push(document, "kubeadmConfigPatches", "kind: KubeProxyConfiguration\niptables:\n  minSyncPeriod: 100ms\n");
    // kind writes the scheduler's arguments only where there are feature gates, and a list can be added to only where there is one.
    let gates = document.get("featureGates").and_then(Value::as_object).is_some_and(|it| !it.is_empty());
    let no_election = json!({ "name": "leader-elect", "value": "false" });
    let scheduler = if gates {
        json!({ "op": "add", "path": "/scheduler/extraArgs/-", "value": no_election })
    } else {
        json!({ "op": "add", "path": "/scheduler/extraArgs", "value": [no_election] })
    };
    // Some forty controllers each make an account and ask for its token when they start, one after the other, and the first pods
    // wait for that. Twenty calls a second are what they may make by default.
    let manager = [
        ("leader-elect", "false"),
        ("use-service-account-credentials", "false"),
        ("kubeconfig", ADMIN),
        // Else it makes a key of its own first, which takes half a second. It serves its own node only.
        ("tls-cert-file", "/etc/kubernetes/pki/apiserver.crt"),
        ("tls-private-key-file", "/etc/kubernetes/pki/apiserver.key"),
        ("kube-api-qps", "300"),
        ("kube-api-burst", "600"),
    ]
    .map(|(name, value)| json!({ "op": "add", "path": "/controllerManager/extraArgs/-", "value": { "name": name, "value": value } }));
    let admin = json!({ "name": "admin", "hostPath": ADMIN, "mountPath": ADMIN, "readOnly": true, "pathType": "File" });
    let admin = json!({ "op": "add", "path": "/controllerManager/extraVolumes", "value": [admin] });
    // Webhooks are called at their pods' addresses, so that kube-proxy need not be there first.
    let routing = json!({ "name": "enable-aggregator-routing", "value": "true" });
    let routing = json!({ "op": "add", "path": "/apiServer/extraArgs/-", "value": routing });
    patch(document, "ClusterConfiguration", Value::from([&[scheduler, admin, routing], manager.as_slice()].concat()));
    if super::config::is_alone(document) {
        // `kubelet-finalize` would start the kubelet once more, when the first pods could start.
        let skipped = ["kubelet-finalize", "upload-config"];
        let additions = skipped.map(|phase| json!({ "op": "add", "path": "/skipPhases/-", "value": phase }));
        patch(document, "InitConfiguration", json!(additions));
    }
}

/// A JSON patch of what kubeadm reads.
fn patch(document: &mut Value, kind: &str, operations: Value) {
    let patch = json!({ "group": "kubeadm.k8s.io", "version": "v1beta4", "kind": kind, "patch": operations.to_string() });
    match document.get_mut("kubeadmConfigPatchesJSON6902").and_then(Value::as_array_mut) {
        Some(list) => list.push(patch),
        None => document["kubeadmConfigPatchesJSON6902"] = json!([patch]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedulers_list_is_added_to_only_where_there_is_one() {
        let patch = |mut document: Value| {
            add(&mut document);
            document["kubeadmConfigPatchesJSON6902"][0]["patch"].as_str().unwrap().to_owned()
        };
        assert!(patch(json!({})).contains(r#""path":"/scheduler/extraArgs","value":[{"#));
        assert!(patch(json!({ "featureGates": { "A": true } })).contains(r#""path":"/scheduler/extraArgs/-","value":{"#));
    }

    #[test]
    fn patches_of_the_file_stay() {
        let mut document = json!({ "kubeadmConfigPatches": ["theirs"], "kubeadmConfigPatchesJSON6902": [{ "kind": "theirs" }] });
        add(&mut document);
        assert_eq!(document["kubeadmConfigPatches"][0], "theirs");
        assert_eq!(document["kubeadmConfigPatchesJSON6902"][0]["kind"], "theirs");
        assert_eq!(document["kubeadmConfigPatchesJSON6902"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn further_nodes_find_what_they_need_to_join() {
        let patched = |nodes: Value| {
            let mut document = json!({ "nodes": nodes });
            add(&mut document);
            document["kubeadmConfigPatchesJSON6902"].as_array().unwrap().iter().any(|it| it["kind"] == "InitConfiguration")
        };
        assert!(patched(json!([{ "role": "control-plane" }])));
        assert!(!patched(json!([{ "role": "control-plane" }, { "role": "worker" }])));
    }
}
