//! The checks of `validate`, in parallel: each reads one thing.

use std::{
    collections::BTreeSet,
    io::{Write as _, stderr},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    cluster::{
        Cluster, ObjectId, Verdict,
        certificate::{self, Certificate},
        survey::State,
        verdict,
    },
    commands::validate::{
        check::{Area, Check},
        database, page,
    },
    deploy::{
        components::{Component, Components},
        operator,
        plain::controller,
    },
    env::Env,
    errors,
    graph::TaskId,
    images::{self, Chosen, Role},
    provider::provider,
    report::Waiting,
    tasks,
};

/// System namespaces whose pods must run, besides those of application and operator.
const SYSTEM: [&str; 2] = ["kube-system", "local-path-storage"];

/// CloudNativePG renews its certificates seven days before they expire, so a shorter time means that renewal failed.
const DAYS: i64 = 6;

/// The startup probes of the control plane run every ten seconds, from the tenth second on (kubeadm), so a new cluster works for up to 20 s
/// before its pods are ready. Plus a margin.
const STARTING: Duration = Duration::from_secs(30);

type Look = fn(&Env, &Cluster, &Components) -> Result<Vec<Check>>;

/// Every check of a healthy deployment. An error while checking is a failed check.
pub(super) fn everything(env: &Env, cluster: &Cluster) -> Vec<Check> {
    let components = match Components::read(env) {
        Ok(components) => components,
        Err(error) => return vec![Check::new(Area::Object, "manifests", Err(format!("{error:#}")))],
    };
    let looks: [(Area, &str, Look); 11] = [
        (Area::Held, "annotations of the database", held),
        (Area::Cluster, "nodes", nodes),
        (Area::Cluster, "NetworkPolicies", policies),
        (Area::Object, "objects", objects),
        (Area::Operator, "webhook", webhook),
        (Area::Database, "SQL", sql),
        (Area::Database, "settings", settings),
        (Area::App, "images", images_in_use),
        (Area::Pod, "pods", pods),
        (Area::App, "page", page::page),
        (Area::Certificate, "certificates", certificates),
    ];
    thread::scope(|scope| {
        let components = &components;
        let running: Vec<_> = looks.map(|(area, name, look)| (area, name, scope.spawn(move || look(env, cluster, components)))).into();
        let mut out = Vec::new();
        for (area, name, look) in running {
            match look.join() {
                Ok(Ok(checks)) => out.extend(checks),
                Ok(Err(error)) => out.push(Check::new(area, name, Err(format!("{error:#}")))),
                Err(_) => out.push(Check::new(area, name, Err("the look ended unexpectedly".to_owned()))),
            }
        }
        out
    })
}

fn outcome(verdict: &Verdict, well: impl Into<String>) -> Result<String, String> {
    verdict.why().map_or_else(|| Ok(well.into()), |why| Err(why.to_owned()))
}

fn name_of(object: &Value) -> String {
    ObjectId::of(object).map(|it| it.to_string()).unwrap_or_default()
}

fn nodes(env: &Env, cluster: &Cluster, _: &Components) -> Result<Vec<Check>> {
    let planned = images::packages::versions(env)?.kubernetes;
    let exact = images::chosen(env, TaskId::Cluster)? == Chosen::Packages;
    let nodes = cluster.list("v1", "Node", "", "")?;
    let checks = nodes.iter().map(|node| {
        let version = node.pointer("/status/nodeInfo/kubeletVersion").and_then(Value::as_str).unwrap_or_default();
        let seen = match is_planned(version, &planned, exact) {
            true => outcome(&verdict::of(node), format!("ready, Kubernetes {version}")),
            false => Err(format!("runs Kubernetes {version}, planned is v{planned}")),
        };
        Check::new(Area::Cluster, name_of(node), seen)
    });
    Ok(checks.collect())
}

fn policies(env: &Env, _: &Cluster, _: &Components) -> Result<Vec<Check>> {
    let found = provider(env).policies(env)?;
    Ok(found.map(|it| Check::new(Area::Cluster, "NetworkPolicies", it.seen).hint(it.hint)).into_iter().collect())
}

