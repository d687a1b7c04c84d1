//! The database: ready when its operator says so and it answers a query.

mod initdb;
mod serves;
mod upgrade;

use std::{
    cell::{Cell, OnceCell},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

pub(super) use initdb::begin as begin_initdb;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, verdict},
    deploy::components::POSTGRES,
    env::Env,
    fingerprint::Fingerprint,
    graph::TaskId,
    images::Role,
    probe::Probe,
    tasks::{
        Task,
        database::initdb::Progress,
        desired, load,
        objects::{fingerprint, once, stale, stale_secret, with_evidence},
        operator::acceptance,
    },
};

#[derive(Default)]
pub struct Database {
    desired: OnceCell<desired::Database>,
}

const ID: TaskId = TaskId::Database;

/// Generous for two busy cores; an idle machine needs seconds.
const LIMIT: Duration = Duration::from_secs(420);
/// The field of the `Cluster` that makes transactions wait for replicas.
const WAITS: &str = "/spec/postgresql/synchronous";
/// The waits usually take seconds only.
const PAUSE: Duration = Duration::from_millis(100);
/// For an answer of a running component.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

impl Database {
    fn desired(&self, env: &Env) -> Result<&desired::Database> {
        once(&self.desired, || desired::Database::read(env))
    }
}

impl Task for Database {
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
            None => stale_secret(&cluster, &desired.given_secrets(env)?)?,
            found => found,
        };
        let id = ObjectId::of(&desired.cluster)?;
        if let Some(why) = upgrade::pending(&cluster, &id, &desired.cluster)? {
            return Ok(Probe::Stale(why));
        }
        // The operator's status may be from before a stop; the pods' status is newer.
        let stale = match stale {
            None => unready(&cluster, &id)?,
            found => found,
        };
        let stale = match stale {
            None => serves::wrong_settings(env, &cluster, &id)?,
            found => found,
        };
        let stale = match stale {
            None if desired.cluster.pointer(WAITS).is_some() => is_told(&cluster, &id)?.why().map(str::to_owned),
            found => found,
        };
        Ok(stale.map_or_else(|| Probe::Fresh(format!("{id} is ready")), Probe::Stale))
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        let desired = self.desired(env)?;
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        let id = ObjectId::of(&desired.cluster)?;
        serves::refuse_held(env, &cluster, &id)?;
        upgrade::refuse_older(&cluster, &id, &desired.cluster)?;
        serves::refuse_lost_libraries(env, &cluster, &id)?;
        load::upstream(env, ID, Role::Postgresql)?;
        let upgrade = upgrade::begin(env, &cluster, &id, &desired.cluster)?;
        cluster.apply(&desired.namespace)?;
        cluster.apply_all(&desired.given_secrets(env)?)?;
        let (inside, others): (Vec<Value>, Vec<Value>) = desired.others.iter().cloned().partition(serves::is_inside);
        cluster.apply_all(&others)?;
        let what = format!("the API server to accept {id}");
        // The operator may still be starting.
        let wait = Wait { pause: PAUSE, ..Wait::new(env, &what, LIMIT) };
        add_replicas(env, &cluster, &desired.cluster)?;
        let first = if upgrade.is_some() { upgrade::closed(env, &desired.cluster) } else { desired.cluster.clone() };
        let (is_new, brought) = (Cell::new(false), Cell::new(None));
        cluster.wait_for(env, ID, &wait, || {
            // Checked each time, since the CRD may not exist yet.
            is_new.set(cluster.get(&id)?.is_none());
            if is_new.get() && !initdb::has_storage(&cluster, &desired.cluster)? {
                return Ok(Verdict::NotYet("the cluster has no default storage class".to_owned()));
            }
            if is_new.get() && brought.get().is_none() {
                brought.set(Some(initdb::bring(env, &cluster, &first)?));
            }
            Ok(acceptance(cluster.apply(&first)))
        })?;
        if !is_new.get() {
            serves::replace_crashed(env, &cluster, &id)?;
        }
        let pods = serves::Pods::of(env);
        let wait = Wait { pause: PAUSE, ..Wait::new(env, "the database", LIMIT) };
        // With an adopted PVC there is no initdb Job to speed up.
        let hastened = Cell::new(brought.get() == Some(true));
        let ready = cluster.wait_for(env, ID, &wait, || {
            if is_new.get() {
                match initdb::progress(&cluster, &id)? {
                    Progress::NotYet => {}
                    // The credentials that the application's pods mount exist by now. Starting the pods earlier would slow down the
                    // database. A migration may need what the database is to hold, such as extensions.
                    Progress::Made => {
                        if inside.is_empty() && upgrade.is_none() {
                            env.task_progress.usable(ID);
                        }
                        is_new.set(false);
                    }
                    Progress::InVain(why) => return Ok(Verdict::Never(why)),
                }
            }
            if !hastened.get() {
                hastened.set(initdb::hasten(&cluster, &id)?);
            }
            let found = cluster.get(&id)?.map_or_else(|| Verdict::NotYet(format!("{id} does not exist")), |it| verdict::database(&it));
            pods.judge(&cluster, &id, found)
        });
        // A hibernated or fenced database explains the failure.
        if ready.is_err() {
            serves::refuse_held(env, &cluster, &id)?;
        }
        with_evidence(ready, &cluster, &id.namespace, &initdb::of(&id))?;
        let wait = Wait::new(env, "an answer of the database", ANSWER_LIMIT);
        cluster.wait_for(env, ID, &wait, || ask(env, &cluster, &id))?;
        // After a node's stop, the operator's first status may be outdated, and its next one may report a missing instance.
        let wait = Wait { pause: PAUSE, ..Wait::new(env, "the database's pods", ANSWER_LIMIT) };
        cluster.wait_for(env, ID, &wait, || match unready(&cluster, &id)? {
            Some(why) => Ok(Verdict::NotYet(why)),
            None => Ok(cluster.get(&id)?.map_or_else(|| Verdict::NotYet(format!("{id} does not exist")), |it| verdict::database(&it))),
        })?;
        serves::wait_for_settings(env, &cluster, &id)?;
        if desired.cluster.pointer(WAITS).is_some() {
            // The operator changes the setting after the status that calls the replicas ready.
            let wait = Wait { pause: Duration::from_secs(1), ..Wait::new(env, "transactions to wait for a replica", ANSWER_LIMIT) };
            cluster.wait_for(env, ID, &wait, || {
                let verdict = is_told(&cluster, &id)?;
                if verdict != Verdict::Yes {
                    // CloudNativePG 1.30.0 writes the setting, and does not load it if its `FailoverQuorum` does not exist yet; then every
                    // further attempt ends with "unrecognized configuration parameter" (`instance_controller.go`, seen three times).
                    answer(&cluster, &id, "postgres", "SELECT pg_reload_conf()")?;
                }
                Ok(verdict)
            })?;
        }
        match upgrade {
            Some(upgrade) => {
                cluster.apply(&desired.cluster)?;
                upgrade::finish(env, &cluster, &id, upgrade)
            }
            // Only now: a primary that is not ready yet looks at an object again after 30 s.
            None => {
                cluster.apply_all(&inside)?;
                serves::wait_for_objects(env, &cluster, ID, &inside)
            }
        }
    }
}

