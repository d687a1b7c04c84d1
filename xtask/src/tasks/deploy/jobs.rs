//! Jobs other than the migration: each runs once for each content, under its own name.

use std::{cell::RefCell, time::Duration};

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, obstacle::Patience, verdict},
    deploy::objects::inputs_of,
    env::Env,
    graph::TaskId,
    tasks::{
        deploy::{migration, rollout},
        objects::{has_worked, pods_of_job, with_evidence},
    },
};

/// As long as for a rollout. A longer Job is not part of a deployment.
const LIMIT: Duration = Duration::from_secs(240);

/// Creates each Job that is missing, has another content, or failed. A Job's template is immutable, so the old Job is deleted first.
pub(super) fn apply(env: &Env, cluster: &Cluster, task: TaskId, jobs: &[Value]) -> Result<()> {
    for job in jobs {
        let id = ObjectId::of(job)?;
        if let Some(found) = cluster.get(&id)? {
            if inputs_of(&found) == inputs_of(job) && !matches!(verdict::job(&found), Verdict::Never(_)) {
                continue;
            }
            env.note(
                task,
                format!("{id} runs again: {}", if inputs_of(&found) == inputs_of(job) { "it failed" } else { "its content changed" }),
            );
            migration::remove(env, cluster, task, &id)?;
        }
        cluster.apply(job)?;
    }
    Ok(())
}

/// Waits until all have succeeded.
pub(super) fn wait(env: &Env, cluster: &Cluster, task: TaskId, jobs: &[Value]) -> Result<()> {
    for job in jobs.iter().filter(|it| it.pointer("/spec/suspend") != Some(&Value::Bool(true))) {
        let id = ObjectId::of(job)?;
        let what = id.to_string();
        finished(env, cluster, task, &id, &Wait { pause: Duration::from_millis(200), ..Wait::new(env, &what, LIMIT) })?;
    }
    Ok(())
}

/// Waits until the Job has succeeded. An error has evidence from its pods.
pub(super) fn finished(env: &Env, cluster: &Cluster, task: TaskId, id: &ObjectId, wait: &Wait<'_>) -> Result<()> {
    // The other pods of a Job give room when they end.
    let (pods, patience) = (RefCell::default(), Patience::default());
    let done = cluster.wait_for(env, task, wait, || {
        let Some(found) = cluster.get(id)? else { return Ok(Verdict::NotYet(format!("{id} does not exist"))) };
        pods.replace(pods_of_job(&found));
        match verdict::job(&found) {
            // The Job's status follows a second or two later.
            Verdict::NotYet(_) if is_single(&found) && has_worked(cluster, &found)? => Ok(Verdict::Yes),
            verdict => rollout::started(cluster, &found, &pods.borrow(), verdict, &patience),
        }
    });
    with_evidence(done, cluster, &id.namespace, &pods.borrow())
}

/// Whether the Job needs one pod only.
fn is_single(job: &Value) -> bool {
    job.pointer("/spec/completions").and_then(Value::as_u64).unwrap_or(1) == 1
}
