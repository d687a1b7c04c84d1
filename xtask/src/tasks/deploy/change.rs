//! A change of what runs: written down, tried, and undone where it fails, after the evidence was taken.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, verdict},
    env::Env,
    errors::Problem,
    graph::TaskId,
    provider::provider,
    tasks::deploy::{
        added::{self, Added},
        history::{Attempt, Outcome, Revision},
        rollout,
    },
};

/// Old pods still run: taking the new ones away is quick.
const PUT_BACK_LIMIT: Duration = Duration::from_secs(120);
/// The pods are ready by then.
const PAGE_LIMIT: Duration = Duration::from_secs(10);

/// What is to run, and why.
pub(super) struct Change {
    /// The first service's, then those of further services that have one of their own.
    pub(super) images: Vec<String>,
    pub(super) why: String,
    /// What a revision consists of: Secrets of the user's own manifests too, and neither the database's nor the application's own.
    pub(super) objects: Vec<Value>,
}

/// The objects that a change ended with, where they are not those that it began with: what depends on an address was not known then.
pub(super) type Settled = Option<Vec<Value>>;

/// Does the work under a revision number of its own. Where it is well, objects that left the manifests go. Where it fails, the
/// revision that served before is put back, what only the
/// failed change added is removed but for what may hold data, and the error says so. An interrupted change stays as it is, with
/// the old pods serving, and the next run goes on.
pub(super) fn carry_out(env: &Env, cluster: &Cluster, task: TaskId, change: Change, work: impl FnOnce() -> Result<Settled>) -> Result<()> {
    let attempt = Attempt::begin(env, cluster, &change.images, change.why, change.objects)?;
    let added = Added::find(env, cluster, attempt.earlier(), attempt.objects())?;
    let error = match work() {
        Ok(settled) => {
            env.note(task, format!("revision {} serves {}", attempt.number(), change.images.join(", ")));
            if let Err(error) = added::prune(env, cluster, task, &attempt) {
                env.interrupt.check()?;
                env.note(task, format!("what left the manifests is not removed: {error:#}"));
            }
            return attempt.end(cluster, Outcome::Deployed, settled);
        }
        Err(error) => error,
    };
    if env.interrupt.is_set() {
        return Err(error);
    }
    let first = error.to_string().lines().next().unwrap_or_default().to_owned();
    let Some(good) = attempt.good().cloned() else {
        attempt.end(cluster, Outcome::Failed(first), None)?;
        return Err(error);
    };
    env.note(task, format!("putting back revision {}: {}", good.number, good.image));
    // First: a quota or a policy of the failed change may stand in the way of the old pods.
    let mut removed = added.remove(cluster);
    let said = match put_back(env, cluster, task, &good) {
        Ok(()) => format!("revision {} ({}) is put back{}", good.number, good.image, page(env, cluster, task)),
        Err(why) => format!("revision {} ({}) could not be put back: {why:#}", good.number, good.image),
    };
    removed.wait(env, cluster, task)?;
    attempt.end(cluster, Outcome::Failed(first), None)?;
    Err(add(error, format!("{said}\n{removed}").trim_end()))
}

/// What was seen of the page, as the end of a sentence.
fn page(env: &Env, cluster: &Cluster, task: TaskId) -> String {
    let wait = Wait::new(env, "the page", PAGE_LIMIT);
    let seen = cluster.wait_for(env, task, &wait, || match provider(env).address(env)? {
        Some(address) => Ok(rollout::page(&address, &env.config.frontend.page).map_or_else(Verdict::NotYet, |_| Verdict::Yes)),
        None => Ok(Verdict::NotYet("its address is not known yet".to_owned())),
    });
    match seen {
        Ok(()) => " and serves as before".to_owned(),
        Err(why) => format!("; {why:#}"),
    }
}

fn put_back(env: &Env, cluster: &Cluster, task: TaskId, good: &Revision) -> Result<()> {
    apply(env, cluster, task, good, |objects| cluster.apply_all(objects))?;
    for object in good.objects.iter().filter(|it| it["kind"] == "Deployment") {
        let id = ObjectId::of(object)?;
        let what = format!("{id} as it was");
        let wait = Wait { pause: Duration::from_millis(100), ..Wait::new(env, &what, PUT_BACK_LIMIT) };
        // The verdict on the attempt stands in the status until the controller has looked again.
        cluster.wait_for_object(env, task, &wait, &id, |found| match verdict::deployment(found) {
            Verdict::Never(why) => Verdict::NotYet(why),
            other => other,
        })?;
    }
    Ok(())
}

/// Applies what is kept of a revision. A Secret whose content is gone stays as it is, which is told.
pub(super) fn apply(
    env: &Env,
    cluster: &Cluster,
    task: TaskId,
    revision: &Revision,
    work: impl FnOnce(&[Value]) -> Result<()>,
) -> Result<()> {
    let (mut objects, gone) = revision.applicable()?;
    // A Job that has run once stays as it is.
    objects.retain(|it| it["kind"] != "Job");
    for id in gone {
        let state = if cluster.get(&id)?.is_some() { "it stays as it is now" } else { "and it is not in the cluster: apply it again" };
        env.note(task, format!("what revision {} had in {id} is not kept any more: {state}", revision.number));
    }
    work(&objects)
}

/// Adds last lines to what happened; hint and exit code stay.
fn add(error: anyhow::Error, said: &str) -> anyhow::Error {
    match error.downcast::<Problem>() {
        Ok(problem) => Problem { what: format!("{}\n{said}", problem.what), ..problem }.into(),
        Err(other) => Problem::new(format!("{other:#}\n{said}")).into(),
    }
}
