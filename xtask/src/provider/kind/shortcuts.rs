//! Shortcuts that make a kind cluster start faster and are safe only on a disposable cluster.
//!
//! No other provider uses them; `plan` lists each.

use serde_json::{Value, json};

use crate::provider::kind::ADMIN;

/// The API server's certificate, which names the node. Scheduler, controller manager and kubelet serve their own node only; without a
/// certificate each generates two 2048-bit keys at start (`GenerateSelfSignedCertKey`), which takes 0.1 to 0.3 s each.
const CERTIFICATE: &str = "/etc/kubernetes/pki/apiserver.crt";
const KEY: &str = "/etc/kubernetes/pki/apiserver.key";

/// Descriptions for `plan`.
pub(super) const NAMES: [&str; 14] = [
    "etcd runs without fsync: after a power failure the cluster's objects may be lost; PostgreSQL's data is always flushed",
    "scheduler, controller manager and operator run without leader election, since there is one of each",
    "scheduler and controller manager run as cluster-admin, and the controllers may send 300 instead of 20 requests a second",
    "scheduler, controller manager and the kubelet of a one-node cluster use the API server's serving certificate",
    "kube-proxy syncs endpoints every 0.1 s, which would be too often in a large cluster",
    "the cluster's keys are ECDSA, which are faster to generate than RSA",
    "a one-node cluster cannot be upgraded or extended: etcd has a short election timeout, the node image from packages runs one CoreDNS pod, and certificates expire after a year",
    "operator, API server and (node image from packages) CoreDNS call each other directly, not through Services, which kube-proxy sets up later",
    "RBAC lets nodes read all PVCs and PVs, not only those of their pods: the node authorizer may see a pod after the kubelet does",
    "the node image from packages runs initdb for the first database instance while the cluster starts, with the operator's own code; the operator adopts the PVC instead of running its Job",
    "the operator's CRDs have no descriptions: `kubectl explain` shows none for its kinds",
    "the node image from packages leads to the API server's Service before kube-proxy does, and the node rejects connections with as much ICMP as it takes",
    "containers but those of Jobs, also those of the control plane of the node image from packages, ask for a tenth of the processors that their manifests name, so that more of them fit on one machine, unless a LimitRange or an autoscaler depends on it; no pod is of the class Guaranteed",
    "a LimitRange gives kube-proxy, which asks for nothing, as much of a busy processor as others get",
];

/// Adds the shortcuts to kind's configuration; settings in the file have priority. The node image from packages has its own patches for
/// kubeadm.
pub(super) fn add(document: &mut Value, own_image: bool) {
    let is_alone = super::config::is_alone(document);
    let mut etcd = vec![("unsafe-no-fsync", "true")];
    if is_alone {
        // etcd elects itself after one to six heartbeats, and the API server waits for that: half a second with etcd's defaults.
        etcd.extend([("heartbeat-interval", "20"), ("election-timeout", "100")]);
    }
    let cluster = json!({
        "kind": "ClusterConfiguration",
        "encryptionAlgorithm": "ECDSA-P256",
        "etcd": { "local": { "extraArgs": etcd.into_iter().map(argument).collect::<Vec<_>>() } },
    });
    super::config::push(document, "kubeadmConfigPatches", &cluster.to_string());
    // By default kube-proxy waits a second between two syncs, and a new endpoint works only after the next.
    super::config::push(document, "kubeadmConfigPatches", "kind: KubeProxyConfiguration\niptables:\n  minSyncPeriod: 100ms\n");
    // kind sets the scheduler's arguments only if there are feature gates.
    let gates = document.get("featureGates").and_then(Value::as_object).is_some_and(|it| !it.is_empty());
    let mut operations = Vec::new();
    // At start, about forty controllers each create a ServiceAccount and request its token, one after the other, and the first pods wait
    // for that. The default limit is twenty requests a second.
    let manager = [
        ("leader-elect", "false"),
        ("use-service-account-credentials", "false"),
        ("kubeconfig", ADMIN),
        ("tls-cert-file", CERTIFICATE),
        ("tls-private-key-file", KEY),
        ("kube-api-qps", "300"),
        ("kube-api-burst", "600"),
    ];
    operations.extend(additions(document, "controllerManager", "extraArgs", true, manager.map(argument).to_vec()));
    // With cluster-admin the scheduler need not wait for the RBAC objects that give it its permissions.
    let scheduler = [
        ("leader-elect", "false"),
        ("kubeconfig", ADMIN),
        ("authentication-kubeconfig", ADMIN),
        ("authorization-kubeconfig", ADMIN),
        ("tls-cert-file", CERTIFICATE),
        ("tls-private-key-file", KEY),
    ];
    operations.extend(additions(document, "scheduler", "extraArgs", gates, scheduler.map(argument).to_vec()));
    let volume = |name, path| json!({ "name": name, "hostPath": path, "mountPath": path, "readOnly": true, "pathType": "File" });
    let admin = volume("admin", ADMIN);
    operations.extend(additions(document, "controllerManager", "extraVolumes", false, vec![admin.clone()]));
    let read = vec![admin, volume("certificate", CERTIFICATE), volume("key", KEY)];
    operations.extend(additions(document, "scheduler", "extraVolumes", false, read));
    // The API server calls webhooks at the addresses of their pods, so it need not wait for kube-proxy.
    operations.extend(additions(document, "apiServer", "extraArgs", true, vec![argument(("enable-aggregator-routing", "true"))]));
    patch(document, "ClusterConfiguration", Value::from(operations));
    if is_alone {
        let serving = json!({ "kind": "KubeletConfiguration", "tlsCertFile": CERTIFICATE, "tlsPrivateKeyFile": KEY });
        super::config::push(document, "kubeadmConfigPatches", &serving.to_string());
        // `kubelet-finalize` would restart the kubelet just when the first pods could start.
        let skipped = ["kubelet-finalize", "upload-config"];
        let additions = skipped.map(|phase| json!({ "op": "add", "path": "/skipPhases/-", "value": phase }));
        patch(document, "InitConfiguration", json!(additions));
        if own_image {
            super::config::push(document, "kubeadmConfigPatches", "kind: InitConfiguration\npatches:\n  directory: /kind/patches\n");
        }
    }
}

