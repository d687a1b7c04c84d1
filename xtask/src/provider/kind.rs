//! A kind cluster on the engine, created by the real `kind`.
//!
//! The network shows the owner: each instance has its own network with our labels, and only a cluster on that network is ours. A file in
//! the node marks a finished cluster.

mod address;
mod bench;
mod cause;
mod certificates;
mod config;
mod containerd;
mod create;
mod early_access;
mod evidence;
mod files;
mod initdb;
mod instances;
mod kernel;
mod load;
mod loss;
mod mirrors;
mod network;
mod nodes;
mod orphans;
mod pause;
mod policies;
mod presence;
mod ready;
mod shortcuts;
mod thaw;

use anyhow::{Context as _, Result};

use crate::{
    cluster::{Cluster, certificate::Certificate},
    deploy::{image::PublishedImage, operator::CONTROL_PLANE},
    engines::{self, Managed},
    env::Env,
    errors::{Code, Problem},
    exposure::{Address, Exposure},
    fingerprint::Fingerprint,
    graph::TaskId,
    host_quirks::{self, Setting},
    images::{self, Chosen, Role},
    probe::Probe,
    provider::{
        Enforcement, Features, Instance, Loss, Node, Provider, Removal, Rest,
        evidence::Evidence,
        kind::{
            containerd::Containerd,
            files::Files,
            presence::{Present, foreign, owns_network, present, stranded},
        },
    },
    record, regular,
};

pub use crate::provider::kind::bench::{BENCH, bench_instance, images_of_bench};
pub use crate::provider::kind::instances::on_this_machine;
pub use crate::provider::kind::network::ensure_network;

pub struct Kind;

/// The label of the instance's network.
pub const INSTANCE_LABEL: &str = "dev.pocdeploy.instance";
pub const PROJECT_LABEL: &str = "dev.pocdeploy.project";

/// The node's port that the Service answers on; `deploy/kind/cluster.yaml` maps it to the host.
pub const NODE_PORT: u16 = 30080;
/// The API server's port in the node, which kind sets (`APIServerInternalPort`).
const API_PORT: u16 = 6443;
/// The node's kubeconfig for cluster-admin, which kubeadm writes before it starts the API server.
const ADMIN: &str = "/etc/kubernetes/admin.conf";
/// The node's kubeconfig that bypasses RBAC, which kubeadm also writes. It is never stored outside the node.
const WITHOUT_RULES: &str = "/etc/kubernetes/super-admin.conf";
/// Created in the node when its cluster is finished.
const FINISHED: &str = "/kind/pocdeploy-finished";
const TASK: TaskId = TaskId::Cluster;
/// kind removes these taints in its last step; without them the operator could start two seconds sooner.
const EARLY_TAINTS: [&str; 2] = [CONTROL_PLANE, "node.kubernetes.io/not-ready"];

fn node(env: &Env) -> String {
    format!("{}-control-plane", env.instance)
}

pub fn network(env: &Env) -> String {
    network_of(&env.instance)
}

fn network_of(instance: &str) -> String {
    format!("pocdeploy-{instance}")
}

