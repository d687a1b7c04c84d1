//! An existing cluster: a context of a kubeconfig, a registry for its nodes, our own namespaces.
//!
//! Every object that we create has the instance's label. Nothing else in the cluster is changed, and only objects with the label are
//! removed.

mod kubeconfig;
mod operator;
mod remove;

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, ObjectId, Verdict, certificate::Certificate, verdict},
    config::{Expose, Secret},
    deploy::{image::PublishedImage, objects::INSTANCE},
    env::Env,
    errors::{Code, Problem},
    exposure::{Address, Exposure, ServiceType},
    fingerprint::Fingerprint,
    graph::TaskId,
    probe::Probe,
    provider::{Features, Instance, Provider, Removal, cluster, ingress_address, registry},
    record, setup,
};

pub(super) use crate::provider::existing::remove::all as remove_all;

/// The cluster of a context in the user's kubeconfig.
pub(super) struct Existing;

const TASK: TaskId = TaskId::Cluster;
/// An existing cluster answers at once.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// The owner of the namespace with the application's name.
enum Namespace {
    Absent,
    Ours,
    Foreign,
}

fn namespace(env: &Env, cluster: &Cluster) -> Result<Namespace> {
    let name = &env.config.namespace;
    Ok(match cluster.get(&ObjectId::new("v1", "Namespace", "", name))? {
        None => Namespace::Absent,
        Some(found) if found["metadata"]["labels"][INSTANCE] == env.instance.as_str() => Namespace::Ours,
        Some(_) => Namespace::Foreign,
    })
}

fn foreign(env: &Env) -> anyhow::Error {
    let (name, context) = (&env.config.namespace, kubeconfig::context(env));
    Problem::new(format!("context {context} has a namespace {name} that is not of instance {}; nothing was changed", env.instance))
        .code(Code::NameTaken)
        .hint("set another `namespace` in Pocdeploy.toml")
        .into()
}

impl Provider for Existing {
    fn check(&self, env: &Env) -> Result<()> {
        kubeconfig::select(env).map(|_| ())
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let selected = kubeconfig::select(env)?;
        let mut out = Fingerprint::new();
        out.add("context", kubeconfig::context(env));
        out.add("server", &selected.server);
        out.add("namespace", &env.config.namespace);
        Ok(out)
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        let selected = kubeconfig::select(env)?;
        if !kubeconfig::is_written(env, &selected) {
            return Ok(Probe::Stale("the instance's kubeconfig is not that of the context".to_owned()));
        }
        let cluster = cluster(env)?;
        if let Err(why) = cluster.is_ready() {
            env.interrupt.check()?;
            return Ok(Probe::Stale(format!("{} does not answer: {why}", selected.server)));
        }
        match namespace(env, &cluster)? {
            Namespace::Foreign => Err(foreign(env)),
            Namespace::Absent => Ok(Probe::Stale(format!("there is no namespace {}", env.config.namespace))),
            Namespace::Ours => Ok(Probe::Fresh(format!("{} answers, namespace {} is ours", selected.server, env.config.namespace))),
        }
    }

