//! Reasons why the database does not serve: hibernation or fencing, rejected or crashing pods, settings that PostgreSQL rejects. Each is
//! reported within seconds, with the command that helps.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    cluster::{
        Cluster, ObjectId, Verdict, Wait,
        obstacle::{self, Patience},
        settings, verdict,
    },
    config::extension,
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    images::{self, Chosen},
    record,
    tasks::{
        database::{ANSWER_LIMIT, ID, PAUSE, answer, initdb},
        objects::patience,
    },
};

/// The state of the `Cluster` that ran with all its settings; checked again only after it changes.
const SEEN: &str = "record/database-settings.json";
/// A pod that crashes this often will crash again. A pod that starts before the API server crashes once or twice.
const ENDS: i64 = 4;
/// The instance reads changed files within seconds.
const READS: Duration = Duration::from_secs(15);

/// Fails if the database is hibernated or fenced.
pub(super) fn refuse_held(env: &Env, cluster: &Cluster, id: &ObjectId) -> Result<()> {
    let held = match cluster.get(id) {
        Ok(Some(found)) => verdict::held(&found),
        // Without its CRD, nothing is hibernated.
        _ => None,
    };
    env.interrupt.check()?;
    let Some(held) = held else { return Ok(()) };
    let hint = format!("{}\nends that; the data are kept", held.command);
    Err(Problem::new(format!("{id} is {}", held.state)).code(Code::DatabaseHeld).hint(hint).into())
}

/// Deletes pods that wait to restart or to pull again, since they may start with the newly applied settings. Their data is in PVCs.
pub(super) fn replace_crashed(env: &Env, cluster: &Cluster, id: &ObjectId) -> Result<()> {
    for pod in cluster.list("v1", "Pod", &id.namespace, &initdb::of(id))? {
        if waits_to_start_again(&pod).is_some() || waits_to_pull_again(&pod) {
            let pod = ObjectId::of(&pod)?;
            env.note(ID, format!("{pod} could not start and waits for its next restart: it is replaced"));
            cluster.delete(&pod)?;
        }
    }
    Ok(())
}

/// Whether the kubelet waits to pull an image of the pod again, up to five minutes.
fn waits_to_pull_again(pod: &Value) -> bool {
    let statuses = |at: &str| pod.pointer(at).and_then(Value::as_array).into_iter().flatten();
    statuses("/status/initContainerStatuses")
        .chain(statuses("/status/containerStatuses"))
        .any(|it| matches!(it.pointer("/state/waiting/reason").and_then(Value::as_str), Some("ImagePullBackOff" | "ErrImagePull")))
}

/// Watches the database's pods during a wait.
pub(super) struct Pods {
    patience: Patience,
    /// Each container's restart count when it was first seen.
    ends: RefCell<BTreeMap<String, i64>>,
}

impl Pods {
    pub(super) fn of(env: &Env) -> Pods {
        Pods { patience: patience(env), ends: RefCell::default() }
    }

    /// `otherwise`, or `Never` if a pod can no longer become ready.
    pub(super) fn judge(&self, cluster: &Cluster, id: &ObjectId, otherwise: Verdict) -> Result<Verdict> {
        if !matches!(otherwise, Verdict::NotYet(_)) {
            return Ok(otherwise);
        }
        let mut pods = cluster.list("v1", "Pod", &id.namespace, &initdb::of(id))?;
        // A pod that is being deleted belongs to an earlier start.
        pods.retain(|it| verdict::of_metadata(it) == Verdict::Yes);
        for pod in &pods {
            if let Some(container) = waits_to_start_again(pod) {
                let text = |at: &str| pod.pointer(at).and_then(Value::as_str).unwrap_or_default();
                let ends = container["restartCount"].as_i64().unwrap_or_default();
                let before = *self.ends.borrow_mut().entry(text("/metadata/uid").to_owned()).or_insert(ends.min(1));
                let name = text("/metadata/name");
                // PostgreSQL's message about its settings is final; other crashes may happen while something still starts.
                if let Some(why) = cluster.refused_start(&id.namespace, name) {
                    return Ok(Verdict::Never(why));
                }
                if ends - before >= ENDS {
                    return Ok(Verdict::Never(format!("pod {name} ended {} times while it was waited for", ends - before)));
                }
            }
        }
        let mut found = pods.iter().find_map(obstacle::of_pod);
        if pods.is_empty() && found.is_none() {
            let events = cluster.list("v1", "Event", &id.namespace, "")?;
            let jobs = cluster.list("batch/v1", "Job", &id.namespace, &initdb::of(id))?;
            let uids = jobs.iter().filter_map(|it| it.pointer("/metadata/uid").and_then(Value::as_str));
            found = uids.filter_map(|uid| obstacle::of_events(&events, uid)).next();
        }
        Ok(self.patience.judge(found, otherwise))
    }
}

/// The container in CrashLoopBackOff.
fn waits_to_start_again(pod: &Value) -> Option<&Value> {
    let statuses = pod.pointer("/status/containerStatuses")?.as_array()?;
    statuses.iter().find(|it| it.pointer("/state/waiting/reason").is_some_and(|it| it == "CrashLoopBackOff"))
}

/// A state of the `Cluster`.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct State {
    uid: String,
    generation: i64,
}

impl State {
    fn of(object: &Value) -> State {
        State {
            uid: object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned(),
            generation: object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default(),
        }
    }
}

