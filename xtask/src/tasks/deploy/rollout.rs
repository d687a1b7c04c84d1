//! Migration, application and the page: in this order, each seen to be done.

use std::{cell::Cell, time::Duration};

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, verdict},
    env::Env,
    reach::Reach,
    tasks::{
        deploy::{ID, PAGE_LIMIT},
        objects::with_evidence,
        wanted::App,
    },
};

/// Longer than the Job's own deadline.
const MIGRATION_LIMIT: Duration = Duration::from_secs(300);
/// Longer than the Deployment's own deadline.
const ROLLOUT_LIMIT: Duration = Duration::from_secs(240);

pub(super) fn migrate(env: &Env, cluster: &Cluster, wanted: &App) -> Result<()> {
    let Some(job) = &wanted.migration else { return Ok(()) };
    let id = ObjectId::of(job)?;
    let labels = format!("job-name={}", id.name);
    // A failed Job stays failed: the same content is tried again under the same name.
    if let Some(found) = cluster.get(&id)?
        && matches!(verdict::job(&found), Verdict::Never(_))
    {
        cluster.delete(&id)?;
        let wait = Wait::new(env, "the failed migration to go", Duration::from_secs(60));
        cluster.wait_for(env, ID, &wait, || {
            Ok(if cluster.get(&id)?.is_none() { Verdict::Yes } else { Verdict::NotYet("still there".to_owned()) })
        })?;
    }
    cluster.apply(job)?;
    let wait = Wait::new(env, "the migration", MIGRATION_LIMIT);
    let done = cluster.wait_for_object(env, ID, &wait, &id, verdict::job);
    with_evidence(done, cluster, &id.namespace, &labels)?;
    remove_earlier_migrations(cluster, job, &id)
}

fn remove_earlier_migrations(cluster: &Cluster, job: &Value, id: &ObjectId) -> Result<()> {
    let component = job.pointer("/metadata/labels").and_then(|it| it["app.kubernetes.io/component"].as_str()).unwrap_or("migration");
    for other in cluster.list("batch/v1", "Job", &id.namespace, &format!("app.kubernetes.io/component={component}"))? {
        if let Some(name) = other.pointer("/metadata/name").and_then(Value::as_str).filter(|name| *name != id.name) {
            cluster.delete(&ObjectId::new("batch/v1", "Job", &id.namespace, name))?;
        }
    }
    Ok(())
}

pub(super) fn roll_out(env: &Env, cluster: &Cluster, wanted: &App) -> Result<()> {
    cluster.apply_all(&wanted.app)?;
    for object in wanted.deployments() {
        let id = ObjectId::of(object)?;
        let what = id.to_string();
        let wait = Wait::new(env, &what, ROLLOUT_LIMIT);
        let labels = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object).map(selector).unwrap_or_default();
        let ready = cluster.wait_for_object(env, ID, &wait, &id, verdict::deployment);
        with_evidence(ready, cluster, &id.namespace, &labels)?;
    }
    let address = format!("{}{}", wanted.reach.origin, env.config.app.path);
    let what = format!("{address} to answer 200");
    let wait = Wait::new(env, &what, PAGE_LIMIT);
    let seen = Cell::new(0);
    let answers = cluster.wait_for(env, ID, &wait, || {
        let verdict = all_is_well(env, cluster, wanted)?;
        seen.set(if verdict == Verdict::Yes { seen.get() + 1 } else { 0 });
        // After a node's restart the first look may see a status from before it.
        Ok(if seen.get() == 1 { Verdict::NotYet("it answered once".to_owned()) } else { verdict })
    });
    with_evidence(answers, cluster, &env.config.app.namespace, "")
}

/// Every pod available and the page answering, in one look.
fn all_is_well(env: &Env, cluster: &Cluster, wanted: &App) -> Result<Verdict> {
    for object in wanted.deployments() {
        let id = ObjectId::of(object)?;
        let verdict = match cluster.get(&id)? {
            Some(found) => verdict::deployment(&found),
            None => Verdict::NotYet(format!("{id} is not there")),
        };
        if verdict != Verdict::Yes {
            return Ok(verdict);
        }
    }
    Ok(page(&wanted.reach, &env.config.app.path).map_or_else(Verdict::NotYet, |_| Verdict::Yes))
}

fn selector(labels: &serde_json::Map<String, Value>) -> String {
    let pairs: Vec<String> = labels.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?))).collect();
    pairs.join(",")
}

/// The status of the application's page through the Service, or why there is none.
pub(super) fn page(reach: &Reach, path: &str) -> Result<u16, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(5)))
        .max_redirects(3)
        .http_status_as_error(false)
        // The address is the host's own: a company's proxy has no business with it.
        .proxy(None)
        .build()
        .into();
    let response = agent.get(format!("{}{path}", reach.origin)).call().map_err(|error| error.to_string())?;
    match response.status().as_u16() {
        200 => Ok(200),
        other => Err(format!("status {other}")),
    }
}
