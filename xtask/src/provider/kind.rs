//! A kind cluster on the engine, through the real `kind`.
//!
//! Ownership is a network: each instance has one of its own that carries our labels, and only a cluster on that
//! network is ours. A file in the node tells a finished cluster from one whose creation was cut off.

mod certificates;
mod config;
mod containerd;
mod create;
mod files;
mod first_files;
mod head_start;
mod load;
mod network;
mod shortcuts;

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use xshell::cmd;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, certificate::Certificate, verdict},
    engine::{Container, Engine},
    env::Env,
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    graph::TaskId,
    host::{self, Setting},
    images::{self, Chosen, Role},
    probe::Probe,
    provider::{
        Provider,
        kind::{containerd::Containerd, files::Files, network::of_bench},
    },
    reach::Reach,
    record, regular,
};

pub(crate) use crate::provider::kind::network::ensure_network;

pub struct Kind;

/// The labels of the instance's network.
pub const INSTANCE_LABEL: &str = "dev.pocdeploy.instance";
pub const PROJECT_LABEL: &str = "dev.pocdeploy.project";

/// The copy of the project that `bench` measures in.
pub const BENCH: &str = "bench/project";

/// The node's port that the Service answers on; `deploy/kind/cluster.yaml` maps it to the host.
pub const NODE_PORT: u16 = 30080;
/// The node's port that the API server listens on: kind's own choice (`APIServerInternalPort`).
const API_PORT: u16 = 6443;
/// The node's kubeconfig of somebody who may do everything, which kubeadm writes before it starts the API server.
const ADMIN: &str = "/etc/kubernetes/admin.conf";
/// Written into the node when its creation ended well.
const FINISHED: &str = "/kind/pocdeploy-finished";
const TASK: TaskId = TaskId::Cluster;
/// A small machine under load needs one; kubeadm itself gives up after four.
const READY_LIMIT: Duration = Duration::from_secs(240);

fn node(env: &Env) -> String {
    format!("{}-control-plane", env.instance)
}

pub(crate) fn network(env: &Env) -> String {
    format!("pocdeploy-{}", env.instance)
}

/// What there is under the instance's name.
enum Present {
    Nothing,
    /// Somebody else's cluster of the same name.
    Foreign,
    /// Ours, cut off before it was finished.
    HalfMade(Container),
    Finished(Container),
}

fn present(env: &Env, engine: &Engine) -> Result<Present> {
    let Some(container) = engine.container(&node(env))? else { return Ok(Present::Nothing) };
    if !owns_network(env, engine)? || !container.networks.contains(&network(env)) {
        return Ok(Present::Foreign);
    }
    // One that the engine is removing answers no question about its files.
    Ok(if !container.leaving && engine.has_path(&node(env), FINISHED)? {
        Present::Finished(container)
    } else {
        Present::HalfMade(container)
    })
}

fn owns_network(env: &Env, engine: &Engine) -> Result<bool> {
    let Some(labels) = engine.network_labels(&network(env))? else { return Ok(false) };
    Ok(labels.get(INSTANCE_LABEL) == Some(&env.instance))
}

fn foreign(env: &Env) -> anyhow::Error {
    Problem::new(format!("there is a container {} that this tool did not create; it is left alone", node(env)))
        .code(Code::NameTaken)
        .hint("set another `name` in Pocdeploy.toml, or remove that cluster yourself")
        .into()
}

