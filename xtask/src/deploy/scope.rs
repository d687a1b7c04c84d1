//! Which kinds are cluster-scoped: the list of `kubectl api-resources --namespaced=false` on Kubernetes 1.36, those of CloudNativePG and
//! Gateway API, and those in the folder's own CRDs.

use serde_json::Value;

use crate::deploy::manifests::Manifest;

/// Group and kinds.
const OF_CLUSTER: [(&str, &[&str]); 15] = [
    ("", &["ComponentStatus", "Namespace", "Node", "PersistentVolume"]),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    ("certificates.k8s.io", &["CertificateSigningRequest", "ClusterTrustBundle"]),
    ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"]),
    ("gateway.networking.k8s.io", &["GatewayClass"]),
    ("networking.k8s.io", &["IPAddress", "IngressClass", "ServiceCIDR"]),
    ("node.k8s.io", &["RuntimeClass"]),
    ("postgresql.cnpg.io", &["ClusterImageCatalog"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"]),
    ("resource.k8s.io", &["DeviceClass", "DeviceTaintRule", "ResourceSlice"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("storage.k8s.io", &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"]),
    ("storagemigration.k8s.io", &["StorageVersionMigration"]),
];

/// Whether the object is cluster-scoped. `own` are cluster-scoped kinds of the folder's CRDs.
pub fn is_of_cluster(object: &Value, own: &[(String, String)]) -> bool {
    let (group, kind) = (group(object), object["kind"].as_str().unwrap_or_default());
    OF_CLUSTER.iter().any(|(of, kinds)| *of == group && kinds.contains(&kind)) || own.iter().any(|(of, it)| of == group && it == kind)
}

/// Group and kind of every cluster-scoped kind in the folder's CRDs.
pub fn of_definitions(manifests: &[Manifest]) -> Vec<(String, String)> {
    let definitions = manifests.iter().map(|it| &it.object).filter(|it| it["kind"] == "CustomResourceDefinition");
    let text = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of_cluster = definitions.filter(|it| it.pointer("/spec/scope").is_some_and(|it| it == "Cluster"));
    of_cluster.map(|it| (text(it, "/spec/group"), text(it, "/spec/names/kind"))).collect()
}

/// `apps` for `apps/v1`, empty for `v1`.
pub fn group(object: &Value) -> &str {
    object["apiVersion"].as_str().unwrap_or_default().rsplit_once('/').map_or("", |(group, _)| group)
}
