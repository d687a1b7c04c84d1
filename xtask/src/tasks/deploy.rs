//! Migration and application: applies the objects and waits until they work.

mod added;
mod address;
mod change;
mod develop;
mod front_door;
mod history;
mod jobs;
mod migration;
mod restore;
mod rollback;
mod rollout;
mod settle;

use std::{cell::OnceCell, time::Duration};

use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;

pub use crate::tasks::deploy::{
    added::{besides_serving, left_manifests},
    develop::develop,
    front_door::explain as explain_front_door,
    history::{Outcome, Revision},
    restore::restore,
    rollback::{Target, rollback, rollback_target, rolled_back},
    rollout::labels,
};

use crate::{
    cluster::{
        Cluster, ObjectId, Verdict, Wait,
        survey::{Seen, State},
        verdict,
    },
    config::ServiceName,
    deploy::{
        objects::{INSTANCE, waits_for_database},
        secrets,
    },
    env::Env,
    errors::{Code, Problem},
    exposure::Address,
    fingerprint::Fingerprint,
    graph::TaskId,
    probe::Probe,
    provider::provider,
    record::{self, LastAddress},
    snapshot,
    tasks::{
        Task, certificate,
        deploy::change::Change,
        desired::{self, App},
        image,
        objects::{fingerprint, generated_keys, once, stale, stale_secret},
        service_secrets::key_secret,
    },
};

#[derive(Default)]
pub struct Deploy {
    desired: OnceCell<App>,
    /// The application's objects with an address that was unknown before.
    settled: OnceCell<App>,
}

const ID: TaskId = TaskId::Deploy;

/// The inputs of the serving image, to explain the next change.
const DEPLOYED: &str = "record/deployed-image.json";

/// The API server serves a new CRD within seconds.
const DEFINITION_LIMIT: Duration = Duration::from_secs(30);

/// So often in a row, a tenth of a second apart, the page must answer after its way here has changed: controllers say that they serve a
/// route up to two seconds before they do (`providersThrottleDuration` of Traefik).
pub(super) const STEADY: usize = 30;

/// For an answer of a running component.
const PAGE_LIMIT: Duration = Duration::from_secs(120);

impl Deploy {
    fn desired(&self, env: &Env) -> Result<&App> {
        match self.settled.get() {
            Some(settled) => Ok(settled),
            None => once(&self.desired, || App::read(env)),
        }
    }

    /// The objects with all settings that contain the application's address. If it is unknown, applies the Services, waits for it, and
    /// applies the objects that pods need to start once more.
    fn settle<'a>(&'a self, env: &Env, cluster: &Cluster, desired: &'a App) -> Result<(&'a App, Address)> {
        if let Some(address) = &desired.address {
            return Ok((desired, address.clone()));
        }
        let services: Vec<Value> = desired.app.iter().filter(|it| it["kind"] == "Service").cloned().collect();
        cluster.apply_all(&services)?;
        let address = address::wait(env, cluster, ID)?;
        env.note(ID, format!("the application's address is {}", address.origin));
        let settled = once(&self.settled, || App::read(env))?;
        cluster.apply_all(&settled.base)?;
        Ok((settled, address))
    }
}

impl Task for Deploy {
    fn id(&self) -> TaskId {
        ID
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        fingerprint(self.desired(env)?.all())
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        let desired = self.desired(env)?;
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        let stale = match stale(env, &cluster, desired.all())? {
            None => match stale_keys(env, &cluster)?.first() {
                Some(it) => Some(it.to_string()),
                None => match certificate::stale(env, &cluster)? {
                    None => stale_secret(&cluster, &App::given_secrets(env)?)?,
                    found => found,
                },
            },
            found => found,
        };
        if let Some(why) = stale {
            return Ok(Probe::Stale(why));
        }
        if let Some(why) = history::differs(&cluster, &env.config.namespace, &image::all(env)?)? {
            return Ok(Probe::Stale(why));
        }
        let left = left_manifests(env, &cluster, desired.all())?;
        if let Some((id, _)) = left.iter().find(|(_, may_hold_data)| !may_hold_data) {
            return Ok(Probe::Stale(format!("{id} is no longer in deploy/")));
        }
        let Some(address) = &desired.address else { return Ok(Probe::Stale("the application has no address yet".to_owned())) };
        // A connection that leads to a pod that has just ended gets no answer, and the next one is led to another pod. What the page says while
        // pods change may be over, too.
        let again = |_| {
            env.interrupt.check().map_err(|it| it.to_string())?;
            rollout::pages(env, address)
        };
        match rollout::pages(env, address).or_else(again) {
            Ok(status) => Ok(Probe::Fresh(format!("the page answers {status}"))),
            Err(why) => Ok(Probe::Stale(format!("the page does not answer: {why}"))),
        }
    }

