//! Which groups of the API need no definition.

/// Groups of Kubernetes itself on 1.36, whose kinds are known without a definition; Gateway API's is among them. A name that
/// ends with `.k8s.io` is no sign: `snapshot.storage.k8s.io` and `metrics.k8s.io` come from elsewhere.
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

/// Whether a group is one of Kubernetes' own.
pub fn is_built_in(group: &str) -> bool {
    BUILT_IN.contains(&group)
}