    fn ensure(&self, env: &Env, _want: &Fingerprint, _early: &(dyn Fn() + Sync)) -> Result<()> {
        let selected = kubeconfig::select(env)?;
        refuse_another_server(env, &selected.server)?;
        record::write_file(&env.kubeconfig(), selected.text.as_bytes())?;
        let cluster = cluster(env)?;
        cluster.wait_until_ready(env, TASK, READY_LIMIT)?;
        let there = namespace(env, &cluster)?;
        if matches!(there, Namespace::Foreign) {
            return Err(foreign(env));
        }
        refuse_without_storage(&cluster)?;
        let operator = operator::find(env, &cluster)?;
        if matches!(there, Namespace::Absent) {
            setup::consent(env, TASK, &what_is_done(env, &selected.server, operator.as_ref()))?;
        }
        cluster.apply(&json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "name": env.config.namespace, "labels": { INSTANCE: env.instance } },
        }))?;
        record::write_json(&env.work(SERVER), &selected.server)
    }

    fn connect(&self, env: &Env) -> Result<Option<String>> {
        let selected = kubeconfig::select(env)?;
        if !kubeconfig::is_written(env, &selected) {
            record::write_file(&env.kubeconfig(), selected.text.as_bytes())?;
        }
        match cluster(env)?.is_ready() {
            Ok(()) => Ok(None),
            Err(why) => {
                env.interrupt.check()?;
                Ok(Some(format!("{} does not answer: {why}", selected.server)))
            }
        }
    }

    fn published(&self, env: &Env, local: &str) -> Result<Option<PublishedImage>> {
        registry::published(env, local)
    }

    fn publish(&self, env: &Env, local: &str) -> Result<PublishedImage> {
        registry::publish(env, local)
    }

    fn name_for_pods(&self, env: &Env, local: &str) -> Result<PublishedImage> {
        registry::name_for_pods(env, local)
    }

    fn exposure(&self, env: &Env) -> Exposure {
        let service = match expose(env) {
            Expose::LoadBalancer => ServiceType::LoadBalancer,
            Expose::NodePort => ServiceType::NodePort(None),
            Expose::Ingress => ServiceType::ClusterIp,
        };
        Exposure::of(service)
    }

    fn address(&self, env: &Env) -> Result<Option<Address>> {
        if expose(env) == Expose::Ingress {
            return ingress_address(env).map(Some);
        }
        let cluster = cluster(env)?;
        let kind = self.exposure(env).service.name();
        let services = cluster.list("v1", "Service", &env.config.namespace, &format!("{INSTANCE}={}", env.instance))?;
        let Some(service) = services.iter().find(|it| it["spec"]["type"] == kind) else { return Ok(None) };
        Ok(match expose(env) {
            Expose::LoadBalancer => Address::of_load_balancer(service),
            Expose::NodePort => node_address(&cluster.list("v1", "Node", "", "")?).and_then(|it| Address::of_node_port(service, &it)),
            Expose::Ingress => None,
        })
    }

    fn features(&self, _env: &Env) -> Features {
        Features::default()
    }

    fn operator_of_others(&self, env: &Env) -> Result<Option<String>> {
        Ok(operator::find(env, &cluster(env)?)?.map(|it| it.to_string()))
    }

    fn pull_credentials(&self, env: &Env) -> Result<Option<Secret>> {
        registry::pull_credentials(env)
    }

    fn instances(&self, env: &Env) -> Result<Vec<Instance>> {
        if let Some(why) = self.connect(env)? {
            return Err(Problem::new(why).code(Code::Api).into());
        }
        let found = cluster(env)?.list("v1", "Namespace", "", INSTANCE)?;
        let name = |it: &Value| it["metadata"]["labels"][INSTANCE].as_str().unwrap_or_default().to_owned();
        let mut names: Vec<String> = found.iter().map(name).collect();
        names.sort();
        names.dedup();
        let project = format!("context {}", kubeconfig::context(env));
        Ok(names.into_iter().map(|name| Instance { name, state: "running", url: String::new(), project: project.clone() }).collect())
    }

    fn certificates(&self, _env: &Env) -> Result<Vec<Certificate>> {
        Ok(Vec::new())
    }

    fn removal(&self, env: &Env) -> Removal {
        let (instance, context, namespace) = (&env.instance, kubeconfig::context(env), &env.config.namespace);
        Removal {
            takes: format!("removes instance {instance} from context {context}: namespace {namespace} with the database"),
            audited: "nothing in the cluster carries this instance's label, and no file of it is left".to_owned(),
        }
    }

    fn destroy(&self, env: &Env, task: TaskId) -> Result<()> {
        if let Some(why) = self.connect(env)? {
            return Err(Problem::new(format!(
                "could not check what instance {} has in context {}: {why}",
                env.instance,
                kubeconfig::context(env)
            ))
            .code(Code::Api)
            .hint("start the cluster, or correct the kubeconfig, and run `cargo xtask delete` again")
            .into());
        }
        remove::all(env, &cluster(env)?, task)
    }

    fn leftovers(&self, env: &Env) -> Result<Vec<String>> {
        if self.connect(env)?.is_some() {
            return Ok(Vec::new());
        }
        remove::leftovers(env, &cluster(env)?)
    }
}