    fn run(&self, env: &Env, want: &Fingerprint) -> Result<()> {
        let desired = self.desired(env)?;
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        // On a first deployment, the objects can be applied while the image is still loading; later, nothing changes before it is loaded.
        let revisions = history::read(&cluster, &env.config.namespace)?;
        let lost = history::lost(&cluster, &env.config.namespace)?;
        let is_first = serving(&revisions).is_none() && lost.is_none();
        let images_are_there = || -> Result<()> {
            let loads = env.graph.named(TaskId::Load);
            loads.into_iter().try_for_each(|it| env.task_progress.until_ended(&env.interrupt, ID, it))
        };
        if !is_first {
            images_are_there()?;
        }
        // What leads here now goes, such as an Ingress that a Gateway replaces.
        let is_way = |(id, _): &(ObjectId, bool)| ["Ingress", "HTTPRoute", "Gateway"].contains(&id.kind.as_str());
        let moves = env.config.is_behind_others() && left_manifests(env, &cluster, desired.all())?.iter().any(is_way);
        provide_secrets(env, &cluster)?;
        let image = inputs_of_images(env)?;
        let deployed = env.work(DEPLOYED);
        let changed = || record::read_fingerprint(&deployed).and_then(|last| image.difference(&last));
        let why = history::first_reason(&revisions, lost).or_else(changed);
        let change = Change {
            images: image::all(env)?,
            why: why.or_else(|| record::changed(env, ID, want)).unwrap_or_else(|| "the cluster was not as wanted".to_owned()),
            objects: desired.revision(),
        };
        change::carry_out(env, &cluster, ID, change, || {
            prepare(env, &cluster, ID, desired)?;
            images_are_there()?;
            begin_brought(env, &cluster, desired)?;
            // On a first deployment, pods that say that they wait for the database start while it starts and the migration runs.
            let is_settled = desired.address.is_some();
            let has_begun = is_first && is_settled && begin(env, &cluster, desired)?;
            // The first deployment must not serve before the cluster is finished, since the next run recreates an unfinished one.
            for need in [TaskId::Cluster, TaskId::Database] {
                env.task_progress.until_ended(&env.interrupt, ID, need)?;
            }
            // Without that, pods start after the migration: some make their tables themselves, and would collide with it.
            if is_first && is_settled && !has_begun && desired.migrations.is_empty() {
                cluster.apply_all(&desired.app)?;
            }
            migration::migrate_all(env, &cluster, ID, &desired.migrations, || keep(env, &cluster))?;
            replace_strangers(env, &cluster, desired)?;
            let (settled, address) = self.settle(env, &cluster, desired)?;
            if let Some(warning) = address.warning() {
                env.note(ID, warning);
            }
            // After a failed migration no other Job runs.
            jobs::apply(env, &cluster, ID, &settled.jobs)?;
            rollout::roll_out(env, &cluster, ID, &settled.app, &address)?;
            jobs::wait(env, &cluster, ID, &settled.jobs)?;
            settle::wait(env, &cluster, ID, settled.first.iter().chain(&settled.base).chain(&settled.app))?;
            certificate::clear(env, &cluster)?;
            let kept = LastAddress { instance: env.instance.clone(), origin: address.origin };
            record::write_json(&env.work(record::ADDRESS), &kept)?;
            if is_first && let Some(Err(why)) = provider(env).policies(env)?.map(|it| it.seen) {
                env.note(ID, format!("NetworkPolicies are {why}; `validate` says what helps"));
            }
            Ok((!is_settled).then(|| settled.revision()))
        })?;
        if moves && let Some(address) = provider(env).address(env)? {
            rollout::answers(env, &cluster, ID, &[], &address, STEADY)?;
        }
        record::write_json(&deployed, &image)
    }
}

