//! kind's configuration: the project's file with the fields that the tool owns.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    errors::{Code, Problem},
    host_quirks::{Adaptation, Setting},
    provider::kind::shortcuts,
};

/// The values that the tool sets.
pub(crate) struct Settings {
    /// The application's port on the host.
    pub(crate) port: u16,
    pub(crate) adaptations: Vec<Adaptation>,
    /// Whether containerd uses mirrors.
    pub(crate) mirrors: bool,
    /// Whether the node image is the one from packages, which has the CNI configuration for its only node.
    pub(crate) own_image: bool,
    /// Whether to use shortcuts that are safe only on a disposable cluster.
    pub(crate) shortcuts: bool,
    /// Whether the node image from packages enforces NetworkPolicies.
    pub(crate) network_policies: bool,
}

/// The manifest in the node image from packages of the static pod that enforces NetworkPolicies.
pub(super) const POLICIES: &str = "/etc/kubernetes/manifests/policies.yaml";

/// The manifest in the node image from packages of the static pod that makes volumes.
const PROVISIONER: &str = "/etc/kubernetes/manifests/provisioner.yaml";
/// The configuration in the node image from packages of the network of the only node.
const ALONE: &str = "/etc/cni/net.d/10-pocdeploy.conflist";

/// The parsed file.
pub(super) fn parse(text: &str) -> Result<Value> {
    serde_saphyr::from_str(text).context("read deploy/kind/cluster.yaml")
}

/// The number of nodes; kind makes one if the file lists none.
pub(super) fn count(document: &Value) -> usize {
    document.get("nodes").and_then(Value::as_array).map_or(1, |it| it.len().max(1))
}

/// Whether the cluster has one node only.
pub(super) fn is_alone(document: &Value) -> bool {
    count(document) == 1
}

/// The configuration as JSON, which kind reads as YAML.
pub(crate) fn render(mut document: Value, settings: &Settings) -> Result<String> {
    set_port(&mut document, settings.port)?;
    for adaptation in &settings.adaptations {
        match adaptation.setting {
            Setting::KubeletInUserNamespace => {
                let gates = document
                    .as_object_mut()
                    .context("deploy/kind/cluster.yaml is not a mapping")?
                    .entry("featureGates")
                    .or_insert_with(|| json!({}));
                gates["KubeletInUserNamespace"] = json!(true);
            }
            Setting::AcceptCgroupV1 => {
                push(&mut document, "kubeadmConfigPatches", "kind: KubeletConfiguration\nfailCgroupV1: false\n");
                if settings.own_image {
                    without_systemds_groups(&mut document);
                }
            }
            // In containerd 2 this setting is in the runtime plugin.
            Setting::RestrictOomScoreAdj => {
                push(
                    &mut document,
                    "containerdConfigPatches",
                    "[plugins.\"io.containerd.cri.v1.runtime\"]\n  restrict_oom_score_adj = true\n",
                );
            }
        }
    }
    if settings.mirrors {
        let patch = "[plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n";
        push(&mut document, "containerdConfigPatches", patch);
    }
    if settings.own_image {
        document.as_object_mut().context("deploy/kind/cluster.yaml is not a mapping")?.entry("networking").or_insert_with(|| json!({}))["disableDefaultCNI"] =
            json!(true);
        // Several nodes have other objects for the same.
        let hidden: &[&str] = match (is_alone(&document), settings.network_policies) {
            (false, _) => &[POLICIES, PROVISIONER, ALONE],
            (true, false) => &[POLICIES],
            (true, true) => &[],
        };
        hide(&mut document, hidden);
    }
    if settings.shortcuts {
        shortcuts::add(&mut document, settings.own_image);
    }
    Ok(serde_json::to_string_pretty(&document)?)
}

/// Hides files of the image on every node. The kubelet reads regular files only, and containerd no further than a configuration that it can
/// read.
fn hide(document: &mut Value, paths: &[&str]) {
    for node in document.get_mut("nodes").and_then(Value::as_array_mut).into_iter().flatten() {
        for path in paths {
            let mount = json!({ "hostPath": "/dev/null", "containerPath": path, "readOnly": true });
            match node.get_mut("extraMounts").and_then(Value::as_array_mut) {
                Some(mounts) => mounts.push(mount),
                None => node["extraMounts"] = json!([mount]),
            }
        }
    }
}

/// Makes kubelet and containerd manage cgroups without systemd. With cgroup v1, systemd removes empty cgroups of controllers that a slice
/// does not use, sometimes while the kubelet creates a cgroup there: in one of fifteen clusters, one of the first pods starts ten to thirty
/// seconds late.
fn without_systemds_groups(document: &mut Value) {
    push(document, "kubeadmConfigPatches", "kind: KubeletConfiguration\ncgroupDriver: cgroupfs\n");
    let runtime = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n  SystemdCgroup = false\n";
    push(document, "containerdConfigPatches", runtime);
}