/// The API server on which the instance was created, since a context may change its server.
const SERVER: &str = "record/server.json";

fn refuse_another_server(env: &Env, server: &str) -> Result<()> {
    let Some(earlier) = record::read_json::<String>(&env.work(SERVER)).filter(|it| it != server) else { return Ok(()) };
    let (context, instance) = (kubeconfig::context(env), &env.instance);
    Err(Problem::new(format!("context {context} names API server {server}, but instance {instance} was created on {earlier}"))
        .code(Code::NameTaken)
        .hint("restore the context and run `cargo xtask delete` first, or set another `name` in Pocdeploy.toml")
        .into())
}

fn refuse_without_storage(cluster: &Cluster) -> Result<()> {
    let classes = cluster.list("storage.k8s.io/v1", "StorageClass", "", "")?;
    let mark = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
    if classes.iter().any(|it| it.pointer(mark).is_some_and(|it| it == "true")) {
        return Ok(());
    }
    Err(Problem::requirement("the cluster has no default StorageClass, so the database would get no volume")
        .code(Code::NoVolume)
        .hint("mark one as default, or name one as `spec.storage.storageClass` in deploy/database")
        .into())
}

/// The announcement before anything is created in the cluster.
fn what_is_done(env: &Env, server: &str, operator: Option<&operator::Found>) -> String {
    let (context, namespace) = (kubeconfig::context(env), &env.config.namespace);
    let operator = match operator {
        Some(found) => format!("uses {found}"),
        None => "installs CloudNativePG for the whole cluster (CRDs, webhooks, cluster roles, namespace cnpg-system)".to_owned(),
    };
    let reached = match expose(env) {
        Expose::LoadBalancer => "a Service of type LoadBalancer, over plain HTTP",
        Expose::NodePort => "a Service of type NodePort, over plain HTTP",
        Expose::Ingress => "the Ingress of the manifests",
    };
    format!(
        "deploys to context {context} ({server}): creates namespace {namespace}, {operator}, pushes images to {}, and publishes the application by {reached}",
        env.config.cluster.registry.as_deref().unwrap_or_default()
    )
}

fn expose(env: &Env) -> Expose {
    env.config.cluster.expose.unwrap_or(Expose::LoadBalancer)
}

/// The address of the first ready node: external, or else internal.
fn node_address(nodes: &[Value]) -> Option<String> {
    let node = nodes.iter().find(|it| verdict::node(it) == Verdict::Yes)?;
    let addresses = node.pointer("/status/addresses").and_then(Value::as_array)?;
    let of = |kind: &str| addresses.iter().find(|it| it["type"] == kind).and_then(|it| it["address"].as_str()).map(str::to_owned);
    of("ExternalIP").or_else(|| of("InternalIP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_ready_gives_its_outer_address_or_its_inner_one() {
        let node = |ready: &str, addresses: Value| json!({ "status": { "conditions": [{ "type": "Ready", "status": ready }], "addresses": addresses } });
        let inner = json!({ "type": "InternalIP", "address": "10.0.0.1" });
        let outer = json!({ "type": "ExternalIP", "address": "192.0.2.1" });
        assert_eq!(node_address(&[node("True", json!([inner, outer]))]).as_deref(), Some("192.0.2.1"));
        assert_eq!(node_address(&[node("False", json!([outer])), node("True", json!([inner]))]).as_deref(), Some("10.0.0.1"));
        assert_eq!(node_address(&[]), None);
    }
}