/// Fails while an upgrade is interrupted, for commands that take the database's content for the application's.
pub fn refuse_interrupted(env: &Env, cluster: &Cluster) -> Result<()> {
    upgrade::refuse(cluster, &desired::database(env)?)
}

/// Makes what the database is to hold once more, such as extensions: restored content may lack it, and CloudNativePG 1.30.0 does not look at
/// an object again whose generation it has seen (`database_controller.go`).
pub(in crate::tasks) fn complete_content(env: &Env, cluster: &Cluster, task: TaskId) -> Result<()> {
    let mut inside = desired::Database::read(env)?.others;
    inside.retain(serves::is_inside);
    serves::forget_objects(env, cluster, task, &inside)?;
    // One that stays gets another generation, and is looked at again.
    let mut kept: Vec<Value> = inside.iter().filter(|it| it["spec"]["databaseReclaimPolicy"] == "delete").cloned().collect();
    kept.iter_mut().for_each(|it| it["spec"]["databaseReclaimPolicy"] = "retain".into());
    cluster.apply_all(&kept)?;
    serves::wait_for_objects(env, cluster, task, &kept)?;
    cluster.apply_all(&inside)?;
    serves::wait_for_objects(env, cluster, task, &inside)
}

/// Whether PostgreSQL waits for a replica before it acknowledges a transaction.
fn is_told(cluster: &Cluster, id: &ObjectId) -> Result<Verdict> {
    let count = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('quorum', 'sync')";
    let Some(answer) = answer(cluster, id, "postgres", count)? else { return Ok(Verdict::NotYet(NO_PRIMARY.to_owned())) };
    Ok(if answer.trim() == "0" { Verdict::NotYet("no replica is waited for".to_owned()) } else { Verdict::Yes })
}

