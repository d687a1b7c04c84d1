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
                given = giver.as_ref().is_some_and(|it| it.apply_all(&rights()).is_ok());
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

/// The administrator's rights, as the API server and kubeadm make them: the one looks a second after it serves whether they are there,
/// the other after that.
fn rights() -> [Value; 2] {
    let api = "rbac.authorization.k8s.io";
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
        json!({
            "apiVersion": format!("{api}/v1"),
            "kind": "ClusterRoleBinding",
            "metadata": { "name": "kubeadm:cluster-admins" },
            "roleRef": { "apiGroup": api, "kind": "ClusterRole", "name": "cluster-admin" },
            "subjects": [{ "apiGroup": api, "kind": "Group", "name": "kubeadm:cluster-admins" }],
        }),
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
