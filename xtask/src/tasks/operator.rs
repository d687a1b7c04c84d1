//! CloudNativePG's operator: ready when it accepts a database.

use std::{cell::OnceCell, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    cluster::{
        Cluster, ObjectId, Verdict, Wait,
        survey::{Seen, State},
        verdict,
    },
    deploy::{operator, webhooks},
    env::Env,
    fingerprint::Fingerprint,
    graph::TaskId,
    images::Role,
    probe::Probe,
    provider::provider,
    tasks::{
        Task, desired, load,
        objects::{fingerprint, first_unwell, once, with_evidence},
    },
};

#[derive(Default)]
pub struct Operator {
    /// Read once in a run, since the manifest has 20,000 lines.
    desired: OnceCell<Vec<Value>>,
}

const ID: TaskId = TaskId::Operator;

/// Generous for two busy cores; an idle machine needs seconds.
const LIMIT: Duration = Duration::from_secs(240);
/// The waits usually take a second or two.
const PAUSE: Duration = Duration::from_millis(100);

impl Operator {
    fn desired(&self, env: &Env) -> Result<&[Value]> {
        once(&self.desired, || desired::operator(env)).map(Vec::as_slice)
    }
}

impl Task for Operator {
    fn id(&self) -> TaskId {
        ID
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        fingerprint(self.desired(env)?.iter())
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        let desired = self.desired(env)?;
        if desired.is_empty() {
            return Ok(match (provider(env).operator_of_others(env)?, accepts(&cluster, &env.config.namespace)) {
                (Some(operator), Verdict::Yes) => Probe::Fresh(format!("{operator} accepts a database")),
                (_, verdict) => Probe::Stale(verdict.why().unwrap_or("the operator of others is missing").to_owned()),
            });
        }
        match first_unwell(env, &cluster, desired.iter())? {
            // Read instead of a dry run, since a probe sends no writes.
            None if lacks_authority(&cluster, desired)? => Ok(Probe::Stale("its webhooks lack its CA".to_owned())),
            None => Ok(Probe::Fresh(format!("{} objects are as applied, {} is available", desired.len(), operator::DEPLOYMENT))),
            // Its status follows its probes, seconds after it serves.
            Some(Seen { state: State::NotReady(_), .. }) if accepts(&cluster, operator::NAMESPACE) == Verdict::Yes => {
                Ok(Probe::Fresh("it accepts a database".to_owned()))
            }
            Some(unwell) => Ok(Probe::Stale(unwell.to_string())),
        }
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        let desired = self.desired(env)?;
        if desired.is_empty() {
            let wait = Wait::new(env, "the cluster's own operator to accept a database", LIMIT);
            return cluster.wait_for(env, ID, &wait, || Ok(accepts(&cluster, &env.config.namespace)));
        }
        load::upstream(env, ID, Role::Operator)?;
        env.progress(ID, format!("applying {} objects", desired.len()));
        // By kind, each before the kinds that need it. An operator without its CRDs exits, and is restarted after ten seconds.
        let (namespaces, rest) = of_kind(desired, "Namespace");
        cluster.apply_all(namespaces)?;
        let deployment = ObjectId::new("apps/v1", "Deployment", operator::NAMESPACE, operator::DEPLOYMENT);
        let was_there = cluster.get(&deployment)?.is_some();
        if !was_there {
            bring_certificates(&cluster)?;
        }
        let (definitions, rest) = of_kind(rest, "CustomResourceDefinition");
        cluster.apply_all(definitions)?;
        cluster.apply_all(rest)?;
        // Objects before the `Cluster` can be applied now; the `Cluster` is retried until it is accepted.
        env.task_progress.usable(ID);
        if was_there && lacks_authority(&cluster, desired)? {
            restart(env, &cluster, desired, &deployment)?;
        }
        open_kinds(env, &cluster, desired)?;
        // The operator is ready when it accepts a database, not when its pod is ready.
        let wait = Wait { pause: PAUSE, ..Wait::new(env, "the operator to accept a database", LIMIT) };
        let ready = cluster.wait_for(env, ID, &wait, || Ok(accepts(&cluster, operator::NAMESPACE)));
        with_evidence(ready, &cluster, operator::NAMESPACE, "")
    }
}

/// Splits the list into the objects of this kind, and the others.
fn of_kind<'a>(objects: &'a [Value], kind: &str) -> (&'a [Value], &'a [Value]) {
    objects.split_at(objects.iter().take_while(|it| it["kind"] == kind).count())
}

