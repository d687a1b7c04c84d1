//! Objects of the cluster as a task's product: whether they exist, what would change in them, and evidence of a failed wait.

use std::{cell::OnceCell, fmt};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    cluster::{
        Cluster, ObjectId, Verdict,
        difference::{Change, difference},
        evidence,
        obstacle::Patience,
        survey::{Seen, State, Survey},
        verdict,
    },
    config::ClusterType,
    deploy::{objects, secrets},
    env::Env,
    errors::{self, Code, Problem},
    fingerprint::Fingerprint,
    tasks::{
        certificate, deploy,
        desired::{self, App, Database},
        service_secrets::ValuesFrom,
    },
};

/// For pods that do not start: only kind's nodes are as many as at the start, whatever is asked of them.
pub(super) fn patience(env: &Env) -> Patience {
    if env.config.cluster.kind == ClusterType::Kind { Patience::with_fixed_nodes() } else { Patience::default() }
}

/// The task's desired objects, read on first use, since manifests may have 20,000 lines.
pub(super) fn once<T>(cell: &OnceCell<T>, read: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(desired) = cell.get() {
        return Ok(desired);
    }
    let desired = read()?;
    Ok(cell.get_or_init(|| desired))
}

/// The inputs of a task whose product is objects.
pub(super) fn fingerprint<'a>(objects: impl Iterator<Item = &'a Value>) -> Result<Fingerprint> {
    let mut out = Fingerprint::new();
    for object in objects {
        out.add(ObjectId::of(object)?.to_string(), object.to_string());
    }
    Ok(out)
}

/// The state of each object, in the given order.
pub(super) fn look<'a>(env: &Env, cluster: &Cluster, desired: impl Iterator<Item = &'a Value>) -> Result<Vec<Seen>> {
    let label = format!("{}={}", objects::INSTANCE, env.instance);
    let desired: Vec<&Value> = desired.collect();
    let mut seen = cluster.survey(&Survey { desired: desired.clone(), label: &label, inputs: objects::INPUTS })?;
    for (it, object) in seen.iter_mut().zip(&desired) {
        if matches!(it.state, State::NotReady(Verdict::NotYet(_))) && is_unused(object, &desired) {
            it.state = State::Well;
        }
    }
    for it in seen.iter_mut().filter(|it| it.id.kind == "Job" && matches!(it.state, State::NotReady(Verdict::NotYet(_)))) {
        if cluster.get(&it.id)?.map_or(Ok(false), |job| has_worked(cluster, &job))? {
            it.state = State::Well;
        }
    }
    Ok(seen)
}

/// Whether the object is a PVC that no running pod of these objects uses: a StorageClass may bind it only then.
pub(super) fn is_unused(object: &Value, all: &[&Value]) -> bool {
    if object["kind"] != "PersistentVolumeClaim" {
        return false;
    }
    let (name, namespace) = (&object["metadata"]["name"], &object["metadata"]["namespace"]);
    let uses = |it: &&&Value| it["metadata"]["namespace"] == *namespace && it["kind"] != "CronJob" && names_claim(it, name);
    !all.iter().any(|it| uses(&it))
}

/// Whether a volume in the object uses this PVC.
fn names_claim(object: &Value, name: &Value) -> bool {
    match object {
        Value::Array(items) => items.iter().any(|it| names_claim(it, name)),
        Value::Object(fields) => {
            fields.get("persistentVolumeClaim").is_some_and(|it| it["claimName"] == *name)
                || fields.values().any(|it| names_claim(it, name))
        }
        _ => false,
    }
}

/// Selects the Job's own pods. Pods of an earlier Job with the same name may exist for some time after it: the garbage collector deletes them.
pub(super) fn pods_of_job(job: &Value) -> String {
    format!("batch.kubernetes.io/controller-uid={}", job.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default())
}

/// Whether a pod of the existing Job has succeeded. The Job's status follows later, since its controller counts a pod only after the node's
/// clean-up, and once a second.
pub(super) fn has_worked(cluster: &Cluster, job: &Value) -> Result<bool> {
    let pods = cluster.list("v1", "Pod", &ObjectId::of(job)?.namespace, &pods_of_job(job))?;
    Ok(pods.iter().any(verdict::has_worked))
}

