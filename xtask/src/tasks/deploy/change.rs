//! A change of the deployment: recorded, applied, and reverted after a failure, once the evidence was collected.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, verdict},
    config::ClusterType,
    env::Env,
    errors::{self, Problem},
    graph::TaskId,
    provider::provider,
    tasks::{
        deploy::{
            added::{self, Added},
            history::{Attempt, Outcome, Revision},
            rollout,
        },
        image,
    },
};

/// The old pods still run, so deleting the new ones is fast.
const PUT_BACK_LIMIT: Duration = Duration::from_secs(120);
/// The pods are ready by then.
const PAGE_LIMIT: Duration = Duration::from_secs(10);

/// After every so many revisions, the nodes lose the images of those that are no longer kept: together, since each look takes a tenth of a second.
const CLEARED: u32 = 5;

/// What to deploy, and why.
pub(super) struct Change {
    /// The image of the first service, then those of further services with their own image.
    pub(super) images: Vec<String>,
    pub(super) why: String,
    /// The objects of a revision, including Secrets in the user's manifests, but not the database's and the application's own Secrets.
    pub(super) objects: Vec<Value>,
}

/// The final objects of a change, if they differ from the initial ones because they contain an address that was unknown.
pub(super) type Settled = Option<Vec<Value>>;

/// Calls `work` with a new revision number. After success, deletes objects that are no longer in the manifests. After a failure, restores
/// the previous revision, deletes objects that only the failed change added, except those that may contain data, and says so in the error.
/// After an interruption, everything stays, with the old pods serving, and the next run continues.
pub(super) fn carry_out(env: &Env, cluster: &Cluster, task: TaskId, change: Change, work: impl FnOnce() -> Result<Settled>) -> Result<()> {
    let attempt = Attempt::begin(env, cluster, &change.images, change.why, change.objects)?;
    let added = Added::find(env, cluster, attempt.earlier(), attempt.objects())?;
    let error = match work() {
        Ok(settled) => {
            env.note(task, format!("revision {} serves {}", attempt.number(), change.images.join(", ")));
            if let Err(error) = added::prune(env, cluster, task, &attempt) {
                env.interrupt.check()?;
                env.note(task, format!("objects that are no longer in the manifests were not deleted: {error:#}"));
            }
            return conclude(env, cluster, task, attempt, Outcome::Deployed, settled);
        }
        Err(error) => error,
    };
    if env.interrupt.is_set() {
        return Err(error);
    }
    let first = error.to_string().lines().next().unwrap_or_default().to_owned();
    let Some(good) = attempt.good().cloned() else {
        conclude(env, cluster, task, attempt, Outcome::Failed(first), None)?;
        return Err(error);
    };
    env.note(task, format!("restoring revision {}: {}", good.number, good.image));
    // First, since a quota or policy of the failed change may block the old pods.
    let mut removed = added.remove(cluster);
    let said = match put_back(env, cluster, task, &good) {
        Ok(()) => format!("revision {} ({}) is restored{}", good.number, good.image, page(env, cluster, task)),
        Err(why) => format!("revision {} ({}) could not be restored: {why:#}", good.number, good.image),
    };
    removed.wait(env, cluster, task)?;
    conclude(env, cluster, task, attempt, Outcome::Failed(first), None)?;
    Err(add(error, format!("{said}\n{removed}").trim_end()))
}

/// Records the outcome, and removes the images of the revisions that the history drops. An image too many is no reason to fail.
fn conclude(env: &Env, cluster: &Cluster, task: TaskId, attempt: Attempt, outcome: Outcome, settled: Settled) -> Result<()> {
    let (kept, dropped) = (attempt.images(), attempt.dropped_images());
    let is_turn = env.config.cluster.kind == ClusterType::Kind && attempt.number().is_multiple_of(CLEARED);
    attempt.end(cluster, outcome, settled)?;
    if dropped.is_empty() && !is_turn {
        return Ok(());
    }
    if let Err(error) = clear_images(env, cluster, task, is_turn, kept, dropped) {
        env.interrupt.check()?;
        env.detail(task, format!("images of earlier revisions stay: {error:#}"));
    }
    Ok(())
}

/// Removes images from the engine, and with `nodes` from the nodes, that no kept revision and no pod has. The nodes are this instance's own, so
/// that all of the tool's images there are looked at.
fn clear_images(env: &Env, cluster: &Cluster, task: TaskId, nodes: bool, mut kept: Vec<String>, mut dropped: Vec<String>) -> Result<()> {
    // Elsewhere the user may see no other namespace.
    let namespace = if nodes { "" } else { &env.config.namespace };
    for pod in cluster.list("v1", "Pod", namespace, "")? {
        let containers = ["/spec/initContainers", "/spec/containers"].iter().filter_map(|it| pod.pointer(it)?.as_array());
        kept.extend(containers.flatten().filter_map(|it| it["image"].as_str()).map(str::to_owned));
    }
    dropped.retain(|it| !kept.contains(it));
    if nodes {
        let services: Vec<String> = env.config.built().map(|it| env.config.service(it).image.clone()).collect();
        provider(env).withdraw(env, &services, &kept)?;
    }
    image::remove(env, task, dropped)
}

/// The state of the page, as the end of a sentence.
fn page(env: &Env, cluster: &Cluster, task: TaskId) -> String {
    let wait = Wait::new(env, "the page", PAGE_LIMIT);
    let seen = cluster.wait_for(env, task, &wait, || match provider(env).address(env)? {
        Some(address) => Ok(rollout::pages(env, &address).map_or_else(Verdict::NotYet, |_| Verdict::Yes)),
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
        // The status shows the failed attempt until the controller has processed the restored object.
        cluster.wait_for_object(env, task, &wait, &id, |found| match verdict::deployment(found) {
            Verdict::Never(why) => Verdict::NotYet(why),
            other => other,
        })?;
    }
    Ok(())
}

/// Applies the objects of a revision. A Secret whose content is lost is not changed, and reported.
pub(super) fn apply(
    env: &Env,
    cluster: &Cluster,
    task: TaskId,
    revision: &Revision,
    work: impl FnOnce(&[Value]) -> Result<()>,
) -> Result<()> {
    let (mut objects, gone) = revision.applicable()?;
    // A Job that has run is not changed.
    objects.retain(|it| it["kind"] != "Job");
    for id in gone {
        let state = if cluster.get(&id)?.is_some() { "it stays as it is now" } else { "and it is not in the cluster: apply it again" };
        env.note(task, format!("what revision {} had in {id} is not kept any more: {state}", revision.number));
    }
    work(&objects)
}

/// Appends lines to an error; keeps hint, code and exit code.
fn add(error: anyhow::Error, said: &str) -> anyhow::Error {
    match error.downcast::<Problem>() {
        Ok(problem) => Problem { what: format!("{}\n{said}", problem.what), ..problem }.into(),
        Err(other) => {
            let hint = errors::hint(&other).map(str::to_owned);
            Problem { hint, ..Problem::new(format!("{other:#}\n{said}")).code(errors::code(&other)) }.into()
        }
    }
}