impl Provider for Kind {
    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let mut out = Fingerprint::new();
        out.add("node image", images::reference(env, TASK, Role::Node)?);
        out.add("host", format!("{:?}", host::adaptations()));
        out.add("mirrors", format!("{:?}", env.config.images.mirrors));
        out.add("port", format!("{:?}", env.config.cluster.port));
        out.add_file("deploy/kind/cluster.yaml", &env.files.file("deploy/kind/cluster.yaml")?)?;
        Ok(out)
    }

    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe> {
        let container = match present(env, env.engine()?)? {
            Present::Nothing => return Ok(Probe::Stale(format!("there is no cluster {}", env.instance))),
            Present::Foreign => return Err(foreign(env)),
            Present::HalfMade(_) => return Ok(Probe::Stale("the creation of the cluster was cut off".to_owned())),
            Present::Finished(container) => container,
        };
        if !container.running {
            return Ok(Probe::Stale("the cluster's node is stopped".to_owned()));
        }
        if !env.kubeconfig().is_file() {
            return Ok(Probe::Stale("the instance's kubeconfig is gone".to_owned()));
        }
        let cluster = match Cluster::open(env, &env.kubeconfig()) {
            Ok(cluster) => cluster,
            Err(error) => return Ok(Probe::Stale(format!("the instance's kubeconfig cannot be used: {error:#}"))),
        };
        if let Err(why) = cluster.is_ready() {
            env.interrupt.check()?;
            return Ok(Probe::Stale(format!("the API server does not answer: {why}")));
        }
        let text = format!("cluster {} answers", env.instance);
        // Re-creation would lose the database: it is the user's decision.
        Ok(Probe::Fresh(match record::read(env, TASK).and_then(|last| want.difference(&last)) {
            Some(change) => format!("{text}; {change} since it was made: `delete` and `create` take that in"),
            None => text,
        }))
    }

    fn ensure(&self, env: &Env, _want: &Fingerprint, early: &(dyn Fn() + Sync)) -> Result<()> {
        let engine = env.engine()?;
        match present(env, engine)? {
            Present::Foreign => return Err(foreign(env)),
            Present::Finished(container) => {
                if !container.running {
                    engine.start(&node(env))?;
                }
                export_kubeconfig(env, engine)?;
            }
            Present::HalfMade(_) => {
                env.note(TASK, "removing the cluster whose creation was cut off");
                engine.remove_container(&node(env))?;
                create::create(env, engine, early)?;
            }
            Present::Nothing => create::create(env, engine, early)?,
        }
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        wait_until_ready(env, &cluster)?;
        wait_until_true(env, engine, &cluster)?;
        pass_mirrors(env, engine)?;
        Files::of(env, engine)?.context("the node has stopped")?.touch(FINISHED)
    }

    fn first_files(&self, env: &Env, database: &Value) -> Result<Option<Value>> {
        // The program that makes them is in the recipes' own node image, and the volume must be on that node.
        if images::chosen(env, TASK)? != Chosen::Packages || !config::is_alone(&config::parse(&file(env)?)?) {
            return Ok(None);
        }
        first_files::make(env, env.engine()?, database)
    }

    fn has_image(&self, env: &Env, reference: &str) -> Result<bool> {
        Containerd::of(env)?.has_image(reference)
    }

    fn publish(&self, env: &Env, reference: &str) -> Result<String> {
        load::load(env, &Containerd::of(env)?, reference)?;
        Ok(reference.to_owned())
    }

    fn reach(&self, env: &Env) -> Result<Reach> {
        let container = env.engine()?.container(&node(env))?.with_context(|| format!("container {} is gone", node(env)))?;
        let Some(port) = container.published(NODE_PORT) else {
            let what = format!("the node publishes no port for {NODE_PORT}/tcp");
            return Err(Problem::config(what)
                .code(Code::Manifest)
                .hint("deploy/kind/cluster.yaml must map it: extraPortMappings with containerPort 30080")
                .into());
        };
        Ok(Reach {
            service: "NodePort",
            origin: format!("http://localhost:{port}"),
            plain_hosts: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            node_port: Some(NODE_PORT),
        })
    }

    fn shortcuts(&self) -> &'static [&'static str] {
        &shortcuts::NAMES
    }

    fn api_port_of_each_node(&self, env: &Env) -> Result<Option<u16>> {
        Ok(config::is_alone(&config::parse(&file(env)?)?).then_some(API_PORT))
    }

    fn certificates(&self, env: &Env) -> Result<Vec<Certificate>> {
        certificates::read(env.engine()?, &node(env))
    }

    fn destroy(&self, env: &Env, task: TaskId) -> Result<()> {
        let engine = env.engine()?;
        match present(env, engine)? {
            Present::Nothing => {}
            Present::Foreign => env.note(task, format!("container {} is not this tool's: left alone", node(env))),
            Present::HalfMade(container) | Present::Finished(container) => {
                env.progress(task, format!("removing cluster {}", env.instance));
                engine.remove_container(&node(env))?;
                let left = engine.existing_volumes(&container.volumes)?;
                if !left.is_empty() {
                    return Err(Problem::new(format!("volumes of the removed node are still there: {}", left.join(", ")))
                        .code(Code::Leftovers)
                        .into());
                }
            }
        }
        if owns_network(env, engine)? {
            engine.remove_network(&network(env))?;
        }
        for network in of_bench(env, engine)? {
            for name in engine.containers_on_network(&network)? {
                env.progress(task, format!("removing {name}, which a bench left"));
                engine.remove_container(&name)?;
            }
            engine.remove_network(&network)?;
        }
        Ok(())
    }

    fn leftovers(&self, env: &Env) -> Result<Vec<String>> {
        let engine = env.engine()?;
        let mut out = Vec::new();
        for name in engine.containers_on_network(&network(env))? {
            out.push(format!("container {name}"));
        }
        for name in engine.networks_with_label(&format!("{INSTANCE_LABEL}={}", env.instance))? {
            out.push(format!("network {name}"));
        }
        for network in of_bench(env, engine)? {
            out.extend(engine.containers_on_network(&network)?.into_iter().map(|it| format!("container {it} of a bench")));
            out.push(format!("network {network} of a bench"));
        }
        Ok(out)
    }
}

