//! The migration Job: one for each state of what decides about the database's tables, and none where that is as it was.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, verdict},
    env::Env,
    graph::TaskId,
    tasks::objects::{earlier_migrations, with_evidence},
};

/// Longer than the Job's own deadline.
const LIMIT: Duration = Duration::from_secs(300);

/// Brings the tables to the Job's state; `before` is called when it must really run. A Job that is complete is done.
pub(super) fn migrate(env: &Env, cluster: &Cluster, task: TaskId, job: Option<&Value>, before: impl FnOnce() -> Result<()>) -> Result<()> {
    let Some(job) = job else { return Ok(()) };
    let id = ObjectId::of(job)?;
    match cluster.get(&id)?.map(|found| verdict::job(&found)) {
        Some(Verdict::Yes) => {
            env.detail(task, format!("nothing to migrate: {id} is complete, and no migration, setting or requirement changed since"));
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
    let done = cluster.wait_for_object(env, task, &wait, &id, verdict::job);
    with_evidence(done, cluster, &id.namespace, &format!("job-name={}", id.name))?;
    earlier_migrations(cluster, job)?.iter().try_for_each(|earlier| cluster.delete(earlier))
}

/// Takes away all migration Jobs: what they did is no longer true.
pub(super) fn remove_all(env: &Env, cluster: &Cluster, task: TaskId, job: &Value) -> Result<()> {
    for id in earlier_migrations(cluster, job)?.iter().chain([&ObjectId::of(job)?]) {
        remove(env, cluster, task, id)?;
    }
    Ok(())
}

fn remove(env: &Env, cluster: &Cluster, task: TaskId, id: &ObjectId) -> Result<()> {
    cluster.delete(id)?;
    let wait = Wait::new(env, "an earlier migration to go", Duration::from_secs(60));
    cluster.wait_for(env, task, &wait, || {
        Ok(if cluster.get(id)?.is_none() { Verdict::Yes } else { Verdict::NotYet("still there".to_owned()) })
    })
}
