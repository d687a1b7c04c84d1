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
    /// Whether the node's kubelet knows the policy below.
    pub(crate) knows_image_policy: bool,
}

/// An image that was loaded into the node serves every pod. By default a kubelet lets a pod use an image that another pod's kubelet has
/// pulled only by the name and with the credentials of that pull, and takes two names of one image for the same: an image that is loaded as
/// `polls:1` cannot be used any more once a pod has pulled it as `registry.example/polls:1`, and the kubelet tries to pull it.
/// Source: Kubernetes 1.36.3, pkg/kubelet/images/pullmanager (`MustAttemptImagePull`); on by default since 1.35.
const IMAGE_POLICY: &str = "kind: KubeletConfiguration\nimagePullCredentialsVerificationPolicy: NeverVerify\n";
/// The first minor version of Kubernetes 1 whose kubelet accepts the field without a feature gate.
const IMAGE_POLICY_SINCE: u32 = 35;

/// Whether the tag of a node image (`kindest/node:v1.36.3@sha256:…`) says that its kubelet has the policy.
pub(super) fn knows_image_policy(reference: &str) -> bool {
    let tag = reference.split('@').next().and_then(|it| it.rsplit_once(":v1.")).map(|it| it.1);
    let minor = tag.and_then(|it| it.split(['.', '-']).next());
    minor.and_then(|it| it.parse().ok()).is_some_and(|it: u32| it >= IMAGE_POLICY_SINCE)
}

/// The manifest in the node image from packages of the static pod that enforces NetworkPolicies.
pub(super) const POLICIES: &str = "/etc/kubernetes/manifests/policies.yaml";

/// The manifest in the node image from packages of the static pod that makes volumes.
const PROVISIONER: &str = "/etc/kubernetes/manifests/provisioner.yaml";
/// The configuration in the node image from packages of the network of the only node.
const ALONE: &str = "/etc/cni/net.d/10-pocdeploy.conflist";
/// The part of the kubelet's unit in the node image from packages that makes rules before kube-proxy does.
const BEFORE_KUBE_PROXY: &str = "/etc/systemd/system/kubelet.service.d/22-before-kube-proxy.conf";

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
    if settings.knows_image_policy {
        push(&mut document, "kubeadmConfigPatches", IMAGE_POLICY);
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
        if !settings.shortcuts {
            hide(&mut document, &[BEFORE_KUBE_PROXY]);
        }
    }
    if settings.shortcuts {
        shortcuts::add(&mut document, settings.own_image);
    }
    Ok(serde_json::to_string_pretty(&document)?)
}

