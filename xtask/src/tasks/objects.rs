//! Objects of the cluster as a task's product: are they there, what would change in them, why did a wait for them fail.

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, difference::difference, evidence, verdict},
    deploy::{objects, secrets},
    env::Env,
    errors::Problem,
    tasks::wanted::{self, App, Database},
};

/// Why the objects are not as wanted: the first that is absent, of other inputs, or not ready.
pub(super) fn stale<'a>(cluster: &Cluster, wanted: impl Iterator<Item = &'a Value>) -> Result<Option<String>> {
    for object in wanted {
        let id = ObjectId::of(object)?;
        let Some(found) = cluster.get(&id)? else { return Ok(Some(format!("{id} is not there"))) };
        if objects::inputs_of(&found) != objects::inputs_of(object) {
            return Ok(Some(format!("{id} was applied from other inputs")));
        }
        if let Some(why) = not_ready(&found) {
            return Ok(Some(format!("{id} is not ready: {why}")));
        }
    }
    Ok(None)
}

/// Why a Secret whose values the user gave is not as wanted.
pub(super) fn stale_secret(cluster: &Cluster, secret: Option<Value>) -> Result<Option<String>> {
    let Some(secret) = secret else { return Ok(None) };
    let id = ObjectId::of(&secret)?;
    let holds = cluster.get(&id)?.is_some_and(|found| secrets::contains(&found["data"], &secret["data"]));
    Ok((!holds).then(|| format!("{id} does not hold the given values")))
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

/// Adds to a failed wait what the pods and events say, before anything is changed.
pub(super) fn with_evidence(result: Result<()>, cluster: &Cluster, namespace: &str, labels: &str) -> Result<()> {
    result.map_err(|error| {
        let found = evidence::collect(cluster, namespace, labels);
        match error.downcast::<Problem>() {
            Ok(problem) => Problem { what: format!("{}{found}", problem.what), ..problem }.into(),
            Err(other) => other,
        }
    })
}

/// What operator, database and deploy would change in the cluster's objects: each with the properties that differ, in words.
pub fn preview(env: &Env) -> Result<Vec<String>> {
    let cluster = Cluster::open(env, &env.kubeconfig())?;
    let (operator, database, app) = (wanted::operator(env)?, Database::read(env)?, App::read(env)?);
    let secrets: Vec<Value> = database.given_secret(env)?.into_iter().chain(App::given_secret(env)?).collect();
    // Of the operator's objects its Deployment speaks for all.
    let operator = operator.iter().filter(|it| it["kind"] == "Deployment");
    let mut out = Vec::new();
    for object in operator.chain(database.all()).chain(app.all()).chain(&secrets) {
        out.extend(preview_of(&cluster, object)?);
    }
    Ok(out)
}

fn preview_of(cluster: &Cluster, object: &Value) -> Result<Vec<String>> {
    let id = ObjectId::of(object)?;
    let Some(present) = cluster.get(&id)? else { return Ok(vec![format!("+ {id}")]) };
    if id.kind == "Job" && objects::inputs_of(&present) == objects::inputs_of(object) {
        // It names an earlier image with the same migrations, and cannot change.
        return Ok(Vec::new());
    }
    let would = match cluster.preview(object) {
        Ok(would) => would,
        Err(error) => return Ok(vec![format!("? {id}: cannot be foreseen: {error:#}")]),
    };
    let side = |value: Option<String>| value.unwrap_or_else(|| "(none)".to_owned());
    let changes = difference(&present, &would).into_iter();
    Ok(changes.map(|it| format!("~ {id}: {}: {} -> {}", it.path, side(it.before), side(it.after))).collect())
}