fn argument((name, value): (&str, &str)) -> Value {
    json!({ "name": name, "value": value })
}

/// Adds to a list of a program's settings. A list exists only if kind or the file creates it.
fn additions(document: &Value, program: &str, list: &str, is_there: bool, values: Vec<Value>) -> Vec<Value> {
    let path = format!("/{program}/{list}");
    if is_there || has_list(document, &path) {
        return values.into_iter().map(|it| json!({ "op": "add", "path": format!("{path}/-"), "value": it })).collect();
    }
    vec![json!({ "op": "add", "path": path, "value": values })]
}

/// Whether the file's own patches, for all nodes or for one, create the list.
fn has_list(document: &Value, path: &str) -> bool {
    let nodes = document.get("nodes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let patches = std::iter::once(document).chain(nodes).filter_map(|it| it.get("kubeadmConfigPatches")?.as_array()).flatten();
    patches.filter_map(Value::as_str).filter_map(|it| serde_saphyr::from_str::<Value>(it).ok()).any(|it| it.pointer(path).is_some())
}

/// A JSON patch of kubeadm's configuration.
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

    /// The paths of the operations on a program's settings, in order.
    fn paths(mut document: Value, list: &str) -> Vec<String> {
        add(&mut document, true);
        let patch = document["kubeadmConfigPatchesJSON6902"][0]["patch"].as_str().unwrap().to_owned();
        let operations: Vec<Value> = serde_json::from_str(&patch).unwrap();
        operations.iter().filter_map(|it| it["path"].as_str()).filter(|it| it.starts_with(list)).map(str::to_owned).collect()
    }

    #[test]
    fn a_list_is_added_to_only_where_there_is_one() {
        assert_eq!(paths(json!({}), "/scheduler/extraArgs"), ["/scheduler/extraArgs"]);
        assert_eq!(paths(json!({ "featureGates": { "A": true } }), "/scheduler/extraArgs"), ["/scheduler/extraArgs/-"; 6]);
    }

    #[test]
    fn what_the_file_mounts_stays_mounted() {
        let theirs = json!(["kind: ClusterConfiguration\ncontrollerManager:\n  extraVolumes:\n  - name: theirs\n"]);
        for document in [json!({ "kubeadmConfigPatches": theirs }), json!({ "nodes": [{ "kubeadmConfigPatches": theirs }] })] {
            assert_eq!(paths(document.clone(), "/controllerManager/extraVolumes"), ["/controllerManager/extraVolumes/-"]);
            assert_eq!(paths(document, "/scheduler/extraVolumes"), ["/scheduler/extraVolumes"]);
        }
    }

    #[test]
    fn patches_of_the_file_stay() {
        let mut document = json!({ "kubeadmConfigPatches": ["theirs"], "kubeadmConfigPatchesJSON6902": [{ "kind": "theirs" }] });
        add(&mut document, true);
        assert_eq!(document["kubeadmConfigPatches"][0], "theirs");
        assert_eq!(document["kubeadmConfigPatchesJSON6902"][0]["kind"], "theirs");
        assert_eq!(document["kubeadmConfigPatchesJSON6902"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn further_nodes_find_what_they_need_to_join() {
        let rendered = |nodes: Value| {
            let mut document = json!({ "nodes": nodes });
            add(&mut document, true);
            document
        };
        let patched = |document: &Value| {
            document["kubeadmConfigPatchesJSON6902"].as_array().unwrap().iter().any(|it| it["kind"] == "InitConfiguration")
        };
        // A worker does not have the API server's certificate.
        let serves = |document: &Value| {
            let patches = document["kubeadmConfigPatches"].as_array().unwrap();
            patches.iter().filter_map(Value::as_str).any(|it| it.contains("KubeletConfiguration") && it.contains(CERTIFICATE))
        };
        let alone = rendered(json!([{ "role": "control-plane" }]));
        assert!(patched(&alone) && serves(&alone));
        let two = rendered(json!([{ "role": "control-plane" }, { "role": "worker" }]));
        assert!(!patched(&two) && !serves(&two));
    }
}
