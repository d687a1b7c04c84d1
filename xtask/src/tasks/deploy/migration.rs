//! The migration Job: one for each state of what decides about the database's tables, and none where that is as it was.

use std::{cell::Cell, time::Duration};

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, obstacle::Patience, survey::State, verdict},
    env::Env,
    graph::TaskId,
    tasks::{
        deploy::rollout,
        objects::{earlier_migrations, has_worked, look, with_evidence},
    },
};

/// Longer than the Job's own deadline.
const LIMIT: Duration = Duration::from_secs(450);

/// Runs the services' migrations, one after the other; `before` is called once, when the first of them must really run.
pub(super) fn migrate_all(env: &Env, cluster: &Cluster, task: TaskId, jobs: &[Value], before: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = Cell::new(Some(before));
    jobs.iter().try_for_each(|job| migrate(env, cluster, task, job, || before.take().map_or(Ok(()), |it| it())))
}

/// Brings the tables to the Job's state; `before` is called when it must really run. A Job that is complete is done.
fn migrate(env: &Env, cluster: &Cluster, task: TaskId, job: &Value, before: impl FnOnce() -> Result<()>) -> Result<()> {
    let id = ObjectId::of(job)?;
    let found = cluster.get(&id)?;
    match found.as_ref().map(verdict::job) {
        // What somebody changed in it is put right; where the server refuses that, the Job is not the one that was applied.
        Some(Verdict::Yes)
            if is_older(env, cluster, found.as_ref())? || (is_changed(env, cluster, job)? && cluster.apply(job).is_err()) =>
        {
            remove(env, cluster, task, &id)?;
            before()?;
            cluster.apply(job)?;
        }
        Some(Verdict::Yes) => {
            env.detail(task, format!("nothing to migrate: {id} is complete, and nothing that it reads changed since"));
            return Ok(());
        }
        // Cut off while it ran.
        Some(Verdict::NotYet(_)) => {}
        // A failed Job stays failed: the same content is tried again under the same name.
        Some(Verdict::Never(_)) => {
            remove(env, cluster, task, &id)?;
            before()?;
            cluster.apply(job)?;
        }
        None => {
            before()?;
            cluster.apply(job)?;
        }
    }
    env.progress(task, "migrating the database");
    let wait = Wait { pause: Duration::from_millis(100), ..Wait::new(env, "the migration", LIMIT) };
    let (labels, patience) = (format!("job-name={}", id.name), Patience::default());
    let done = cluster.wait_for(env, task, &wait, || match cluster.get(&id)? {
        Some(job) => match verdict::job(&job) {
            // Its controller says so a second or two after the fact.
            Verdict::NotYet(_) if has_worked(cluster, &id)? => Ok(Verdict::Yes),
            verdict => rollout::started(cluster, &job, &labels, verdict, &patience),
        },
        None => Ok(Verdict::NotYet(format!("{id} is not there"))),
    });
    with_evidence(done, cluster, &id.namespace, &labels)?;
    earlier_migrations(cluster, job)?.iter().try_for_each(|earlier| cluster.delete(earlier))
}

/// Takes away all migration Jobs: what they did is no longer true.
pub(super) fn remove_all(env: &Env, cluster: &Cluster, task: TaskId, job: &Value) -> Result<()> {
    for id in earlier_migrations(cluster, job)?.iter().chain([&ObjectId::of(job)?]) {
        remove(env, cluster, task, id)?;
    }
    Ok(())
}

fn is_changed(env: &Env, cluster: &Cluster, job: &Value) -> Result<bool> {
    Ok(look(env, cluster, std::iter::once(job))?.iter().any(|it| matches!(it.state, State::Drift(_))))
}

/// Whether a Job that is complete did its work on another database than the one that is there now.
fn is_older(env: &Env, cluster: &Cluster, found: Option<&Value>) -> Result<bool> {
    let text = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let ended = found.map(|it| text(it, "/status/completionTime")).unwrap_or_default();
    let databases = cluster.list("postgresql.cnpg.io/v1", "Cluster", &env.config.namespace, "")?;
    // Times of the API server are of one form, so that they compare as text.
    Ok(!ended.is_empty() && databases.iter().any(|it| text(it, "/metadata/creationTimestamp") > ended))
}

pub(super) fn remove(env: &Env, cluster: &Cluster, task: TaskId, id: &ObjectId) -> Result<()> {
    cluster.delete(id)?;
    let wait = Wait::new(env, "an earlier Job to go", Duration::from_secs(60));
    cluster.wait_for(env, task, &wait, || {
        Ok(if cluster.get(id)?.is_none() { Verdict::Yes } else { Verdict::NotYet("still there".to_owned()) })
    })
}