/// Images of a registry may have another patch release than the recipes.
fn is_planned(version: &str, planned: &str, exact: bool) -> bool {
    let version = version.trim_start_matches('v');
    let minor = |text: &str| text.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    version == planned || (!exact && minor(version) == minor(planned))
}

fn objects(env: &Env, cluster: &Cluster, _: &Components) -> Result<Vec<Check>> {
    let seen = tasks::objects::look_at_all(env, cluster)?;
    let checks = seen.into_iter().map(|it| {
        let area = if matches!(it.state, State::NotReady(_)) { Area::Readiness } else { Area::Object };
        let text = it.state.to_string();
        Check::new(area, it.id.to_string(), if it.state == State::Well { Ok(text) } else { Err(text) })
    });
    let mut out: Vec<Check> = checks.collect();
    if let Some(last) = tasks::deploy::lost_history(env, cluster)? {
        let seen = format!("ConfigMap pocdeploy-history is gone: revisions up to {last} are not known, and `rollback` cannot restore one");
        let hint = "cargo xtask create records what serves as the next revision";
        out.push(Check::new(Area::Object, "history", Err(seen)).hint(Some(hint.to_owned())));
    }
    if let Some(it) = tasks::deploy::rolled_back(cluster, &env.config.namespace)? {
        let seen = format!("revision {}, a {}; `create` deploys the source again", it.number, it.why);
        out.push(Check::new(Area::App, "serving", Ok(seen)));
    }
    Ok(out)
}

fn webhook(env: &Env, cluster: &Cluster, _: &Components) -> Result<Vec<Check>> {
    let seen = outcome(&tasks::operator::accepts(cluster, &env.config.namespace), "takes a database");
    Ok(vec![Check::new(Area::Operator, "webhook", seen)])
}

fn sql(env: &Env, cluster: &Cluster, components: &Components) -> Result<Vec<Check>> {
    let said = database::ask(env, cluster, components).map_err(|error| format!("{error:#}"));
    let said = said.and_then(|it| it.judge(&env.config.database));
    let mut out = vec![Check::new(Area::Database, "SQL", said)];
    if let Err(error) = tasks::database::refuse_interrupted(env, cluster) {
        out.push(Check::new(Area::Database, "upgrade", Err(format!("{error:#}"))).hint(errors::hint(&error).map(str::to_owned)));
    }
    if env.config.database.all_instances() > 1 {
        out.push(Check::new(
            Area::Database,
            "instances",
            Ok(spread(&cluster.list("v1", "Pod", &components.database.namespace, &components.database.selector)?)),
        ));
    }
    Ok(out)
}

/// On how many nodes the database's instances run. Not a fault: the cluster may have one only.
fn spread(pods: &[Value]) -> String {
    let nodes: BTreeSet<&str> = pods.iter().filter_map(|it| it.pointer("/spec/nodeName")?.as_str()).collect();
    match nodes.len() {
        1 => format!("all {} on one node, whose loss stops the database", pods.len()),
        nodes => format!("{} on {nodes} nodes", pods.len()),
    }
}

/// Whether PostgreSQL accepts its settings: it ignores a wrong value until it is restarted.
fn settings(env: &Env, cluster: &Cluster, components: &Components) -> Result<Vec<Check>> {
    let Some(wrong) = database::wrong_settings(env, cluster, components)? else { return Ok(Vec::new()) };
    let id = database::id(components);
    let hint = format!(
        "correct `postgresql` in deploy/database/cluster.yaml; what others wrote into the Cluster:\ncargo xtask kubectl edit clusters.postgresql.cnpg.io {} -n {}",
        id.name, id.namespace
    );
    let seen = if wrong.is_empty() { Ok("all in effect".to_owned()) } else { Err(wrong) };
    Ok(vec![Check::new(Area::Database, "settings", seen).hint(Some(hint))])
}