/// Why the objects are not as desired: see `first_unwell`.
pub(super) fn stale<'a>(env: &Env, cluster: &Cluster, desired: impl Iterator<Item = &'a Value>) -> Result<Option<String>> {
    Ok(first_unwell(env, cluster, desired)?.map(|it| it.to_string()))
}

/// The first object that is missing, changed or of other inputs; else the first that is not ready.
pub(super) fn first_unwell<'a>(env: &Env, cluster: &Cluster, desired: impl Iterator<Item = &'a Value>) -> Result<Option<Seen>> {
    let seen = look(env, cluster, desired)?;
    let unwell = seen.into_iter().filter(|it| match &it.state {
        State::Well => false,
        State::NotReady(_) => verdict::must_be_done(&it.id.kind),
        _ => true,
    });
    // An object may be not ready because another one is missing.
    Ok(unwell.min_by_key(|it| matches!(it.state, State::NotReady(_))))
}

/// The state of every object of the instance: the operator's, the database's, the application's, and their Secrets.
pub fn look_at_all(env: &Env, cluster: &Cluster) -> Result<Vec<Seen>> {
    let (operator, database, app) = (desired::operator(env)?, Database::read(env)?, App::read_from(env, ValuesFrom::Cluster)?);
    // After a rollback, an earlier revision's objects are the right ones. Its Jobs have ended long ago.
    let back = deploy::rolled_back(cluster, &env.config.namespace)?.map(|it| it.applicable()).transpose()?;
    let app: Vec<Value> = match back {
        Some((objects, _)) => objects.into_iter().filter(|it| it["kind"] != "Job").collect(),
        None => app.all().cloned().collect(),
    };
    let given: Vec<Value> = database.given_secrets(env)?.into_iter().chain(App::given_secrets(env)?).collect();
    let mut out = look(env, cluster, operator.iter().chain(database.all()).chain(&app).chain(&given))?;
    out.extend(generated_keys(env, cluster)?);
    out.extend(certificate::look(env, cluster)?);
    Ok(out)
}

/// The Secrets with generated keys. The value is only in the cluster, so any value is right.
pub(super) fn generated_keys(env: &Env, cluster: &Cluster) -> Result<Vec<Seen>> {
    let look = |id: ObjectId| -> Result<Seen> {
        let state = match cluster.get(&id)? {
            None => State::Missing,
            Some(found) if found["data"]["secret-key"].as_str().is_none_or(str::is_empty) => {
                State::NotReady(Verdict::NotYet("it holds no secret-key".to_owned()))
            }
            Some(_) => State::Well,
        };
        Ok(Seen { id, state })
    };
    App::generated_secrets(env).into_iter().map(look).collect()
}

/// Why one of the Secrets with given values is not as desired.
pub(super) fn stale_secret(cluster: &Cluster, secrets: &[Value]) -> Result<Option<String>> {
    for secret in secrets {
        let id = ObjectId::of(secret)?;
        if cluster.get(&id)?.is_none_or(|found| !secrets::contains(&found["data"], &secret["data"])) {
            return Ok(Some(format!("{id} does not hold the given values")));
        }
    }
    Ok(None)
}

/// Adds probable cause and evidence to a failed wait, before anything is changed.
pub(super) fn with_evidence(result: Result<()>, cluster: &Cluster, namespace: &str, labels: &str) -> Result<()> {
    result.map_err(|error| {
        // After a signal, no more requests to the cluster.
        if matches!(errors::code(&error), Code::Interrupted | Code::RunTimedOut) {
            return error;
        }
        match error.downcast::<Problem>() {
            Ok(problem) => evidence::collect(cluster, namespace, labels).explain(problem).into(),
            Err(other) => other,
        }
    })
}

/// The planned change of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectChange {
    /// Kind, name and namespace.
    pub object: String,
    pub action: ObjectAction,
    /// The fields that differ; values of Secrets are never shown.
    pub properties: Vec<Change>,
    /// Why the change is unknown, or why it is made.
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectAction {
    Create,
    Change,
    Delete,
    /// The API server did not answer.
    Unknown,
}

impl fmt::Display for ObjectChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.action {
            ObjectAction::Create => '+',
            ObjectAction::Change => '~',
            ObjectAction::Delete => '-',
            ObjectAction::Unknown => '?',
        };
        write!(f, "{mark} {}", self.object)?;
        if let Some(reason) = &self.reason {
            write!(f, ": {reason}")?;
        }
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
        match self.properties.as_slice() {
            [] => Ok(()),
            [one] => write!(f, ": {}: {} -> {}", one.path, side(&one.before), side(&one.after)),
            all => all.iter().try_for_each(|it| write!(f, "\n      {}: {} -> {}", it.path, side(&it.before), side(&it.after))),
        }
    }
}