/// The inputs of the services' images, to explain a change.
fn inputs_of_images(env: &Env) -> Result<Fingerprint> {
    let mut out = Fingerprint::new();
    for service in env.config.built() {
        let inputs = image::inputs(env, service)?;
        out.extend(inputs.parts().map(|(name, digest)| match service {
            Some(service) => (format!("{service}: {name}"), digest),
            None => (name.to_owned(), digest),
        }));
    }
    Ok(out)
}

/// Applies what pods need, in two steps: CRDs and classes before objects that use them.
fn prepare(env: &Env, cluster: &Cluster, task: TaskId, desired: &App) -> Result<()> {
    if !provider(env).features(env).throw_away {
        refuse_others(env, cluster, desired)?;
    }
    cluster.apply_all(&desired.first)?;
    for definition in desired.first.iter().filter(|it| it["kind"] == "CustomResourceDefinition") {
        let (id, what) = (ObjectId::of(definition)?, "a CRD to be served");
        cluster.wait_for_object(env, task, &Wait::new(env, what, DEFINITION_LIMIT), &id, verdict::of)?;
    }
    cluster.apply_all(&desired.base)
}

/// Refuses to change a cluster-scoped object of another owner with the same name in a shared cluster.
fn refuse_others(env: &Env, cluster: &Cluster, desired: &App) -> Result<()> {
    for object in desired.first.iter().chain(&desired.app) {
        let id = ObjectId::of(object)?;
        if id.namespace.is_empty()
            && let Some(found) = cluster.get(&id)?
            && found["metadata"]["labels"][INSTANCE] != env.instance.as_str()
        {
            let hint = "give it another name in deploy/frontend, or remove it: the cluster has it already";
            return Err(Problem::config(format!("{id} is there, and not of this instance")).code(Code::Manifest).hint(hint).into());
        }
    }
    Ok(())
}

/// The services with a kind.
fn brought(env: &Env) -> Vec<ServiceName> {
    env.config.all_services().filter(|(_, it)| it.kind.is_some()).filter_map(|(name, _)| name).collect()
}

/// Starts the caches, mail catchers and the Ingress controller that do not exist yet. They need no database, and a migration or a worker may
/// need them at its start. The node port changes hands with everything else.
fn begin_brought(env: &Env, cluster: &Cluster, desired: &App) -> Result<()> {
    for object in desired.of_services(&brought(env)).filter(|it| it["spec"]["type"] != "NodePort") {
        if cluster.get(&ObjectId::of(object)?)?.is_none() {
            cluster.apply(object)?;
        }
    }
    Ok(())
}

/// Starts the pods that wait for the database themselves; returns whether the application's are among them. The migration starts first,
/// since the application is not ready before its end.
fn begin(env: &Env, cluster: &Cluster, desired: &App) -> Result<bool> {
    // With several migrations, each is applied when the one before has ended.
    if let Some(job) = desired.migrations.first()
        && waits_for_database(job)
        && cluster.get(&ObjectId::of(job)?)?.is_none()
    {
        cluster.apply(job)?;
    }
    let others: Vec<&Value> = desired.of_services(&brought(env)).collect();
    let app_waits = desired.app.iter().filter(|it| it["kind"] == "Deployment" && !others.contains(it)).all(waits_for_database);
    if app_waits {
        cluster.apply_all(&desired.app)?;
    }
    Ok(app_waits)
}

/// Deletes pods older than the database's Secret. They read the credentials of a previous database at start and never read them again; the
/// Deployment starts new ones.
fn replace_strangers(env: &Env, cluster: &Cluster, desired: &App) -> Result<()> {
    let namespace = &env.config.namespace;
    let secret = ObjectId::new("v1", "Secret", namespace, &desired::credentials(env)?);
    let Some(secret) = cluster.get(&secret)? else { return Ok(()) };
    for deployment in desired.app.iter().filter(|it| it["kind"] == "Deployment") {
        for pod in cluster.list("v1", "Pod", namespace, &rollout::labels(deployment))? {
            if predates(&pod, &secret) {
                let id = ObjectId::of(&pod)?;
                env.note(ID, format!("{id} has the credentials of an earlier database: it is replaced"));
                cluster.delete(&id)?;
            }
        }
    }
    Ok(())
}