/// Whether the database is hibernated or fenced, which explains everything else.
fn held(_: &Env, cluster: &Cluster, components: &Components) -> Result<Vec<Check>> {
    let id = database::id(components);
    let held = cluster.get(&id)?.and_then(|it| verdict::held(&it));
    Ok(held.map(|it| Check::new(Area::Held, id.to_string(), Err(format!("is {}", it.state))).hint(Some(it.command))).into_iter().collect())
}

/// Whether the pods run the current images of the project.
fn images_in_use(env: &Env, cluster: &Cluster, components: &Components) -> Result<Vec<Check>> {
    let task = TaskId::Deploy;
    let provider = provider(env);
    // The others chose the version of their operator.
    let operator = if provider.operator_of_others(env)?.is_none() { Some(&components.operator) } else { None };
    let parts = [&components.app, &components.database].into_iter().chain(operator).chain(components.services.iter().map(|it| &it.part));
    let pods = cluster.pods_in(parts.map(|it| it.namespace.as_str()))?;
    let check = |area, part: &Component, planned: String| -> Result<Check> {
        let used = images_of(&part.of(&pods), &part.container);
        let seen = match used.as_slice() {
            [] => Err("no pod is there".to_owned()),
            [one] if *one == planned => Ok(planned),
            other => Err(format!("pods run {}, planned is {planned}", other.join(", "))),
        };
        Ok(Check::new(area, "image", seen))
    };
    let back = tasks::deploy::rolled_back(cluster, &env.config.namespace)?.map(|it| it.images()).unwrap_or_default();
    let back = back.iter().map(|it| Ok(provider.name_for_pods(env, it)?.to_string())).collect::<Result<Vec<String>>>()?;
    let planned = |service| -> Result<String> {
        let now = tasks::brought::name_for_pods(env, service)?.to_string();
        Ok(back.iter().find(|it| repository(it) == repository(&now)).cloned().unwrap_or(now))
    };
    let mut out = vec![
        check(Area::App, &components.app, planned(None)?)?,
        check(Area::Database, &components.database, tasks::desired::upstream(env, task, Role::Postgresql)?.to_string())?,
    ];
    for it in &components.services {
        let Check { seen, well, .. } = check(Area::App, &it.part, planned(Some(it.service))?)?;
        out.push(Check::new(Area::App, format!("image of {}", it.service), if well { Ok(seen) } else { Err(seen) }));
    }
    if let Some(operator) = operator {
        out.push(check(Area::Operator, operator, tasks::desired::upstream(env, task, Role::Operator)?.to_string())?);
    }
    Ok(out)
}

/// The images of a container in these pods, without duplicates and without pods that are being deleted or were left behind.
fn images_of(pods: &[&Value], container: &str) -> Vec<String> {
    let pods = pods.iter().filter(|it| verdict::of_metadata(it) == Verdict::Yes && !verdict::is_left_behind(it));
    let containers = pods.filter_map(|it| it.pointer("/spec/containers")?.as_array()).flatten().filter(|it| it["name"] == container);
    let out: BTreeSet<&str> = containers.filter_map(|it| it["image"].as_str()).collect();
    out.into_iter().map(str::to_owned).collect()
}

/// A reference without its tag and digest.
fn repository(reference: &str) -> &str {
    let name = reference.split('@').next().unwrap_or(reference);
    match name.rsplit_once(':') {
        Some((start, tag)) if !tag.contains('/') => start,
        _ => name,
    }
}

fn pods(env: &Env, cluster: &Cluster, components: &Components) -> Result<Vec<Check>> {
    let namespace = env.config.namespace.as_str();
    let mut out: Vec<Check> =
        started(env, cluster, true)?.iter().map(|pod| Check::new(Area::Pod, name_of(pod), outcome(&verdict::of(pod), "ready"))).collect();
    for claim in cluster.list("v1", "PersistentVolumeClaim", namespace, &format!("cnpg.io/cluster={}", components.cluster))? {
        out.push(Check::new(Area::Database, name_of(&claim), outcome(&verdict::of(&claim), "bound")));
    }
    Ok(out)
}