/// Hides files of the image on every node. The kubelet reads regular files only, containerd no further than a configuration that it can
/// read, and systemd takes a part of a unit that is a device for a removed one.
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

    fn settings(port: u16) -> Settings {
        Settings {
            port,
            adaptations: Vec::new(),
            mirrors: false,
            own_image: false,
            shortcuts: false,
            network_policies: true,
            knows_image_policy: false,
        }
    }

    #[test]
    fn an_ordinary_host_changes_nothing_but_the_port() {
        let out = render(parse(FILE).unwrap(), &settings(9000)).unwrap();
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
            &Settings {
                adaptations,
                mirrors: true,
                own_image: true,
                shortcuts: true,
                network_policies: false,
                knows_image_policy: true,
                ..settings(8080)
            },
        )
        .unwrap();
        let value: Value = serde_json::from_str(&out).unwrap();
        let patches =
            |what: &str| value["kubeadmConfigPatches"].as_array().unwrap().iter().filter(|it| it.as_str().unwrap().contains(what)).count();
        assert_eq!(value["featureGates"], json!({ "KubeletInUserNamespace": true }));
        assert_eq!(value["containerdConfigPatches"].as_array().unwrap().len(), 4);
        assert_eq!(patches("cgroupDriver: cgroupfs"), 1, "{out}");
        assert_eq!(patches("imagePullCredentialsVerificationPolicy: NeverVerify"), 1, "{out}");
        assert_eq!(value["nodes"][0]["extraMounts"][0]["containerPath"], POLICIES);
        assert!(value["kubeadmConfigPatches"][0].as_str().unwrap().contains("failCgroupV1: false"));
    }

    #[test]
    fn the_policy_of_images_is_set_where_the_tag_says_that_it_is_known() {
        let known = ["docker.io/kindest/node:v1.36.3@sha256:00", "10.0.0.1:5000/node:v1.35.0", "node:v1.40-team"];
        let unknown = ["docker.io/kindest/node@sha256:00", "kindest/node:v1.34.9", "kindest/node:latest", "host:5000/node", "node:v2.1.40"];
        assert!(known.into_iter().all(knows_image_policy));
        assert!(!unknown.into_iter().any(knows_image_policy));
    }

    #[test]
    fn a_file_without_the_port_is_refused() {
        let error = render(parse("kind: Cluster\nnodes:\n- role: control-plane\n").unwrap(), &settings(1)).unwrap_err();
        assert!(error.to_string().contains("30080"), "{error}");
    }

    #[test]
    fn several_nodes_hide_what_is_for_the_only_one() {
        let two = FILE.replace(
            "containerdConfigPatches",
            "- role: worker\n  extraMounts: [{hostPath: /theirs, containerPath: /theirs}]\ncontainerdConfigPatches",
        );
        let settings = Settings { own_image: true, shortcuts: true, ..settings(8080) };
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

    #[test]
    fn without_shortcuts_the_node_makes_no_rules_of_its_own() {
        let hides = |own_image, shortcuts| {
            let settings = Settings { own_image, shortcuts, ..settings(8080) };
            render(parse(FILE).unwrap(), &settings).unwrap().contains(BEFORE_KUBE_PROXY)
        };
        assert_eq!([hides(true, true), hides(true, false), hides(false, false)], [false, true, false]);
    }
    /// The calls of iptables that the node's unit makes for the API server's Service, with this manifest of the API server. `has` says whether
    /// the rules are there already.
    #[expect(clippy::disallowed_methods, reason = "the unit's own line runs in a shell, without a run of the tool")]
    fn rules_with(manifest: Option<&str>, has: bool) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        if let Some(text) = manifest {
            std::fs::write(path("manifest"), text).unwrap();
        }
        std::fs::write(path("address"), "172.18.0.2").unwrap();
        let answer = if has { 0 } else { 1 };
        let calls = path("calls").display().to_string();
        let fake = format!("#!/bin/sh\necho \"$*\" >>{calls}\ncase \"$*\" in *-C*) exit {answer};; esac\n");
        std::fs::write(path("iptables"), fake).unwrap();
        std::fs::set_permissions(path("iptables"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let unit = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/images/node/before-kube-proxy.conf");
        let unit = std::fs::read_to_string(unit).unwrap();
        let line = unit
            .lines()
            .find_map(|it| it.strip_prefix("ExecStartPre=-/bin/sh -euc \"")?.strip_suffix('"').filter(|it| it.contains("iptables")));
        let program = line.unwrap().replace("\\\\", "\\");
        let program = program.replace("/etc/kubernetes/manifests/kube-apiserver.yaml", &path("manifest").display().to_string());
        let program = program.replace("/kind/old-ipv4", &path("address").display().to_string());
        let folders = format!("{}:{}", root.path().display(), std::env::var("PATH").unwrap());
        std::process::Command::new("sh").args(["-euc", &program]).env("PATH", folders).output().unwrap();
        std::fs::read_to_string(path("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_rule_of_the_api_servers_service_is_made_once_and_only_beside_an_api_server() {
        let manifest = |range: &str| format!("  - kube-apiserver\n    - --service-cluster-ip-range={range}\n    - --v=0\n");
        let rule = |action: &str, chain: &str, service: &str| {
            format!("-w -t nat {action} {chain} -d {service} -p tcp --dport 443 -j DNAT --to-destination 172.18.0.2:6443")
        };
        let made = rules_with(Some(&manifest("10.96.0.0/16")), false);
        let chains = ["PREROUTING", "OUTPUT"];
        assert_eq!(made, chains.iter().flat_map(|it| [rule("-C", it, "10.96.0.1"), rule("-A", it, "10.96.0.1")]).collect::<Vec<_>>());
        assert_eq!(rules_with(Some(&manifest("10.7.0.0/20")), true), chains.map(|it| rule("-C", it, "10.7.0.1")));
        // A worker; a range whose first address this does not find.
        assert_eq!(rules_with(None, false), Vec::<String>::new());
        assert_eq!(rules_with(Some(&manifest("fd00:10:96::/112")), false), Vec::<String>::new());
    }
}
