//! Operator, database, migration and application in the cluster, each waited for by what it must really do.

mod database;
mod rollout;
mod wanted;

use std::{cell::OnceCell, time::Duration};

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, difference::difference, evidence, verdict},
    deploy::{manifests, objects, secrets},
    env::Env,
    errors::Problem,
    fingerprint::Fingerprint,
    graph::TaskId,
    probe::Probe,
    provider::{Provider, provider},
    tasks::{Task, deploy::wanted::Wanted},
};

#[derive(Default)]
pub struct Deploy {
    /// Read once in a run: the operator's manifest alone is 20,000 lines.
    wanted: OnceCell<Wanted>,
}

impl Deploy {
    fn wanted(&self, env: &Env) -> Result<&Wanted> {
        if let Some(wanted) = self.wanted.get() {
            return Ok(wanted);
        }
        let wanted = Wanted::read(env)?;
        Ok(self.wanted.get_or_init(|| wanted))
    }
}

const ID: TaskId = TaskId::Deploy;

/// The Secret with the application's secret key, under the key `secret-key`.
pub const APP_SECRET: &str = "polls-app";

/// For an answer of something that is up.
const PAGE_LIMIT: Duration = Duration::from_secs(120);

impl Task for Deploy {
    fn id(&self) -> TaskId {
        ID
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let wanted = self.wanted(env)?;
        let mut out = Fingerprint::new();
        for object in wanted.all() {
            out.add(ObjectId::of(object)?.to_string(), object.to_string());
        }
        Ok(out)
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        let wanted = self.wanted(env)?;
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        for object in wanted.all() {
            let id = ObjectId::of(object)?;
            let Some(found) = cluster.get(&id)? else { return Ok(Probe::Stale(format!("{id} is not there"))) };
            if objects::inputs_of(&found) != objects::inputs_of(object) {
                return Ok(Probe::Stale(format!("{id} was applied from other inputs")));
            }
            if let Some(why) = not_ready(&found) {
                return Ok(Probe::Stale(format!("{id} is not ready: {why}")));
            }
        }
        for secret in database::given_secrets(env, wanted)? {
            let id = ObjectId::of(&secret)?;
            if cluster.get(&id)?.is_none_or(|found| !secrets::contains(&found["data"], &secret["data"])) {
                return Ok(Probe::Stale(format!("{id} does not hold the given values")));
            }
        }
        match rollout::page(&wanted.reach, &env.config.app.path) {
            Ok(status) => Ok(Probe::Fresh(format!("the page answers {status} out of the database"))),
            Err(why) => Ok(Probe::Stale(format!("the page does not answer: {why}"))),
        }
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        let wanted = self.wanted(env)?;
        let provider = provider(env)?;
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        // The image travels into the cluster while operator and database come up.
        std::thread::scope(|scope| {
            let image = scope.spawn(|| publish(env, provider.as_ref(), &wanted.image));
            let database = database::bring_up(env, &cluster, wanted);
            let image = image.join().unwrap_or_else(|_| Err(Problem::new("the image's transfer ended unexpectedly").into()));
            database.and(image)
        })?;
        rollout::migrate(env, &cluster, wanted)?;
        rollout::roll_out(env, &cluster, wanted)
    }
}

fn not_ready(object: &Value) -> Option<String> {
    let verdict = match object["kind"].as_str().unwrap_or_default() {
        "Deployment" => verdict::deployment(object),
        "Job" => verdict::job(object),
        "Cluster" => verdict::database(object),
        _ => Verdict::Yes,
    };
    match verdict {
        Verdict::Yes => None,
        Verdict::NotYet(why) | Verdict::Never(why) => Some(why),
    }
}

fn publish(env: &Env, provider: &dyn Provider, image: &str) -> Result<()> {
    if provider.has_image(env, image)? {
        env.detail(ID, format!("the cluster has {image}"));
        return Ok(());
    }
    env.detail(ID, format!("bringing {image} to the cluster"));
    provider.publish(env, image)?;
    if !provider.has_image(env, image)? {
        return Err(Problem::new(format!("{image} was brought to the cluster and is not there")).into());
    }
    Ok(())
}

/// The operator's application secret of a `Cluster`.
fn database_secret(database: &Value) -> String {
    format!("{}-app", database["metadata"]["name"].as_str().unwrap_or_default())
}

/// Adds to a failed wait what the pods and events say, before anything is changed.
fn with_evidence(result: Result<()>, cluster: &Cluster, namespace: &str, labels: &str) -> Result<()> {
    result.map_err(|error| {
        let found = evidence::collect(cluster, namespace, labels);
        match error.downcast::<Problem>() {
            Ok(problem) => Problem { what: format!("{}{found}", problem.what), ..problem }.into(),
            Err(other) => other,
        }
    })
}

/// What `deploy` would change in the cluster's objects: each with the properties that differ, in words.
pub fn preview(env: &Env) -> Result<Vec<String>> {
    let wanted = Wanted::read(env)?;
    let cluster = Cluster::open(env, &env.kubeconfig())?;
    let mut out = Vec::new();
    let secrets = database::given_secrets(env, &wanted)?;
    for object in wanted.all().chain(&secrets) {
        let id = ObjectId::of(object)?;
        let Some(present) = cluster.get(&id)? else {
            out.push(format!("+ {id}"));
            continue;
        };
        match cluster.preview(object) {
            Ok(would) => {
                for change in difference(&present, &would) {
                    let side = |value: Option<String>| value.unwrap_or_else(|| "(none)".to_owned());
                    out.push(format!("~ {id}: {}: {} -> {}", change.path, side(change.before), side(change.after)));
                }
            }
            Err(error) => out.push(format!("? {id}: cannot be foreseen: {error:#}")),
        }
    }
    Ok(out)
}

/// Where the database's credentials are, for people: the operator's name for the `Cluster` in the manifests.
pub fn credentials(env: &Env) -> Result<String> {
    let objects = manifests::read_folder(&env.path("deploy/database"))?;
    let database = objects.into_iter().find(|it| it["kind"] == "Cluster").unwrap_or_default();
    Ok(database_secret(&database))
}