/// Compares seconds. Timestamps of the API server have the same format, so they compare as strings.
fn predates(object: &Value, than: &Value) -> bool {
    let made = |it: &Value| it.pointer("/metadata/creationTimestamp").and_then(Value::as_str).map(str::to_owned);
    made(object).is_some_and(|it| made(than).is_some_and(|than| it < than))
}

/// Takes a snapshot before the migration of a database that has served.
fn keep(env: &Env, cluster: &Cluster) -> Result<()> {
    if history::serving(&history::read(cluster, &env.config.namespace)?).is_some() {
        let file = snapshot::take_before(env, ID, cluster, &desired::database(env)?, "migration")?;
        env.note(ID, format!("a migration may change the tables: a snapshot of them is in {}", file.display()));
    }
    Ok(())
}

/// Waits until the database is ready and the application's page, and those of services with a route, answer 200. `since`: the time when the
/// nodes `started` were started; what pods on these say of earlier containers does not count.
pub fn wait_for_page(env: &Env, cluster: &Cluster, task: TaskId, since: Timestamp, started: &[String]) -> Result<()> {
    let address = match provider(env).address(env)? {
        Some(address) => address,
        None => address::wait(env, cluster, task)?,
    };
    let database = desired::database(env)?;
    let is_there = |it: &&Value| started.iter().any(|node| it.pointer("/spec/nodeName").is_some_and(|name| name == node));
    cluster.wait_for(env, task, &Wait::new(env, "pods and database", PAGE_LIMIT * 2), || {
        let pods = cluster.list("v1", "Pod", &env.config.namespace, "")?;
        if let Some(old) = pods.iter().filter(is_there).find(|it| !rollout::is_of_now(it, since)) {
            return Ok(Verdict::NotYet(format!("{} has not started again", ObjectId::of(old)?)));
        }
        Ok(cluster.get(&database)?.map_or(Verdict::NotYet(format!("{database} does not exist")), |it| verdict::of(&it)))
    })?;
    rollout::answers(env, cluster, task, &[], &address, 1)
}

/// The revisions in the cluster, oldest first.
pub fn revisions(env: &Env) -> Result<Vec<Revision>> {
    history::read(&Cluster::open(env, &env.kubeconfig())?, &env.config.namespace)
}

/// The number of the newest revision, if the history is gone; revisions have numbers above it from then on.
pub fn lost_history(env: &Env, cluster: &Cluster) -> Result<Option<u32>> {
    history::lost(cluster, &env.config.namespace)
}

/// The number of the serving revision.
pub fn serving(revisions: &[Revision]) -> Option<u32> {
    history::serving(revisions).map(|it| it.number)
}

/// Applies given keys; generates a missing one, which is stored only in the cluster; makes or renews the certificate of HTTPS.
fn provide_secrets(env: &Env, cluster: &Cluster) -> Result<()> {
    App::given_secrets(env)?.iter().try_for_each(|it| cluster.apply(it))?;
    for seen in stale_keys(env, cluster)? {
        cluster.apply(&key_secret(env, &seen.id.name, &secrets::generate(secrets::KEY_LENGTH)?)?)?;
    }
    certificate::provide(env, cluster, ID)
}

/// The Secrets of generated keys that are missing or have no key.
fn stale_keys(env: &Env, cluster: &Cluster) -> Result<Vec<Seen>> {
    let mut out = generated_keys(env, cluster)?;
    out.retain(|it| it.state != State::Well);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_of_the_same_second_as_its_credentials_is_no_stranger() {
        let made = |at: &str| json!({ "metadata": { "creationTimestamp": at } });
        assert!(predates(&made("2026-11-24T16:50:31Z"), &made("2026-11-24T16:53:01Z")));
        assert!(!predates(&made("2026-11-24T16:53:01Z"), &made("2026-11-24T16:53:01Z")));
        assert!(!predates(&json!({}), &made("2026-11-24T16:53:01Z")));
    }
}