fn set_port(document: &mut Value, port: u16) -> Result<()> {
    let nodes = document.get_mut("nodes").and_then(Value::as_array_mut).map(Vec::as_mut_slice).unwrap_or_default();
    for node in nodes {
        let mappings = node.get_mut("extraPortMappings").and_then(Value::as_array_mut).map(Vec::as_mut_slice).unwrap_or_default();
        if let Some(mapping) = mappings.iter_mut().find(|it| it["containerPort"] == json!(super::NODE_PORT)) {
            mapping["hostPort"] = json!(port);
            return Ok(());
        }
    }
    let what = format!("deploy/kind/cluster.yaml maps no port to the node's {}", super::NODE_PORT);
    Err(Problem::config(what).code(Code::Manifest).hint("add extraPortMappings with that containerPort to a node").into())
}

pub(super) fn push(document: &mut Value, key: &str, patch: &str) {
    match document.get_mut(key).and_then(Value::as_array_mut) {
        Some(list) => list.push(json!(patch)),
        None => document[key] = json!([patch]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "kind: Cluster\nnodes:\n- role: control-plane\n  extraPortMappings:\n  - containerPort: 30080\n    hostPort: 8080\ncontainerdConfigPatches:\n- \"# theirs\"\n";

    #[test]
    fn an_ordinary_host_changes_nothing_but_the_port() {
        let out = render(
            parse(FILE).unwrap(),
            &Settings { port: 9000, adaptations: Vec::new(), mirrors: false, own_image: false, shortcuts: false, network_policies: true },
        )
        .unwrap();
        let value: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["nodes"][0]["extraPortMappings"][0]["hostPort"], 9000);
        assert_eq!(value["containerdConfigPatches"], json!(["# theirs"]));
        assert_eq!(value.get("featureGates"), None);
        assert_eq!(value.get("networking"), None);
        assert_eq!(value["nodes"][0].get("extraMounts"), None);
    }

    #[test]
    fn patches_of_the_file_stay_beside_ours() {
        let adaptations = [Setting::KubeletInUserNamespace, Setting::AcceptCgroupV1, Setting::RestrictOomScoreAdj]
            .map(|setting| Adaptation { setting, reason: String::new() })
            .to_vec();
        let out = render(
            parse(FILE).unwrap(),
            &Settings { port: 8080, adaptations, mirrors: true, own_image: true, shortcuts: true, network_policies: false },
        )
        .unwrap();
        let value: Value = serde_json::from_str(&out).unwrap();
        let patches =
            |what: &str| value["kubeadmConfigPatches"].as_array().unwrap().iter().filter(|it| it.as_str().unwrap().contains(what)).count();
        assert_eq!(value["featureGates"], json!({ "KubeletInUserNamespace": true }));
        assert_eq!(value["containerdConfigPatches"].as_array().unwrap().len(), 4);
        assert_eq!(patches("cgroupDriver: cgroupfs"), 1, "{out}");
        assert_eq!(value["nodes"][0]["extraMounts"][0]["containerPath"], POLICIES);
        assert!(value["kubeadmConfigPatches"][0].as_str().unwrap().contains("failCgroupV1: false"));
    }

    #[test]
    fn a_file_without_the_port_is_refused() {
        let error = render(
            parse("kind: Cluster\nnodes:\n- role: control-plane\n").unwrap(),
            &Settings { port: 1, adaptations: Vec::new(), mirrors: false, own_image: false, shortcuts: false, network_policies: true },
        )
        .unwrap_err();
        assert!(error.to_string().contains("30080"), "{error}");
    }

    #[test]
    fn several_nodes_hide_what_is_for_the_only_one() {
        let two = FILE.replace(
            "containerdConfigPatches",
            "- role: worker\n  extraMounts: [{hostPath: /theirs, containerPath: /theirs}]\ncontainerdConfigPatches",
        );
        let settings =
            Settings { port: 8080, adaptations: Vec::new(), mirrors: false, own_image: true, shortcuts: true, network_policies: true };
        let out = render(parse(&two).unwrap(), &settings).unwrap();
        let value: Value = serde_json::from_str(&out).unwrap();
        let hidden = |node: usize| -> Vec<&str> {
            value["nodes"][node]["extraMounts"].as_array().unwrap().iter().map(|it| it["containerPath"].as_str().unwrap()).collect()
        };
        assert_eq!(hidden(0), [POLICIES, PROVISIONER, ALONE]);
        assert_eq!(hidden(1), ["/theirs", POLICIES, PROVISIONER, ALONE]);
        // What only one node bears is left out.
        assert!(!out.contains("skipPhases") && !out.contains("election-timeout"), "{out}");
        let registry = render(parse(&two).unwrap(), &Settings { own_image: false, ..settings }).unwrap();
        assert!(!registry.contains(ALONE));
    }
}
