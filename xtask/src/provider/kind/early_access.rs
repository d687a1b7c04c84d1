//! Starts work on a cluster that kind is still creating: its API server accepts objects seconds before kind has finished.
//!
//! Errors here are ignored: if they persist, the work after kind's end reports them.

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
    errors::Problem,
    images::{self, Chosen},
    provider::kind::{ADMIN, API_PORT, TASK, WITHOUT_RULES, files::Files, node, nodes},
    record,
};

/// The first file that kubeadm writes.
const FIRST: &str = "/etc/kubernetes/pki/ca.crt";

const PAUSE: Duration = Duration::from_millis(50);

/// Reports the cluster as usable as soon as its API server accepts objects from the user of the instance's kubeconfig.
pub(super) fn announce(env: &Env, engine: &Engine, ended: &AtomicBool) {
    let Some(files) = once_there_is(env, engine, ended, ADMIN) else { return };
    let (mut clusters, mut given) = (None, false);
    while !ended.load(Ordering::Relaxed) {
        if clusters.is_none() {
            clusters = open(env, engine, &files).ok();
        }
        if let Some((cluster, giver)) = &clusters {
            given = given || nodes::objects(env).is_ok_and(|it| giver.apply_all(&[rules().to_vec(), it].concat()).is_ok());
            let system = ObjectId::new("v1", "Namespace", "", "kube-system");
            if cluster.get(&system).is_ok_and(|it| it.is_some()) {
                if env.config.cluster.shortcuts {
                    // The patches for a single node are in the node image from packages.
                    let is_tenth = nodes::is_alone(env) && images::chosen(env, TASK).is_ok_and(|it| it == Chosen::Packages);
                    if cluster.apply(&share(is_tenth)).is_err() && env.interrupt.sleep(PAUSE).is_ok() {
                        continue;
                    }
                }
                return env.task_progress.usable(TASK);
            }
        }
        if env.interrupt.sleep(PAUSE).is_err() {
            return;
        }
    }
}

/// Calls `begin` when kubeadm starts. Not before, since kind may restart containerd.
pub(super) fn once_it_runs(env: &Env, engine: &Engine, ended: &AtomicBool, begin: &(dyn Fn() + Sync)) {
    if once_there_is(env, engine, ended, FIRST).is_some() {
        begin();
    }
}

/// Waits for a file in the node; `None` if kind ends or the run is interrupted before.
fn once_there_is<'a>(env: &Env, engine: &'a Engine, ended: &AtomicBool, path: &str) -> Option<Files<'a>> {
    let mut files = None;
    while !ended.load(Ordering::Relaxed) {
        if files.is_none() {
            files = Files::of(env, engine).ok().flatten();
        }
        if files.as_ref().is_some_and(|it| it.has(path).is_ok_and(|it| it)) {
            return files;
        }
        env.interrupt.sleep(PAUSE).ok()?;
    }
    None
}

/// Two clients: one with the instance's kubeconfig (a copy of the node's `admin.conf`), one with `super-admin.conf`, which bypasses RBAC.
/// The second kubeconfig is never written to disk. kind writes the same instance's kubeconfig when it ends.
fn open(env: &Env, engine: &Engine, files: &Files<'_>) -> Result<(Cluster, Cluster)> {
    let server = server(env, engine)?;
    let kubeconfig = |path: &str| at(&files.read(path)?, &server).with_context(|| format!("read the node's {path}"));
    record::write_file(&env.kubeconfig(), kubeconfig(ADMIN)?.as_bytes())?;
    let giver = Cluster::open_text(env, &kubeconfig(WITHOUT_RULES)?, Some(Duration::from_secs(5)))?;
    Ok((Cluster::open(env, &env.kubeconfig())?, giver))
}

/// The API server's URL on this machine.
fn server(env: &Env, engine: &Engine) -> Result<String> {
    let container = engine.container(&node(env))?.context("the node is gone")?;
    let port = container.published(API_PORT).context("the node publishes no port of its API server")?;
    Ok(format!("https://127.0.0.1:{port}"))
}

/// The node's `admin.conf` with the URL on this machine: the same kubeconfig that kind writes for a finished cluster.
pub(super) fn kubeconfig(env: &Env, engine: &Engine) -> Result<String> {
    let files = Files::of(env, engine)?.context("the node does not run")?;
    if !files.has(ADMIN)? {
        return Err(Problem::new(format!("kubeadm did not come so far as to write {ADMIN}")).into());
    }
    at(&files.read(ADMIN)?, &server(env, engine)?).with_context(|| format!("read the node's {ADMIN}"))
}

/// A kubeconfig of the node, with the API server's URL on this machine.
fn at(text: &str, server: &str) -> Result<String> {
    let mut config: Value = serde_saphyr::from_str(text)?;
    // kubeadm writes the key last, so without it the file is incomplete.
    config.pointer("/users/0/user/client-key-data").context("it holds no key")?;
    let cluster = config.pointer_mut("/clusters/0/cluster").context("it names no cluster")?;
    cluster["server"] = json!(server);
    Ok(config.to_string())
}

/// RBAC objects that the API server and kubeadm create too late. The cluster-admin bindings of the administrator: the API server creates
/// one a second after it serves, kubeadm the other after that. And permission for nodes to read PVCs and PVs: the node authorizer allows a
/// node to read those of its pods only after it has seen the pod; a kubelet that sees the pod first is refused, and retries after ten to
/// fifteen seconds.
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

/// The request of a container of the system whose manifest names none: kubeadm's kube-proxy. Linux would give it two thousandths of a processor
/// while others want more, so that on a busy machine Services lead to pods that are gone, and a node that starts waits for its rules. `is_tenth`:
/// whether the control plane asks for a tenth, too.
fn share(is_tenth: bool) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": { "name": "pocdeploy-share", "namespace": "kube-system" },
        "spec": { "limits": [{ "type": "Container", "defaultRequest": { "cpu": if is_tenth { "10m" } else { "100m" } } }] },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_of_the_node_leads_to_its_port_on_this_side() {
        let text =
            "clusters:\n- cluster:\n    certificate-authority-data: AA==\n    server: https://node:6443\n  name: c\nusers:\n- user:\n";
        let whole = format!("{text}    client-key-data: AA==\n");
        let config: Value = serde_json::from_str(&at(&whole, "https://127.0.0.1:40001").unwrap()).unwrap();
        let cluster = &config["clusters"][0]["cluster"];
        assert_eq!((&cluster["server"], &cluster["certificate-authority-data"]), (&json!("https://127.0.0.1:40001"), &json!("AA==")));
        assert!(at(text, "").is_err(), "cut off while it is written");
    }
}
