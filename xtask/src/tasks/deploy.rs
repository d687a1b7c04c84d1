//! Operator, database, migration and application in the cluster, each waited for by what it must really do.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, evidence, verdict},
    deploy::{
        manifests,
        objects::{self, Values},
        operator, secrets,
    },
    env::Env,
    errors::Problem,
    fingerprint::Fingerprint,
    graph::TaskId,
    images::{self, Role},
    provider::{Provider, Reach, provider},
    tasks::{Probe, Task, image},
};

pub struct Deploy;

const ID: TaskId = TaskId::Deploy;

/// The Secret with the application's secret key, under the key `secret-key`.
pub const APP_SECRET: &str = "polls-app";

/// Generous for two busy cores; on a quiet machine each takes seconds.
const OPERATOR_LIMIT: Duration = Duration::from_secs(240);
const DATABASE_LIMIT: Duration = Duration::from_secs(420);
const MIGRATION_LIMIT: Duration = Duration::from_secs(300);
const ROLLOUT_LIMIT: Duration = Duration::from_secs(240);
const PAGE_LIMIT: Duration = Duration::from_secs(60);

/// Everything that the deployment consists of, computed before anything is applied.
struct Wanted {
    namespace: Value,
    operator: Vec<Value>,
    /// The `Cluster` of CloudNativePG.
    database: Value,
    /// ConfigMap, ServiceAccount and the like: what pods need to start.
    base: Vec<Value>,
    migration: Option<Value>,
    /// Deployment, Service, Ingress and the rest.
    app: Vec<Value>,
    /// The image as the engine names it.
    image: String,
    reach: Reach,
}

impl Task for Deploy {
    fn id(&self) -> TaskId {
        ID
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let wanted = Wanted::read(env)?;
        let mut out = Fingerprint::new();
        for object in wanted.all() {
            out.add(ObjectId::of(object)?.to_string(), object.to_string());
        }
        Ok(out)
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        let wanted = Wanted::read(env)?;
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
        for secret in given_secrets(env, &wanted)? {
            let id = ObjectId::of(&secret)?;
            if cluster.get(&id)?.is_none_or(|found| !contains(&found["data"], &secret["data"])) {
                return Ok(Probe::Stale(format!("{id} does not hold the given values")));
            }
        }
        match page(&wanted.reach, &env.config.app.path) {
            Ok(status) => Ok(Probe::Fresh(format!("the page answers {status} out of the database"))),
            Err(why) => Ok(Probe::Stale(format!("the page does not answer: {why}"))),
        }
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        let wanted = Wanted::read(env)?;
        let provider = provider(env)?;
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        // The image travels into the cluster while operator and database come up.
        std::thread::scope(|scope| {
            let image = scope.spawn(|| publish(env, provider.as_ref(), &wanted.image));
            let database = bring_up_database(env, &cluster, &wanted);
            let image = image.join().unwrap_or_else(|_| Err(Problem::new("the image's transfer ended unexpectedly").into()));
            database.and(image)
        })?;
        migrate(env, &cluster, &wanted)?;
        roll_out(env, &cluster, &wanted)
    }
}