/// The changes of operator, database and deploy in the cluster's objects, from server-side dry runs.
pub fn preview(env: &Env) -> Result<Vec<ObjectChange>> {
    let cluster = Cluster::open(env, &env.kubeconfig())?;
    let (operator, database, app) = (desired::operator(env)?, Database::read(env)?, App::read(env)?);
    let secrets: Vec<Value> = database.given_secrets(env)?.into_iter().chain(App::given_secrets(env)?).collect();
    let objects = || operator.iter().chain(database.all()).chain(app.all());
    let mut out = Vec::new();
    for (object, seen) in objects().zip(look(env, &cluster, objects())?) {
        if !matches!(seen.state, State::Well | State::NotReady(_)) {
            out.extend(preview_of(&cluster, object)?);
        }
    }
    if app.address.is_none() {
        out.iter_mut().flat_map(|it| &mut it.properties).filter(|it| objects::follows_address(&it.path)).for_each(|it| {
            it.after = Some("(known after apply)".to_owned());
        });
        let (object, reason) = ("the application's address".to_owned(), Some("known after apply: the cluster assigns it".to_owned()));
        out.push(ObjectChange { object, action: ObjectAction::Unknown, properties: Vec::new(), reason });
    }
    for secret in &secrets {
        out.extend(preview_of(&cluster, secret)?);
    }
    for migration in &app.migrations {
        if cluster.get(&ObjectId::of(migration)?)?.is_none() {
            let earlier = earlier_migrations(&cluster, migration)?;
            out.extend(earlier.iter().map(|id| of(id, ObjectAction::Delete, Some("an earlier migration".to_owned()))));
        }
    }
    let left = deploy::left_manifests(env, &cluster, app.all())?.into_iter().filter(|(_, may_hold_data)| !may_hold_data);
    out.extend(left.map(|(id, _)| of(&id, ObjectAction::Delete, Some("no longer in deploy/".to_owned()))));
    for generated in App::generated_secrets(env) {
        if cluster.get(&generated)?.is_none() {
            out.push(of(&generated, ObjectAction::Create, Some("generated once, and kept only in the cluster".to_owned())));
        }
    }
    Ok(out)
}

/// Migration Jobs with another content, which are deleted after this one has succeeded.
pub(super) fn earlier_migrations(cluster: &Cluster, desired: &Value) -> Result<Vec<ObjectId>> {
    let id = ObjectId::of(desired)?;
    let component = desired.pointer("/metadata/labels").and_then(|it| it["app.kubernetes.io/component"].as_str()).unwrap_or("migration");
    let found = cluster.list("batch/v1", "Job", &id.namespace, &format!("app.kubernetes.io/component={component}"))?;
    let names = found.iter().filter_map(|it| it.pointer("/metadata/name").and_then(Value::as_str)).filter(|name| *name != id.name);
    Ok(names.map(|name| ObjectId::new("batch/v1", "Job", &id.namespace, name)).collect())
}

fn preview_of(cluster: &Cluster, object: &Value) -> Result<Option<ObjectChange>> {
    let id = ObjectId::of(object)?;
    let Some(present) = cluster.get(&id)? else { return Ok(Some(of(&id, ObjectAction::Create, None))) };
    if id.kind == "Job" && objects::inputs_of(&present) == objects::inputs_of(object) {
        // It names an earlier image with the same migrations, and cannot be changed.
        return Ok(None);
    }
    if id.kind == "Job" {
        return Ok(Some(of(&id, ObjectAction::Change, Some("its content changed: it runs again under the same name".to_owned()))));
    }
    let would = match cluster.preview(object) {
        Ok(would) => would,
        Err(error) => return Ok(Some(of(&id, ObjectAction::Unknown, Some(format!("is unknown: {error:#}"))))),
    };
    let properties = difference(&present, &would);
    Ok((!properties.is_empty()).then(|| ObjectChange { properties, ..of(&id, ObjectAction::Change, None) }))
}

fn of(id: &ObjectId, action: ObjectAction, reason: Option<String>) -> ObjectChange {
    ObjectChange { object: id.to_string(), action, properties: Vec::new(), reason }
}