/// What kind gets to read: the project's file, what this host needs, and shortcuts or none.
pub(crate) fn configuration(env: &Env, port: u16, shortcuts: bool) -> Result<String> {
    let mut adaptations = host::adaptations();
    let own_image = images::chosen(env, TASK)? == Chosen::Packages;
    if own_image {
        // The node image of the recipes has it already: setting it here would restart containerd.
        adaptations.retain(|it| it.setting != Setting::RestrictOomScoreAdj);
    }
    for adaptation in &adaptations {
        env.detail(TASK, format!("{:?}: {}", adaptation.setting, adaptation.reason));
    }
    let mirrors = !env.config.images.mirrors.is_empty();
    config::render(&file(env)?, &config::Settings { port, adaptations, mirrors, own_image, shortcuts })
}

fn file(env: &Env) -> Result<String> {
    regular::read_to_string(&env.files.file("deploy/kind/cluster.yaml")?).context("read deploy/kind/cluster.yaml")
}

/// Asked of kind each time: the file may be gone or of an earlier cluster.
fn export_kubeconfig(env: &Env, engine: &Engine) -> Result<()> {
    let kind = images::kind_binary(env, TASK)?;
    let name = &env.instance;
    let sh = env.tools.shell(&env.project)?;
    let text = env.tools.read(TASK, cmd!(sh, "{kind} get kubeconfig --name {name}").env("DOCKER_HOST", &engine.host))?;
    record::write_file(&env.kubeconfig(), text.as_bytes())
}

fn wait_until_ready(env: &Env, cluster: &Cluster) -> Result<()> {
    let api = Wait::new(env, "the API server", READY_LIMIT);
    cluster.wait_for(env, TASK, &api, || Ok(cluster.is_ready().map_or_else(Verdict::NotYet, |()| Verdict::Yes)))?;
    let id = ObjectId::new("v1", "Node", "", &node(env));
    cluster.wait_for_object(env, TASK, &Wait::new(env, "the node", READY_LIMIT), &id, verdict::node)
}

/// After a node's start the API server still shows what was true before its stop: waits until no pod claims a container
/// that was started before the node was.
fn wait_until_true(env: &Env, engine: &Engine, cluster: &Cluster) -> Result<()> {
    let started = engine.container(&node(env))?.map(|it| it.started).unwrap_or_default();
    let wait = Wait::new(env, "the node's pods to be looked at again", READY_LIMIT);
    cluster.wait_for(env, TASK, &wait, || Ok(seen_since(&cluster.list("v1", "Pod", "", "")?, &started)))
}

fn seen_since(pods: &[Value], started: &str) -> Verdict {
    // To the second: the one clock writes fractions, the other none.
    let second = |it: &str| it.chars().take("2026-01-01T00:00:00".len()).collect::<String>();
    for pod in pods {
        for container in pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten() {
            let Some(since) = container.pointer("/state/running/startedAt").and_then(Value::as_str) else { continue };
            if second(since) < second(started) {
                let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                return Verdict::NotYet(format!("pod {name} is shown as it was before"));
            }
        }
    }
    Verdict::Yes
}

/// Tells the node's containerd which mirror stands in for which registry.
fn pass_mirrors(env: &Env, engine: &Engine) -> Result<()> {
    if env.config.images.mirrors.is_empty() || images::chosen(env, TASK)? != Chosen::Registry {
        return Ok(());
    }
    let authorities = images::registry::host_authorities();
    if let Some(bundle) = &authorities {
        let text = std::fs::read(bundle).with_context(|| format!("read {}", bundle.display()))?;
        write_in_node(env, engine, images::registry::NODE_AUTHORITIES, text)?;
    }
    for (name, text) in images::registry::hosts_files(&env.config.images.mirrors, authorities.is_some()) {
        write_in_node(env, engine, &format!("/etc/containerd/certs.d/{name}"), text.into_bytes())?;
    }
    Ok(())
}

fn write_in_node(env: &Env, engine: &Engine, path: &str, content: Vec<u8>) -> Result<()> {
    let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
    engine.exec(&node(env), &["mkdir", "-p", folder])?.ok("make a folder in the node")?;
    let input = futures_util::stream::iter([Ok(bytes::Bytes::from(content))]);
    engine.exec_with_input(&node(env), &["tee", path], input)?.ok("write a file in the node")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_pod_claims_from_before_the_start_is_not_believed() {
        let pod = |since: &str| json!({ "metadata": { "name": "p" }, "status": { "containerStatuses": [{ "state": { "running": { "startedAt": since } } }] } });
        let started = "2026-11-24T08:00:55.123456789Z";
        assert_eq!(seen_since(&[pod("2026-11-24T08:00:55Z"), json!({})], started), Verdict::Yes);
        assert_eq!(seen_since(&[pod("2026-11-24T07:59:00Z")], started), Verdict::NotYet("pod p is shown as it was before".to_owned()));
    }
}
