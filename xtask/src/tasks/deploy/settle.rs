//! The last wait of a deployment: every object is done by its own verdict.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Wait, survey::is_done_when_there, verdict},
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    tasks::objects::is_unused,
};

/// For controllers of volumes, addresses and routes; pods do not wait for these. A longer wait fails with the reason.
const LIMIT: Duration = Duration::from_secs(90);

/// Waits until all are done. Pods and their owners have been waited for before; objects that do not affect the application are only
/// reported.
pub(super) fn wait<'a>(env: &Env, cluster: &Cluster, task: TaskId, objects: impl Iterator<Item = &'a Value>) -> Result<()> {
    let objects: Vec<&Value> = objects.collect();
    for object in &objects {
        let id = ObjectId::of(object)?;
        if OWNERS.contains(&id.kind.as_str()) || is_done_when_there(&id) || is_unused(object, &objects) {
            continue;
        }
        let judge = |found: &Value| cluster.judge(&id, found);
        if !verdict::must_be_done(&id.kind) {
            if let Some(found) = cluster.get(&id)?
                && let Some(why) = judge(&found).why()
            {
                env.note(task, format!("{id} is not ready: {why}"));
            }
            continue;
        }
        let what = id.to_string();
        let wait = Wait { pause: Duration::from_millis(200), ..Wait::new(env, &what, LIMIT) };
        cluster.wait_for_object(env, task, &wait, &id, judge).map_err(|error| hint(error, &id))?;
    }
    Ok(())
}

/// Kinds that the rollout has waited for.
const OWNERS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

fn hint(error: anyhow::Error, id: &ObjectId) -> anyhow::Error {
    match error.downcast::<Problem>() {
        Ok(problem) if problem.hint.is_none() && problem.code != Code::Interrupted => {
            problem.hint(format!("`cargo xtask kubectl describe {} {}` shows its events", id.kind.to_lowercase(), id.name)).into()
        }
        Ok(problem) => problem.into(),
        Err(other) => other,
    }
}