/// The deployment's pods, as soon as none is starting, or after `STARTING`; `tells` says that it waits.
pub(super) fn started(env: &Env, cluster: &Cluster, tells: bool) -> Result<Vec<Value>> {
    let began = Instant::now();
    let mut is_said = !tells;
    loop {
        let pods = counted(env, cluster)?;
        let Some(starting) = pods.iter().find(|it| verdict::is_starting(it)).filter(|_| began.elapsed() < STARTING) else {
            return Ok(pods);
        };
        if !is_said {
            let waiting = Waiting::new(format!("pod {}", name_of(starting)), "it is starting", began.elapsed(), STARTING);
            stderr().write_all(format!("{waiting}\n").as_bytes()).ok();
            is_said = true;
        }
        env.interrupt.sleep(Duration::from_millis(500))?;
    }
}

pub(super) fn counted(env: &Env, cluster: &Cluster) -> Result<Vec<Value>> {
    let mut out = Vec::new();
    for pod in cluster.list("v1", "Pod", "", "")? {
        if counts(env, &pod) && !cluster.is_replaced(&pod)? {
            out.push(pod);
        }
    }
    Ok(out)
}

/// A Job's status counts instead of its pods; a pod that is being replaced does not count.
fn counts(env: &Env, pod: &Value) -> bool {
    let text = |pointer| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let namespace = text("/metadata/namespace");
    (namespace == env.config.namespace || namespace == operator::NAMESPACE || SYSTEM.contains(&namespace))
        && text("/metadata/ownerReferences/0/kind") != "Job"
        && verdict::of_metadata(pod) == Verdict::Yes
}

fn certificates(env: &Env, cluster: &Cluster, components: &Components) -> Result<Vec<Check>> {
    let mut found = certificate::of_kubeconfig(&env.kubeconfig())?;
    found.extend(provider(env).certificates(env)?);
    found.extend(cluster.certificates_of(operator::NAMESPACE, "cnpg-webhook-cert", "tls.crt")?);
    found.extend(cluster.certificates_of(operator::NAMESPACE, "cnpg-ca-secret", "ca.crt")?);
    if env.config.has_tls() {
        found.extend(cluster.certificates_of(&env.config.namespace, controller::CERTIFICATE, "tls.crt")?);
    }
    let id = ObjectId::new("postgresql.cnpg.io/v1", "Cluster", &env.config.namespace, &components.cluster);
    let database = cluster.get(&id)?;
    let expirations = database.as_ref().and_then(|it| it.pointer("/status/certificates/expirations")).and_then(Value::as_object);
    for (name, time) in expirations.into_iter().flatten() {
        let ends = certificate::parse_time(time.as_str().unwrap_or_default()).with_context(|| format!("read the end of {name}"))?;
        found.push(Certificate { name: name.clone(), ends });
    }
    Ok(found.iter().map(|it| Check::new(Area::Certificate, &it.name, near_its_end(it.days()))).collect())
}

fn near_its_end(days: i64) -> Result<String, String> {
    match days {
        ..0 => Err(format!("ended {} days ago", -days)),
        0..DAYS => Err(format!("ends in {days} days, and was not renewed")),
        _ => Ok(format!("ends in {days} days")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_well_until_its_renewal_is_overdue() {
        assert_eq!(near_its_end(-2), Err("ended 2 days ago".to_owned()));
        assert!(near_its_end(0).is_err() && near_its_end(5).is_err());
        assert_eq!(near_its_end(6), Ok("ends in 6 days".to_owned()));
    }

    #[test]
    fn a_registrys_node_may_be_of_another_patch_release() {
        assert!(is_planned("v1.36.3", "1.36.3", true));
        assert!(!is_planned("v1.36.4", "1.36.3", true));
        assert!(is_planned("v1.36.4", "1.36.3", false));
        assert!(!is_planned("v1.35.3", "1.36.3", false));
    }
}
