//! Lets others build upon a cluster that kind is still making: its API server takes objects seconds before kind has finished.
//!
//! A head start and no more: what fails here fails again, and is told, when kind has ended.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, ObjectId},
    engine::Engine,
    env::Env,
    provider::kind::{ADMIN, TASK, export_kubeconfig, node},
};

/// The node's kubeconfig of somebody whom the API server asks for no rights, which kubeadm writes beside the administrator's.
const WITHOUT_RULES: &str = "/etc/kubernetes/super-admin.conf";

/// What kubeadm writes first.
const FIRST: &str = "/etc/kubernetes/pki/ca.crt";

const PAUSE: Duration = Duration::from_millis(50);

/// Says that the cluster is usable as soon as its API server takes objects from whom the instance's kubeconfig names.
pub(super) fn announce(env: &Env, engine: &Engine, ended: &AtomicBool) {
    let (mut cluster, mut giver, mut given) = (None, None, false);
    while !ended.load(Ordering::Relaxed) {
        if cluster.is_none() && engine.has_path(&node(env), ADMIN).is_ok_and(|it| it) && export_kubeconfig(env, engine).is_ok() {
            cluster = Cluster::open(env, &env.kubeconfig()).ok();
        }
        if let Some(cluster) = &cluster {
            if !given {
                giver = giver.or_else(|| without_rules(env, engine).ok());
                given = giver.as_ref().is_some_and(|it| it.apply_all(&rules()).is_ok());
            }
            let system = ObjectId::new("v1", "Namespace", "", "kube-system");
            if cluster.get(&system).is_ok_and(|it| it.is_some()) {
                return env.standing.usable(TASK);
            }
        }
        if env.interrupt.sleep(PAUSE).is_err() {
            return;
        }
    }
}

/// Calls what can be begun as soon as the node runs programs: when kubeadm does, since kind may start containerd anew before.
pub(super) fn once_it_runs(env: &Env, engine: &Engine, ended: &AtomicBool, begin: &(dyn Fn() + Sync)) {
    while !ended.load(Ordering::Relaxed) {
        if engine.has_path(&node(env), FIRST).is_ok_and(|it| it) {
            return begin();
        }
        if env.interrupt.sleep(PAUSE).is_err() {
            return;
        }
    }
}

/// Rules without which somebody would wait: the administrator's, as the API server and kubeadm make them, the one a second after it
/// serves, the other after that; and that a node may read claims and volumes. It may read those of its pods anyway, as soon as the API
/// server's other half has heard of the pod; a kubelet that hears of it first, and is refused, asks again after ten to fifteen seconds.
fn rules() -> [Value; 4] {
    let api = "rbac.authorization.k8s.io";
    let binding = |name: &str, role: &str, group: &str| {
        json!({
            "apiVersion": format!("{api}/v1"),
            "kind": "ClusterRoleBinding",
            "metadata": { "name": name },
            "roleRef": { "apiGroup": api, "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": api, "kind": "Group", "name": group }],
        })
    };
    [
        json!({
            "apiVersion": format!("{api}/v1"),
            "kind": "ClusterRole",
            "metadata": {
                "name": "cluster-admin",
                "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
                "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "true" },
            },
            "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }, { "nonResourceURLs": ["*"], "verbs": ["*"] }],
        }),
        binding("kubeadm:cluster-admins", "cluster-admin", "kubeadm:cluster-admins"),
        json!({
            "apiVersion": format!("{api}/v1"),
            "kind": "ClusterRole",
            "metadata": { "name": "pocdeploy:node-volumes" },
            "rules": [{ "apiGroups": [""], "resources": ["persistentvolumeclaims", "persistentvolumes"], "verbs": ["get"] }],
        }),
        binding("pocdeploy:node-volumes", "pocdeploy:node-volumes", "system:nodes"),
    ]
}

/// Through the address of the instance's kubeconfig, which reaches the node from here. Nothing of it is kept.
fn without_rules(env: &Env, engine: &Engine) -> Result<Cluster> {
    let parse = |text: &str| -> Result<Value> { serde_saphyr::from_str(text).context("read a kubeconfig") };
    let shown = engine.exec(&node(env), &["cat", WITHOUT_RULES])?;
    let user = parse(&shown.ok("read the node's kubeconfig")?)?["users"][0]["user"].take();
    let mut config = parse(&std::fs::read_to_string(env.kubeconfig()).context("read the instance's kubeconfig")?)?;
    config["users"][0]["user"] = user;
    Cluster::open_text(env, &config.to_string(), Some(Duration::from_secs(5)))
}
