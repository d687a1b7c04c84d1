//! API groups that need no CRD.

/// The API groups of Kubernetes 1.36 that the tool knows without a CRD, and that of Gateway API. The suffix `.k8s.io` is not sufficient:
/// `snapshot.storage.k8s.io` and `metrics.k8s.io` are not built in.
const BUILT_IN: [&str; 22] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "gateway.networking.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// Whether a group is in this list.
pub fn is_built_in(group: &str) -> bool {
    BUILT_IN.contains(&group)
}