impl Provider for Kind {
    fn check(&self, _env: &Env) -> Result<()> {
        Ok(())
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let mut out = Fingerprint::new();
        out.add("node image", images::reference(env, TASK, Role::Node)?);
        out.add("host", format!("{:?}", host_quirks::adaptations()));
        out.add("mirrors", format!("{:?}", env.config.images.mirrors));
        out.add("port", format!("{:?}", env.config.cluster.port));
        out.add("network policies", env.config.cluster.network_policies.to_string());
        let count = config::count(&nodes::document(env)?);
        if count > 1 {
            out.add("nodes", count.to_string());
        }
        out.add_file("deploy/kind/cluster.yaml", &env.files.file("deploy/kind/cluster.yaml")?)?;
        Ok(out)
    }

    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe> {
        let container = match present(env, env.engine()?)? {
            Present::Nothing => return Ok(Probe::Stale(format!("there is no cluster {}", env.instance))),
            Present::Foreign => return Err(foreign(env)),
            Present::Stranded(_) => return Err(stranded(env)),
            Present::HalfMade(_) => return Ok(Probe::Stale("the creation of the cluster was interrupted".to_owned())),
            Present::Finished(container) => container,
        };
        if !container.running {
            let how = if container.frozen { "frozen (`pause --keep-memory` or `docker pause`)" } else { "stopped" };
            return Ok(Probe::Stale(format!("the cluster's node is {how}")));
        }
        match pause::rest(env, env.engine()?)? {
            Some(Rest::Stopped) => return Ok(Probe::Stale("a node of the cluster is stopped".to_owned())),
            Some(Rest::Frozen) => {
                return Ok(Probe::Stale("a node of the cluster is frozen (`pause --keep-memory` or `docker pause`)".to_owned()));
            }
            None => {}
        }
        if !env.kubeconfig().is_file() {
            return Ok(Probe::Stale("the instance's kubeconfig is missing".to_owned()));
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
        // Recreating the cluster would delete the database, so the user must decide.
        Ok(Probe::Fresh(match record::read(env, TASK).and_then(|last| want.difference(&last)) {
            Some(change) => format!("{text}; {change} since it was created; to apply this, run `delete`, then `create`"),
            None => text,
        }))
    }

    fn ensure(&self, env: &Env, _want: &Fingerprint, early: &(dyn Fn() + Sync)) -> Result<()> {
        evidence::kept_on_failure(env, || bring_up(env, early))
    }

    fn connect(&self, env: &Env) -> Result<Option<String>> {
        if env.engine().is_ok() {
            return Ok(None);
        }
        Ok(match engines::find(env)? {
            Some(engine) => {
                env.set_engine(engine);
                None
            }
            None => Some("no container engine answers".to_owned()),
        })
    }

    fn published(&self, env: &Env, local: &str) -> Result<Option<PublishedImage>> {
        Ok(load::is_in_all(&Containerd::all(env)?, local)?.then(|| PublishedImage::new(local)))
    }

    fn withdraw(&self, env: &Env, repositories: &[String], kept: &[String]) -> Result<()> {
        load::withdraw(&Containerd::all(env)?, repositories, kept)
    }

    fn publish(&self, env: &Env, local: &str) -> Result<PublishedImage> {
        // Pods may be created before the image is loaded: the kubelet retries.
        load::into_all(env, &Containerd::all(env)?, local)?;
        Ok(PublishedImage::new(local))
    }

    fn name_for_pods(&self, _env: &Env, local: &str) -> Result<PublishedImage> {
        Ok(PublishedImage::new(local))
    }

    fn exposure(&self, env: &Env) -> Exposure {
        address::exposure(env)
    }

    fn address(&self, env: &Env) -> Result<Option<Address>> {
        address::of(env).map(Some)
    }

    fn features(&self, env: &Env) -> Features {
        // kind's own node image always enforces them.
        let ignores_policies = !env.config.cluster.network_policies && images::chosen(env, TASK).is_ok_and(|it| it == Chosen::Packages);
        // `inputs` reports a file that cannot be read.
        let is_alone = nodes::is_alone(env);
        let plain = Features { node_container: Some(node(env)), ignores_policies, has_workers: !is_alone, ..Features::default() };
        if !env.config.cluster.shortcuts {
            return plain;
        }
        Features {
            shortcuts: &shortcuts::NAMES,
            throw_away: true,
            early_taints: &EARLY_TAINTS,
            api_port_of_node: Some(API_PORT),
            initdb_ahead: Some(initdb::ahead),
            ..plain
        }
    }

    fn instances(&self, env: &Env) -> Result<Vec<Instance>> {
        on_this_machine(env)
    }

    fn certificates(&self, env: &Env) -> Result<Vec<Certificate>> {
        certificates::read(env.engine()?, &node(env))
    }

    fn policies(&self, env: &Env) -> Result<Option<Enforcement>> {
        policies::enforced(env, env.engine()?)
    }

    fn pause(&self, env: &Env, rest: Rest) -> Result<bool> {
        pause::pause(env, env.engine()?, rest)
    }

    fn resume(&self, env: &Env) -> Result<Vec<String>> {
        match present(env, env.engine()?)? {
            Present::Finished(_) => {
                let stopped = pause::stopped(env, env.engine()?)?;
                bring_up(env, &|| {})?;
                Ok(stopped)
            }
            Present::Foreign => Err(foreign(env)),
            Present::Stranded(_) => Err(stranded(env)),
            Present::Nothing | Present::HalfMade(_) => Err(pause::nothing(env)),
        }
    }

    fn may_lose(&self, env: &Env, node: &str) -> Result<()> {
        loss::is_possible(env, env.engine()?, node)
    }

    fn lose(&self, env: &Env, node: &str, how: Loss) -> Result<()> {
        loss::lose(env.engine()?, node, how)
    }

    fn bring_back(&self, env: &Env, node: &str, how: Loss) -> Result<()> {
        loss::bring_back(&env.engine()?.after_the_end(), node, how)
    }

    fn heal(&self, env: &Env) -> Result<()> {
        loss::heal(env, env.engine()?)
    }

    fn removal(&self, env: &Env) -> Removal {
        Removal {
            takes: format!("removes instance {}: its cluster with the database", env.instance),
            audited: "no container, network, volume or file of this instance is left".to_owned(),
        }
    }

    fn evidence(&self, env: &Env) -> Result<Evidence> {
        evidence::collect(env, env.engine()?)
    }

    fn kubeconfig(&self, env: &Env) -> Result<String> {
        early_access::kubeconfig(env, env.engine()?)
    }

    fn node(&self, env: &Env) -> Result<Option<Node>> {
        let (container, finished) = match present(env, env.engine()?)? {
            Present::HalfMade(container) => (container, false),
            Present::Finished(container) => (container, true),
            Present::Nothing | Present::Foreign | Present::Stranded(_) => return Ok(None),
        };
        if !container.running || container.leaving {
            return Ok(None);
        }
        // In an unfinished cluster, the administrator may lack RBAC permissions; this kubeconfig bypasses RBAC.
        let all_rights = if finished { false } else { env.engine()?.has_path(&node(env), WITHOUT_RULES)? };
        let kubeconfig = if all_rights { WITHOUT_RULES } else { ADMIN };
        Ok(Some(Node { container: node(env), finished, kubeconfig }))
    }

    fn destroy(&self, env: &Env, task: TaskId) -> Result<()> {
        if let Some(why) = self.connect(env)? {
            // The tool's own engine may be stopped and contain a stopped cluster of ours.
            if !env.cache("engine").is_dir() {
                env.note(
                    task,
                    format!("{why}, and pocdeploy has no engine of its own; it did not check whether another engine has this instance"),
                );
                return Ok(());
            }
            env.set_engine(Managed::new(env).start(env, task)?);
        }
        let engine = env.engine()?;
        orphans::end(env, engine)?;
        match present(env, engine)? {
            Present::Nothing => {}
            Present::Foreign => env.note(task, format!("container {} is not this tool's: left alone", node(env))),
            Present::HalfMade(container) | Present::Finished(container) | Present::Stranded(container) => {
                env.progress(task, format!("removing cluster {}", env.instance));
                nodes::remove(env, engine)?;
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
        bench::remove(env, engine, task)?;
        Ok(())
    }

    fn leftovers(&self, env: &Env) -> Result<Vec<String>> {
        let Ok(engine) = env.engine() else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        // Another network with this name, or another one with these labels, is not what this tool made.
        if owns_network(env, engine)? {
            out.extend(engine.containers_on_network(&network(env))?.iter().map(|it| format!("container {it}")));
            out.push(format!("network {}", network(env)));
        }
        out.extend(bench::leftovers(env, engine)?);
        Ok(out)
    }
}

fn bring_up(env: &Env, early: &(dyn Fn() + Sync)) -> Result<()> {
    let engine = env.engine()?;
    orphans::end(env, engine)?;
    let present = present(env, engine)?;
    let is_made = !matches!(&present, Present::Finished(_));
    let rest = if is_made { None } else { pause::rest(env, engine)? };
    let has_restarted = rest == Some(Rest::Stopped);
    let mut frozen = Vec::new();
    match present {
        Present::Foreign => return Err(foreign(env)),
        Present::Stranded(_) => return Err(stranded(env)),
        Present::Finished(_) => {
            if rest.is_some() {
                frozen = pause::start(env, engine)?;
            }
            // kind needs nine processes for the same, while the node needs the processors.
            match early_access::kubeconfig(env, engine) {
                Ok(text) => record::write_file(&env.kubeconfig(), text.as_bytes())?,
                Err(_) => create::export_kubeconfig(env, engine)?,
            }
        }
        Present::HalfMade(container) => {
            let kept =
                evidence::keep_before_removal(env, engine, &container).map(|it| format!("; its logs are in {it}")).unwrap_or_default();
            env.note(TASK, format!("removing the cluster whose creation was interrupted{kept}"));
            nodes::remove(env, engine)?;
            create::create(env, engine, early)?;
        }
        Present::Nothing => create::create(env, engine, early)?,
    }
    let cluster = Cluster::open(env, &env.kubeconfig())?;
    thaw::take_back(env, engine, &cluster, &frozen)?;
    let several = if is_made { nodes::objects(env)? } else { Vec::new() };
    ready::wait_until_ready(env, engine, &cluster, &several)?;
    ready::wait_until_true(env, engine, &cluster)?;
    if has_restarted || !several.is_empty() {
        ready::wait_until_enforced(env, engine)?;
    }
    mirrors::pass(env, engine)?;
    Files::of(env, engine)?.context("the node has stopped")?.touch(FINISHED)
}

/// The configuration for kind: the project's file, adaptations to this host, and shortcuts if enabled.
pub fn configuration(env: &Env, port: u16, shortcuts: bool) -> Result<String> {
    let mut adaptations = host_quirks::adaptations();
    let own_image = images::chosen(env, TASK)? == Chosen::Packages;
    if own_image {
        // The node image from packages has it already, and changing it here would restart containerd.
        adaptations.retain(|it| it.setting != Setting::RestrictOomScoreAdj);
    }
    for adaptation in &adaptations {
        env.detail(TASK, format!("{:?}: {}", adaptation.setting, adaptation.reason));
    }
    let mirrors = !env.config.images.mirrors.is_empty();
    let network_policies = env.config.cluster.network_policies;
    let knows_image_policy = own_image || config::knows_image_policy(&images::registry::upstream(env, Role::Node)?);
    let settings = config::Settings { port, adaptations, mirrors, own_image, shortcuts, network_policies, knows_image_policy };
    config::render(nodes::document(env)?, &settings)
}

fn file(env: &Env) -> Result<String> {
    regular::read_to_string(&env.files.file("deploy/kind/cluster.yaml")?).context("read deploy/kind/cluster.yaml")
}
