//! initdb for the database's first instance: ahead of time if the provider can, else in a Job of the operator.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, ObjectId, verdict},
    env::Env,
    graph::TaskId,
    provider::provider,
    tasks::{database::ID, desired},
};

/// Starts initdb while the cluster still starts, if this run includes the database. Errors are ignored here; the task that needs the result
/// tries again and reports them.
pub(in crate::tasks) fn begin(env: &Env) {
    if !env.task_progress.takes_part(ID) {
        return;
    }
    let make = || match provider(env).features(env).initdb_ahead {
        Some(make) => make(env, &desired::Database::read(env)?.cluster),
        None => Ok(None),
    };
    if let Err(error) = env.step(TaskId::Cluster, "the database's files", make) {
        env.detail(ID, format!("the database's files were not made early: {error:#}"));
    }
}

/// Applies the PVC with initdb's result, which the operator adopts with the new database, as after a restore. Returns whether there is such
/// a PVC, so that there will be no Job. An existing PVC is kept, since it may contain data.
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

/// Whether there is a StorageClass for the volumes. A PVC that is applied before it is retried only after 15 s.
pub(super) fn has_storage(cluster: &Cluster, database: &Value) -> Result<bool> {
    if database.pointer("/spec/storage/storageClass").is_some() {
        return Ok(true);
    }
    let classes = cluster.list("storage.k8s.io/v1", "StorageClass", "", "")?;
    let mark = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
    Ok(classes.iter().any(|it| it.pointer(mark).is_some_and(|it| it == "true")))
}

/// The progress of initdb for the first instance.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    NotYet,
    /// The Job has succeeded, or the instance exists already.
    Made,
    /// Why it will never succeed.
    InVain(String),
}

/// How many pods of the Job may fail: the second failure shows that it is no accident. Kubernetes would try six times with growing pauses.
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

/// Bumps `backoffLimit` of a Job of the database whose pod has succeeded; returns true when done. The Job controller batches pod events for
/// 1 s (`syncJobBatchPeriod`) but reacts to a changed Job at once.
pub(super) fn hasten(cluster: &Cluster, id: &ObjectId) -> Result<bool> {
    let jobs = cluster.list("batch/v1", "Job", &id.namespace, &of(id))?;
    let pods = if jobs.is_empty() { Vec::new() } else { cluster.list("v1", "Pod", &id.namespace, &of(id))? };
    let changes: Vec<Value> = jobs.iter().filter_map(|job| change_of(job, &pods)).collect();
    changes.iter().try_for_each(|it| cluster.apply(it))?;
    Ok(!changes.is_empty())
}

/// A harmless change of a Job whose pod has succeeded and whose status does not say so yet: its `backoffLimit`.
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