/// Before transactions wait for replicas, an existing database gets these replicas: otherwise no transaction would end until they have come.
fn add_replicas(env: &Env, cluster: &Cluster, desired: &Value) -> Result<()> {
    let id = ObjectId::of(desired)?;
    let is_without = |it: Value| it.pointer(WAITS).is_none_or(Value::is_null);
    if desired.pointer(WAITS).is_none() || !cluster.get(&id).ok().flatten().is_some_and(is_without) {
        return Ok(());
    }
    let mut first = desired.clone();
    if let Some(settings) = first.pointer_mut("/spec/postgresql").and_then(Value::as_object_mut) {
        settings.remove("synchronous");
    }
    let (accepted, what) = (Cell::new(false), "the replicas that transactions are to wait for");
    let hint = "the database goes on as before; `database.profile = \"fast\"` and `cargo xtask create` return to it".to_owned();
    let wait = Wait { pause: PAUSE, hint, ..Wait::new(env, what, LIMIT) };
    let ready = cluster.wait_for(env, ID, &wait, || {
        if !accepted.get() {
            let verdict = acceptance(cluster.apply(&first));
            if verdict != Verdict::Yes {
                return Ok(verdict);
            }
            accepted.set(true);
        }
        Ok(cluster.get(&id)?.map_or_else(|| Verdict::NotYet(format!("{id} does not exist")), |it| verdict::database(&it)))
    });
    with_evidence(ready, cluster, &id.namespace, &initdb::of(&id))
}

/// Why the database's pods are not ready.
fn unready(cluster: &Cluster, id: &ObjectId) -> Result<Option<String>> {
    let pods = cluster.list("v1", "Pod", &id.namespace, &format!("{},cnpg.io/podRole=instance", initdb::of(id)))?;
    let is_ready = |pod: &Value| {
        let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True")
    };
    let waiting = pods.iter().find(|it| !is_ready(it)).and_then(|it| it.pointer("/metadata/name")).and_then(Value::as_str);
    Ok(match (pods.is_empty(), waiting) {
        (true, _) => Some(format!("{id} has no pod")),
        (_, Some(name)) => Some(format!("pod {name} of {id} is not ready")),
        _ => None,
    })
}

/// A query in the primary itself: `Ready` is the operator's status, this is the database's answer.
fn ask(env: &Env, cluster: &Cluster, id: &ObjectId) -> Result<Verdict> {
    let Some(answer) = answer(cluster, id, &env.config.database.name, "SELECT 40 + 2")? else {
        return Ok(Verdict::NotYet(NO_PRIMARY.to_owned()));
    };
    Ok(if answer.trim() == "42" { Verdict::Yes } else { Verdict::NotYet(format!("it answers {answer:?}")) })
}

const NO_PRIMARY: &str = "there is no primary yet";

/// The primary's answer to a statement; `None` if there is no primary.
fn answer(cluster: &Cluster, id: &ObjectId, database: &str, statement: &str) -> Result<Option<String>> {
    let object = cluster.get(id)?.with_context(|| format!("{id} is gone"))?;
    let Some(primary) = object.pointer("/status/currentPrimary").and_then(Value::as_str) else { return Ok(None) };
    cluster.exec(&id.namespace, primary, POSTGRES, &["psql", "-d", database, "-tAc", statement]).map(Some)
}
