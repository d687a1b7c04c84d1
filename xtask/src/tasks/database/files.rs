//! The files of the database's first instance: made before there is a database where the provider can, else by a Job of its operator.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, ObjectId, verdict},
    env::Env,
    graph::TaskId,
    provider::provider,
    tasks::{database::ID, wanted},
};

/// Lets the files be made while the cluster still comes up, where this run goes on to the database. A head start and no more: who needs
/// the files asks again, and tells what failed.
pub(in crate::tasks) fn begin(env: &Env) {
    if !env.standing.takes_part(ID) {
        return;
    }
    let make = || match provider(env).features(env).initdb_ahead {
        Some(make) => make(env, &wanted::Database::read(env)?.cluster),
        None => Ok(None),
    };
    if let Err(error) = env.step(TaskId::Cluster, "the database's files", make) {
        env.detail(ID, format!("the database's files were not made early: {error:#}"));
    }
}

/// Makes the claim with the files, for an operator that will find it with the new database and take it over, as after a restore; whether
/// there is one, so that there will be no Job. A claim that is there stays: it may hold somebody's data.
pub(super) fn bring(env: &Env, cluster: &Cluster, database: &Value) -> Result<bool> {
    let id = ObjectId::of(database)?;
    if !cluster.list("v1", "PersistentVolumeClaim", &id.namespace, &of(&id))?.is_empty() {
        return Ok(false);
    }
    let Some(make) = provider(env).features(env).initdb_ahead else { return Ok(false) };
    match make(env, database) {
        Ok(Some(claim)) => cluster.apply(&claim).map(|()| true),
        Ok(None) => Ok(false),
        Err(error) => {
            env.interrupt.check()?;
            env.note(ID, format!("the operator's Job runs initdb, since it failed ahead of time: {error:#}"));
            Ok(false)
        }
    }
}

/// Whether there is a class for the volumes. A claim that comes before it is looked at again after a quarter of a minute.
pub(super) fn has_storage(cluster: &Cluster, database: &Value) -> Result<bool> {
    if database.pointer("/spec/storage/storageClass").is_some() {
        return Ok(true);
    }
    let classes = cluster.list("storage.k8s.io/v1", "StorageClass", "", "")?;
    let mark = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
    Ok(classes.iter().any(|it| it.pointer(mark).is_some_and(|it| it == "true")))
}

/// How far the files of the first instance are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    NotYet,
    /// The Job that makes them has worked, or the instance is there already.
    Made,
    /// Why they will not come.
    InVain(String),
}

/// So many pods of the Job may end badly: the second one shows that it was no accident. Kubernetes tries six times and waits longer
/// after each.
const ACCIDENTS: usize = 1;

pub(super) fn progress(cluster: &Cluster, id: &ObjectId) -> Result<Progress> {
    Ok(judge(&cluster.list("v1", "Pod", &id.namespace, &of(id))?))
}

fn judge(pods: &[Value]) -> Progress {
    let is_instance = |pod: &Value| pod.pointer("/metadata/labels/cnpg.io~1podRole").is_some_and(|it| it == "instance");
    if pods.iter().any(|it| is_instance(it) || verdict::has_worked(it)) {
        return Progress::Made;
    }
    let failed = pods.iter().filter(|it| it.pointer("/status/phase").is_some_and(|it| it == "Failed")).count();
    if failed > ACCIDENTS { Progress::InVain(format!("{failed} pods that were to make its files ended badly")) } else { Progress::NotYet }
}

/// Lets the Job controller look at once at a Job of the database whose pod has ended well; true when that is done. What it learns of
/// pods it bundles for a second (`syncJobBatchPeriod`), a change of the Job itself not.
pub(super) fn hasten(cluster: &Cluster, id: &ObjectId) -> Result<bool> {
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

pub(super) fn of(id: &ObjectId) -> String {
    format!("cnpg.io/cluster={}", id.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pod_may_end_badly_and_the_next_one_tells() {
        let pod = |phase: &str| json!({ "status": { "phase": phase } });
        assert_eq!(judge(&[]), Progress::NotYet);
        assert_eq!(judge(&[pod("Failed"), pod("Running")]), Progress::NotYet);
        assert_eq!(judge(&[pod("Failed"), pod("Failed")]), Progress::InVain("2 pods that were to make its files ended badly".to_owned()));
        let worked = json!({ "status": { "containerStatuses": [{ "state": { "terminated": { "exitCode": 0 } } }] } });
        assert_eq!(judge(&[pod("Failed"), pod("Failed"), worked]), Progress::Made);
        assert_eq!(judge(&[json!({ "metadata": { "labels": { "cnpg.io/podRole": "instance" } } })]), Progress::Made);
    }

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
