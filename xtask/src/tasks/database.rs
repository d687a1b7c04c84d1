//! The database in the cluster: there when its operator says so and it answers a statement.

use std::{
    cell::{Cell, OnceCell},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, verdict},
    env::Env,
    fingerprint::Fingerprint,
    graph::TaskId,
    images::Role,
    probe::Probe,
    tasks::{
        Task, load,
        objects::{fingerprint, once, stale, stale_secret, with_evidence},
        operator::acceptance,
        wanted,
    },
};

#[derive(Default)]
pub struct Database {
    wanted: OnceCell<wanted::Database>,
}

const ID: TaskId = TaskId::Database;

/// Generous for two busy cores; on a quiet machine it takes seconds.
const LIMIT: Duration = Duration::from_secs(420);
/// What is waited for comes within seconds.
const PAUSE: Duration = Duration::from_millis(100);
/// For an answer of something that is up.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

impl Database {
    fn wanted(&self, env: &Env) -> Result<&wanted::Database> {
        once(&self.wanted, || wanted::Database::read(env))
    }
}

impl Task for Database {
    fn id(&self) -> TaskId {
        ID
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        fingerprint(self.wanted(env)?.all())
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        let wanted = self.wanted(env)?;
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        let stale = match stale(env, &cluster, wanted.all())? {
            None => stale_secret(&cluster, wanted.given_secret(env)?)?,
            found => found,
        };
        let id = ObjectId::of(&wanted.cluster)?;
        // The operator's word may be from before a stop; its pods' is newer.
        let stale = match stale {
            None => unready(&cluster, &id)?,
            found => found,
        };
        Ok(stale.map_or_else(|| Probe::Fresh(format!("{id} is ready")), Probe::Stale))
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        let wanted = self.wanted(env)?;
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        load::upstream(env, ID, Role::Postgresql)?;
        cluster.apply(&wanted.namespace)?;
        if let Some(secret) = wanted.given_secret(env)? {
            cluster.apply(&secret)?;
        }
        cluster.apply_all(&wanted.others)?;
        let id = ObjectId::of(&wanted.cluster)?;
        let what = format!("the API server to take {id}");
        // The operator may still be starting.
        let wait = Wait { pause: PAUSE, ..Wait::new(env, &what, LIMIT) };
        let is_new = Cell::new(false);
        cluster.wait_for(env, ID, &wait, || {
            // Asked each time: its kind may not be there yet.
            is_new.set(cluster.get(&id)?.is_none());
            if is_new.get() && !has_storage(&cluster, &wanted.cluster)? {
                return Ok(Verdict::NotYet("the cluster has no default storage class".to_owned()));
            }
            Ok(acceptance(cluster.apply(&wanted.cluster)))
        })?;
        let wait = Wait { pause: PAUSE, ..Wait::new(env, "the database", LIMIT) };
        let hastened = Cell::new(false);
        let ready = cluster.wait_for(env, ID, &wait, || {
            // The application's pods mount credentials that are there by then. Sooner, their start would only slow this down.
            if is_new.get() && are_files_made(&cluster, &id)? {
                env.standing.usable(ID);
                is_new.set(false);
            }
            if !hastened.get() {
                hastened.set(hasten(&cluster, &id)?);
            }
            Ok(cluster.get(&id)?.map_or_else(|| Verdict::NotYet(format!("{id} is not there")), |it| verdict::database(&it)))
        });
        with_evidence(ready, &cluster, &id.namespace, "")?;
        let wait = Wait::new(env, "an answer of the database", ANSWER_LIMIT);
        cluster.wait_for(env, ID, &wait, || ask(env, &cluster, &id))?;
        // After a node's stop the operator's first word may be from before it, and its next one that an instance is missing.
        let wait = Wait { pause: PAUSE, ..Wait::new(env, "the database's pods", ANSWER_LIMIT) };
        cluster.wait_for(env, ID, &wait, || match unready(&cluster, &id)? {
            Some(why) => Ok(Verdict::NotYet(why)),
            None => Ok(cluster.get(&id)?.map_or_else(|| Verdict::NotYet(format!("{id} is not there")), |it| verdict::database(&it))),
        })
    }
}

/// Whether there is a class for the volumes. A claim that comes before it is looked at again after a quarter of a minute.
fn has_storage(cluster: &Cluster, database: &Value) -> Result<bool> {
    if database.pointer("/spec/storage/storageClass").is_some() {
        return Ok(true);
    }
    let classes = cluster.list("storage.k8s.io/v1", "StorageClass", "", "")?;
    let mark = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
    Ok(classes.iter().any(|it| it.pointer(mark).is_some_and(|it| it == "true")))
}