/// Why the database does not run with its settings, if its `Cluster` has changed since the last check. For a probe: changes nothing.
pub(super) fn wrong_settings(env: &Env, cluster: &Cluster, id: &ObjectId) -> Result<Option<String>> {
    let Some(object) = cluster.get(id)? else { return Ok(None) };
    if record::read_json::<State>(&env.work(SEEN)).is_some_and(|it| it == State::of(&object)) {
        return Ok(None);
    }
    Ok(settings::sentence(&refused(cluster, id, &object)?))
}

/// Waits until the primary runs with the settings of the `Cluster`, and records this.
pub(super) fn wait_for_settings(env: &Env, cluster: &Cluster, id: &ObjectId) -> Result<()> {
    let what = format!("the settings of {id} to be in effect");
    let hint = format!(
        "correct `postgresql` in deploy/database/cluster.yaml; what others wrote into the Cluster:\ncargo xtask kubectl edit clusters.postgresql.cnpg.io {} -n {}",
        id.name, id.namespace
    );
    let wait = Wait { pause: PAUSE, hint, ..Wait::new(env, &what, ANSWER_LIMIT) };
    let began = Instant::now();
    let done = cluster.wait_for(env, ID, &wait, || {
        let object = cluster.get(id)?.with_context(|| format!("{id} is gone"))?;
        let refused = refused(cluster, id, &object)?;
        // The operator restarts the instance, which takes longer.
        let waits = refused.iter().any(settings::Refused::waits_for_restart);
        Ok(match settings::judge(&refused, &object) {
            Verdict::NotYet(why) if began.elapsed() > READS && !waits => Verdict::Never(why),
            other => other,
        })
    });
    done.map_err(|error| match error.downcast::<Problem>() {
        Ok(problem) if problem.code == Code::NeverReady => problem.code(Code::DatabaseSetting).into(),
        Ok(problem) => problem.into(),
        Err(other) => other,
    })?;
    match cluster.get(id)? {
        Some(object) => record::write_json(&env.work(SEEN), &State::of(&object)),
        None => Ok(()),
    }
}

fn refused(cluster: &Cluster, id: &ObjectId, object: &Value) -> Result<Vec<settings::Refused>> {
    let primary = object.pointer("/status/currentPrimary").and_then(Value::as_str).context("there is no primary yet")?;
    cluster.refused_settings(&id.namespace, primary)
}

/// Fails if the database has an extension whose package the configured image lacks: each use of it would be an error.
pub(super) fn refuse_lost_libraries(env: &Env, cluster: &Cluster, id: &ObjectId) -> Result<()> {
    if images::chosen(env, ID)? != Chosen::Packages {
        return Ok(());
    }
    // Without an answer nothing is known; a database that does not serve is reported by others.
    let Ok(Some(said)) = answer(cluster, id, &env.config.database.name, "SELECT extname FROM pg_extension") else { return Ok(()) };
    let wanted = extension::with_needed(&env.config.database.extensions);
    let lost: Vec<&str> = said.lines().map(str::trim).filter(|it| extension::package(it).is_some() && !wanted.contains(it)).collect();
    let Some(first) = lost.first() else { return Ok(()) };
    let what =
        format!("the database has extensions that database.extensions does not name, and its image would lack them: {}", lost.join(", "));
    let hint = format!("name them; or, with what uses them: cargo xtask psql -- -c 'DROP EXTENSION \"{first}\"'");
    Err(Problem::config(what).hint(hint).into())
}

/// Whether CloudNativePG creates the object inside the database, once that serves.
pub(super) fn is_inside(object: &Value) -> bool {
    let is_of_operator = object["apiVersion"].as_str().is_some_and(|it| it.starts_with("postgresql.cnpg.io/"));
    is_of_operator && ["Database", "Publication", "Subscription"].iter().any(|it| object["kind"] == *it)
}

/// Deletes the objects, which leaves what they name in the database; the operator looks at a new object at once. One whose database goes
/// with it stays.
pub(super) fn forget_objects(env: &Env, cluster: &Cluster, task: TaskId, objects: &[Value]) -> Result<()> {
    let ids: Vec<ObjectId> =
        objects.iter().filter(|it| it["spec"]["databaseReclaimPolicy"] != "delete").map(ObjectId::of).collect::<Result<_>>()?;
    ids.iter().try_for_each(|id| cluster.delete(id))?;
    for id in &ids {
        let what = format!("the end of {id}");
        let wait = Wait { pause: PAUSE, ..Wait::new(env, &what, ANSWER_LIMIT) };
        cluster.wait_for(env, task, &wait, || {
            Ok(cluster.get(id)?.map_or(Verdict::Yes, |_| Verdict::NotYet("it is still there".to_owned())))
        })?;
    }
    Ok(())
}

/// Waits for the manifests' objects inside the database.
pub(super) fn wait_for_objects(env: &Env, cluster: &Cluster, task: TaskId, objects: &[Value]) -> Result<()> {
    for object in objects {
        let id = ObjectId::of(object)?;
        let what = id.to_string();
        let wait = Wait {
            hint: format!(
                "cargo xtask kubectl describe {} {} -n {}",
                id.kind.to_lowercase() + "s.postgresql.cnpg.io",
                id.name,
                id.namespace
            ),
            ..Wait::new(env, &what, ANSWER_LIMIT)
        };
        cluster.wait_for_object(env, task, &wait, &id, verdict::of)?;
    }
    Ok(())
}
