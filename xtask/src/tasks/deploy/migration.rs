//! The migration Job: one for each state of its inputs; none runs if they have not changed.

use std::{cell::Cell, time::Duration};

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, survey::State, verdict},
    env::Env,
    graph::TaskId,
    tasks::{
        deploy::jobs,
        objects::{earlier_migrations, look},
    },
};

/// Longer than the Job's own deadline.
const LIMIT: Duration = Duration::from_secs(450);

/// Runs the services' migrations in sequence. Calls `before` once, before the first one that must run.
pub(super) fn migrate_all(env: &Env, cluster: &Cluster, task: TaskId, jobs: &[Value], before: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = Cell::new(Some(before));
    jobs.iter().try_for_each(|job| migrate(env, cluster, task, job, || before.take().map_or(Ok(()), |it| it())))
}

/// Runs a migration, unless its Job is complete; calls `before` if it must run.
fn migrate(env: &Env, cluster: &Cluster, task: TaskId, job: &Value, before: impl FnOnce() -> Result<()>) -> Result<()> {
    let id = ObjectId::of(job)?;
    let found = cluster.get(&id)?;
    match found.as_ref().map(verdict::job) {
        // Applies the Job again to revert changes by others. If the server rejects that, the Job is another one.
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
        // It was interrupted.
        Some(Verdict::NotYet(_)) => {}
        // A failed Job stays failed, so it is deleted and created again under the same name.
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
    jobs::finished(env, cluster, task, &id, &wait)?;
    earlier_migrations(cluster, job)?.iter().try_for_each(|earlier| cluster.delete(earlier))
}

/// Deletes all migration Jobs, since the database was replaced.
pub(super) fn remove_all(env: &Env, cluster: &Cluster, task: TaskId, job: &Value) -> Result<()> {
    for id in earlier_migrations(cluster, job)?.iter().chain([&ObjectId::of(job)?]) {
        remove(env, cluster, task, id)?;
    }
    Ok(())
}

fn is_changed(env: &Env, cluster: &Cluster, job: &Value) -> Result<bool> {
    Ok(look(env, cluster, std::iter::once(job))?.iter().any(|it| matches!(it.state, State::Drift(_))))
}

/// Whether a completed Job migrated an earlier database.
fn is_older(env: &Env, cluster: &Cluster, found: Option<&Value>) -> Result<bool> {
    let text = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let ended = found.map(|it| text(it, "/status/completionTime")).unwrap_or_default();
    let databases = cluster.list("postgresql.cnpg.io/v1", "Cluster", &env.config.namespace, "")?;
    // Timestamps of the API server have the same format, so they compare as strings.
    Ok(!ended.is_empty() && databases.iter().any(|it| text(it, "/metadata/creationTimestamp") > ended))
}

pub(super) fn remove(env: &Env, cluster: &Cluster, task: TaskId, id: &ObjectId) -> Result<()> {
    cluster.delete(id)?;
    let wait = Wait::new(env, "an earlier Job to be deleted", Duration::from_secs(60));
    cluster.wait_for(env, task, &wait, || {
        Ok(if cluster.get(id)?.is_none() { Verdict::Yes } else { Verdict::NotYet("still there".to_owned()) })
    })
}