/// Whether the Job that makes the first instance's files has worked, or that instance is there already.
fn are_files_made(cluster: &Cluster, id: &ObjectId) -> Result<bool> {
    let pods = cluster.list("v1", "Pod", &id.namespace, &of(id))?;
    let is_instance = |pod: &Value| pod.pointer("/metadata/labels/cnpg.io~1podRole").is_some_and(|it| it == "instance");
    Ok(pods.iter().any(|it| is_instance(it) || verdict::has_worked(it)))
}

/// Lets the Job controller look at once at a Job of the database whose pod has ended well; true when that is done. What it learns of
/// pods it bundles for a second (`syncJobBatchPeriod`), a change of the Job itself not.
fn hasten(cluster: &Cluster, id: &ObjectId) -> Result<bool> {
    let jobs = cluster.list("batch/v1", "Job", &id.namespace, &of(id))?;
    let pods = if jobs.is_empty() { Vec::new() } else { cluster.list("v1", "Pod", &id.namespace, &of(id))? };
    let changes: Vec<Value> = jobs.iter().filter_map(|job| change_of(job, &pods)).collect();
    changes.iter().try_for_each(|it| cluster.apply(it))?;
    Ok(!changes.is_empty())
}

/// A change of the Job that means nothing any more, where its pod has ended well and the Job does not say so yet: how often it may be
/// tried again.
fn change_of(job: &Value, pods: &[Value]) -> Option<Value> {
    let number = |pointer: &str| job.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let name = job.pointer("/metadata/name")?;
    let has_ended = |pod: &Value| {
        pod.pointer("/metadata/labels/batch.kubernetes.io~1job-name") == Some(name)
            && pod.pointer("/status/phase").is_some_and(|it| it == "Succeeded")
    };
    (number("/status/succeeded") == 0 && pods.iter().any(has_ended)).then(|| {
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": { "name": name, "namespace": job["metadata"]["namespace"] },
            "spec": { "backoffLimit": number("/spec/backoffLimit") + 1 },
        })
    })
}

fn of(id: &ObjectId) -> String {
    format!("cnpg.io/cluster={}", id.name)
}

/// Why the database's pods do not serve.
fn unready(cluster: &Cluster, id: &ObjectId) -> Result<Option<String>> {
    let pods = cluster.list("v1", "Pod", &id.namespace, &format!("{},cnpg.io/podRole=instance", of(id)))?;
    let is_ready = |pod: &Value| {
        let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True")
    };
    let waiting = pods.iter().find(|it| !is_ready(it)).and_then(|it| it.pointer("/metadata/name")).and_then(Value::as_str);
    Ok(match (pods.is_empty(), waiting) {
        (true, _) => Some(format!("{id} has no pod")),
        (_, Some(name)) => Some(format!("pod {name} of {id} is not ready")),
        _ => None,
    })
}

/// A statement through the primary itself: `Ready` is the operator's word, this is the database's.
fn ask(env: &Env, cluster: &Cluster, id: &ObjectId) -> Result<Verdict> {
    let object = cluster.get(id)?.with_context(|| format!("{id} is gone"))?;
    let Some(primary) = object.pointer("/status/currentPrimary").and_then(Value::as_str) else {
        return Ok(Verdict::NotYet("there is no primary yet".to_owned()));
    };
    let answer = cluster.exec(&id.namespace, primary, "postgres", &["psql", "-d", &env.config.database.name, "-tAc", "SELECT 40 + 2"])?;
    Ok(if answer.trim() == "42" { Verdict::Yes } else { Verdict::NotYet(format!("it answers {answer:?}")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_job_whose_pod_has_ended_well_and_that_does_not_know_it_is_changed() {
        let job = |status: Value| json!({ "metadata": { "name": "j", "namespace": "n" }, "spec": { "backoffLimit": 6 }, "status": status });
        let pod = |job: &str, phase: &str| json!({ "metadata": { "labels": { "batch.kubernetes.io/job-name": job } }, "status": { "phase": phase } });
        let change = change_of(&job(json!({ "active": 1 })), &[pod("other", "Running"), pod("j", "Succeeded")]).unwrap();
        assert_eq!((&change["metadata"]["name"], &change["spec"]["backoffLimit"]), (&json!("j"), &json!(7)));
        assert_eq!(change_of(&job(json!({ "active": 1 })), &[pod("j", "Running"), pod("other", "Succeeded")]), None);
        assert_eq!(change_of(&job(json!({ "succeeded": 1 })), &[pod("j", "Succeeded")]), None);
    }
}