impl Wanted {
    fn read(env: &Env) -> Result<Wanted> {
        let reach = provider(env)?.reach(env)?;
        let image = image::current(env)?;
        let postgresql = images::reference(env, ID, Role::Postgresql)?;
        let values = Values {
            config: &env.config,
            instance: &env.instance,
            image: &image,
            postgresql: &postgresql,
            reach: &reach,
            own_credentials: env.config.database.password.is_some(),
        };
        let security = pod_security_version(env)?;
        let manifest = images::operator_manifest(env, ID)?;
        let operator = operator::objects(&manifest, &images::reference(env, ID, Role::Operator)?, &env.instance, &security)?;
        let mut namespace = None;
        let mut database = None;
        let mut migration = None;
        let (mut base, mut app) = (Vec::new(), Vec::new());
        for folder in ["deploy/database", "deploy/frontend"] {
            for object in manifests::read_folder(&env.path(folder))? {
                let object = objects::complete(object, &values);
                match object["kind"].as_str().unwrap_or_default() {
                    "Namespace" => namespace = Some(object),
                    "Cluster" => database = Some(object),
                    "Job" => migration = Some(objects::name_by_content(object)),
                    "ConfigMap" | "ServiceAccount" | "NetworkPolicy" | "Role" | "RoleBinding" => base.push(object),
                    _ => app.push(object),
                }
            }
        }
        let missing = |what: &str| Problem::config(format!("the manifests in deploy/ hold no {what}"));
        Ok(Wanted {
            namespace: namespace.ok_or_else(|| missing("Namespace"))?,
            operator,
            database: database.ok_or_else(|| missing("Cluster"))?,
            base,
            migration,
            app,
            image,
            reach,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Value> {
        // Of the operator's objects its Deployment speaks for all: it crashes without the others.
        let operator = self.operator.iter().filter(|it| it["kind"] == "Deployment");
        std::iter::once(&self.namespace).chain(operator).chain([&self.database]).chain(&self.base).chain(&self.migration).chain(&self.app)
    }
}

/// Pod Security's standards are versioned like Kubernetes: `v1.36`.
fn pod_security_version(env: &Env) -> Result<String> {
    let version = images::packages::versions(env)?.kubernetes;
    let mut parts = version.split('.');
    Ok(format!("v{}.{}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default()))
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

fn bring_up_database(env: &Env, cluster: &Cluster, wanted: &Wanted) -> Result<()> {
    env.progress(ID, "installing the operator");
    for object in wanted.operator.iter().chain([&wanted.namespace]) {
        apply_when_known(env, cluster, object)?;
    }
    provide_secrets(env, cluster, wanted)?;
    for object in &wanted.base {
        cluster.apply(object)?;
    }
    // The operator is there when it would take our own database, not when its pod says so.
    let wait = Wait::new(env, "the operator to take the database", OPERATOR_LIMIT);
    let ready = cluster.wait_for(env, ID, &wait, || Ok(acceptance(cluster.would_accept(&wanted.database))));
    with_evidence(ready, cluster, operator::NAMESPACE, "")?;
    cluster.apply(&wanted.database)?;
    let id = ObjectId::of(&wanted.database)?;
    let wait = Wait::new(env, "the database", DATABASE_LIMIT);
    let ready = cluster.wait_for_object(env, ID, &wait, &id, verdict::database);
    with_evidence(ready, cluster, &id.namespace, "")?;
    let wait = Wait::new(env, "an answer of the database", PAGE_LIMIT);
    cluster.wait_for(env, ID, &wait, || ask_database(env, cluster, &id))
}

/// Definitions need a moment until the API server serves their kinds.
fn apply_when_known(env: &Env, cluster: &Cluster, object: &Value) -> Result<()> {
    let id = ObjectId::of(object)?;
    let what = id.to_string();
    let wait = Wait::new(env, &what, Duration::from_secs(60));
    cluster.wait_for(env, ID, &wait, || Ok(acceptance(cluster.apply(object))))
}

/// Whether an apply that failed may work later: the webhook or the kind's definition is not there yet.
fn acceptance(result: Result<()>) -> Verdict {
    let Err(error) = result else { return Verdict::Yes };
    let text = format!("{error:#}");
    let later = [
        "failed calling webhook",
        "could not find the requested resource",
        "page not found",
        "connect",
        "not found",
        "timed out",
        "unavailable",
    ];
    if text.contains("denied the request") || !later.iter().any(|it| text.to_lowercase().contains(it)) {
        Verdict::Never(text)
    } else {
        Verdict::NotYet(text)
    }
}

/// Given ones are applied; a generated one is made once and kept only in the cluster.
fn provide_secrets(env: &Env, cluster: &Cluster, wanted: &Wanted) -> Result<()> {
    for secret in given_secrets(env, wanted)? {
        cluster.apply(&secret)?;
    }
    let namespace = &env.config.app.namespace;
    let id = ObjectId::new("v1", "Secret", namespace, APP_SECRET);
    if env.config.app.secret_key.is_none() && cluster.get(&id)?.is_none() {
        let key = secrets::generate()?;
        cluster.apply(&secrets::object(namespace, APP_SECRET, "Opaque", &env.instance, &[("secret-key", key.expose())])?)?;
    }
    Ok(())
}

/// The Secrets whose values the user gave.
fn given_secrets(env: &Env, wanted: &Wanted) -> Result<Vec<Value>> {
    let namespace = &env.config.app.namespace;
    let mut out = Vec::new();
    if let Some(key) = &env.config.app.secret_key {
        out.push(secrets::object(namespace, APP_SECRET, "Opaque", &env.instance, &[("secret-key", key.expose())])?);
    }
    let database = &env.config.database;
    if let Some(password) = &database.password {
        let host = format!("{}-rw", wanted.database["metadata"]["name"].as_str().unwrap_or_default());
        let entries = [
            ("username", database.user.as_str()),
            ("password", password.expose()),
            ("dbname", database.name.as_str()),
            ("host", host.as_str()),
            ("port", "5432"),
        ];
        out.push(secrets::object(namespace, &database_secret(&wanted.database), "kubernetes.io/basic-auth", &env.instance, &entries)?);
    }
    Ok(out)
}

/// Whether every entry of `wanted` is in `found`.
fn contains(found: &Value, wanted: &Value) -> bool {
    wanted.as_object().is_some_and(|it| it.iter().all(|(name, value)| found.get(name) == Some(value)))
}

/// The operator's application secret of a `Cluster`.
fn database_secret(database: &Value) -> String {
    format!("{}-app", database["metadata"]["name"].as_str().unwrap_or_default())
}

/// A statement through the primary itself: `Ready` is the operator's word, this is the database's.
fn ask_database(env: &Env, cluster: &Cluster, id: &ObjectId) -> Result<Verdict> {
    let object = cluster.get(id)?.with_context(|| format!("{id} is gone"))?;
    let Some(primary) = object.pointer("/status/currentPrimary").and_then(Value::as_str) else {
        return Ok(Verdict::NotYet("there is no primary yet".to_owned()));
    };
    let answer = cluster.exec(&id.namespace, primary, "postgres", &["psql", "-d", &env.config.database.name, "-tAc", "SELECT 40 + 2"])?;
    Ok(if answer.trim() == "42" { Verdict::Yes } else { Verdict::NotYet(format!("it answers {answer:?}")) })
}

fn migrate(env: &Env, cluster: &Cluster, wanted: &Wanted) -> Result<()> {
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

fn roll_out(env: &Env, cluster: &Cluster, wanted: &Wanted) -> Result<()> {
    for object in &wanted.app {
        cluster.apply(object)?;
    }
    for object in wanted.app.iter().filter(|it| it["kind"] == "Deployment") {
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
    let answers =
        cluster.wait_for(env, ID, &wait, || Ok(page(&wanted.reach, &env.config.app.path).map_or_else(Verdict::NotYet, |_| Verdict::Yes)));
    with_evidence(answers, cluster, &env.config.app.namespace, "")
}

fn selector(labels: &serde_json::Map<String, Value>) -> String {
    let pairs: Vec<String> = labels.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?))).collect();
    pairs.join(",")
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

/// The status of the application's page through the Service, or why there is none.
fn page(reach: &Reach, path: &str) -> Result<u16, String> {
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

/// Where the database's credentials are, for people: the operator's name for the `Cluster` in the manifests.
pub fn credentials(env: &Env) -> Result<String> {
    let objects = manifests::read_folder(&env.path("deploy/database"))?;
    let database = objects.into_iter().find(|it| it["kind"] == "Cluster").unwrap_or_default();
    Ok(database_secret(&database))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn only_what_may_come_is_waited_for() {
        let verdict = |text: &str| acceptance(Err(anyhow!("{text}")));
        assert!(matches!(verdict("Internal error occurred: failed calling webhook \"x\": connection refused"), Verdict::NotYet(_)));
        assert!(matches!(verdict("the server could not find the requested resource"), Verdict::NotYet(_)));
        assert!(matches!(verdict("admission webhook \"x\" denied the request: not found in list"), Verdict::Never(_)));
        assert!(matches!(verdict("Cluster is invalid: spec.instances: must be at least 1"), Verdict::Never(_)));
        assert_eq!(acceptance(Ok(())), Verdict::Yes);
    }
}