/// Lists each CRD's kind once to warm the API server's watch cache. A watch on a cold cache is told to retry after 1 s (`Retry-After` of
/// `ResilientWatchCacheInitialization`), which would cost the operator and then each instance a second.
fn open_kinds(env: &Env, cluster: &Cluster, desired: &[Value]) -> Result<()> {
    let wait = Wait { pause: PAUSE, ..Wait::new(env, "the operator's CRDs to be served", LIMIT) };
    for definition in desired.iter().filter(|it| it["kind"] == "CustomResourceDefinition") {
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let api_version = format!("{}/{}", text("/spec/group"), text("/spec/versions/0/name"));
        cluster.wait_for(env, ID, &wait, || cluster.list(&api_version, text("/spec/names/kind"), "", "").map(|_| Verdict::Yes))?;
    }
    Ok(())
}

/// Creates the webhooks' certificates for an operator that has not started yet. Existing ones are kept.
fn bring_certificates(cluster: &Cluster) -> Result<()> {
    for name in [webhooks::AUTHORITY, webhooks::CERTIFICATE] {
        if cluster.get(&ObjectId::new("v1", "Secret", operator::NAMESPACE, name))?.is_some() {
            return Ok(());
        }
    }
    cluster.apply_all(&webhooks::secrets()?)
}

/// Whether a webhook lacks the operator's CA. The operator sets it when it starts; a webhook that is recreated later lacks it, and cannot
/// be called.
fn lacks_authority(cluster: &Cluster, desired: &[Value]) -> Result<bool> {
    for object in desired.iter().filter(|it| it["kind"].as_str().is_some_and(|it| it.ends_with("WebhookConfiguration"))) {
        let found = cluster.get(&ObjectId::of(object)?)?.unwrap_or_default();
        let webhooks = found["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
        if webhooks.iter().any(|it| it.pointer("/clientConfig/caBundle").and_then(Value::as_str).is_none_or(str::is_empty)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Restarts the operator, and waits until its webhooks have the CA and the new pod is available.
fn restart(env: &Env, cluster: &Cluster, desired: &[Value], deployment: &ObjectId) -> Result<()> {
    env.note(ID, "its webhooks were recreated: restarting it, so that it sets their CA");
    for pod in cluster.list("v1", "Pod", operator::NAMESPACE, operator::LABELS)? {
        cluster.delete(&ObjectId::of(&pod)?)?;
    }
    let wait = Wait::new(env, "the operator's webhooks to have its CA", LIMIT);
    cluster.wait_for(env, ID, &wait, || {
        let lacks = lacks_authority(cluster, desired)?;
        Ok(if lacks { Verdict::NotYet("they do not yet".to_owned()) } else { Verdict::Yes })
    })?;
    // The old pod may answer for a moment longer.
    cluster.wait_for_object(env, ID, &Wait::new(env, "the operator's new pod", LIMIT), deployment, verdict::deployment)
}

/// Whether a minimal database passes a server-side dry run, including the operator's webhooks, in an existing namespace. Creates nothing.
pub fn accepts(cluster: &Cluster, namespace: &str) -> Verdict {
    let smallest = json!({
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": "Cluster",
        "metadata": { "name": "would-be", "namespace": namespace },
        "spec": { "instances": 1, "storage": { "size": "1Gi" } },
    });
    acceptance(cluster.preview(&smallest).map(|_| ()))
}

/// Whether a failed apply may succeed later, because the webhook or the CRD does not exist yet.
pub(super) fn acceptance(result: Result<()>) -> Verdict {
    let Err(error) = result else { return Verdict::Yes };
    let text = format!("{error:#}");
    let later = [
        "failed calling webhook",
        "could not find the requested resource",
        "page not found",
        "connect",
        "not found",
        "timed out",
        "unavailable",
    ];
    if text.contains("denied the request") || !later.iter().any(|it| text.to_lowercase().contains(it)) {
        Verdict::Never(text)
    } else {
        Verdict::NotYet(text)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn only_what_may_come_is_waited_for() {
        let verdict = |text: &str| acceptance(Err(anyhow!("{text}")));
        assert!(matches!(verdict("Internal error occurred: failed calling webhook \"x\": connection refused"), Verdict::NotYet(_)));
        assert!(matches!(verdict("the server could not find the requested resource"), Verdict::NotYet(_)));
        assert!(matches!(verdict("admission webhook \"x\" denied the request: not found in list"), Verdict::Never(_)));
        assert!(matches!(verdict("Cluster is invalid: spec.instances: must be at least 1"), Verdict::Never(_)));
        assert_eq!(acceptance(Ok(())), Verdict::Yes);
    }
}
