//! A newer major version of PostgreSQL: the content goes through a snapshot into a new database.
//!
//! `pg_upgrade` would take the files over, but it needs the programs of both versions in one image, and indexes on text are wrong where the
//! new image sorts differently; a snapshot has neither, and is the way back.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait},
    config::postgresql_major,
    env::Env,
    errors::{self, Code, Problem},
    invocation,
    snapshot::{self, Proof},
    tasks::database::{ID, PAUSE, complete_content, initdb},
};

/// The annotation of the namespace with the upgrade that is going on, as JSON; empty without one. In the cluster, since it decides what the
/// database's content is.
const RECORD: &str = "dev.pocdeploy/upgrade";
/// For the pods of three instances to end, and their volumes to go.
const GONE_LIMIT: Duration = Duration::from_secs(300);

/// An upgrade from its first change until the new database has the content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upgrade {
    from: u16,
    to: u16,
    /// The UID of the old `Cluster`.
    old: String,
    /// The old database's limit of connections.
    limit: i64,
    file: PathBuf,
    /// The new database has the content, and the application writes to it.
    is_restored: bool,
}

fn namespace(id: &ObjectId) -> ObjectId {
    ObjectId::new("v1", "Namespace", "", &id.namespace)
}

/// The upgrade that is going on.
fn known(cluster: &Cluster, id: &ObjectId) -> Result<Option<Upgrade>> {
    let Some(found) = cluster.get(&namespace(id))? else { return Ok(None) };
    let text = found["metadata"]["annotations"][RECORD].as_str().unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).with_context(|| format!("read the annotation {RECORD} of {}: {text}", namespace(id)))
}

fn write(cluster: &Cluster, id: &ObjectId, upgrade: &Upgrade) -> Result<()> {
    cluster.annotate(&namespace(id), RECORD, &serde_json::to_string(upgrade)?)
}

/// Fails while an upgrade is interrupted: the database that is there may be new and empty.
pub(super) fn refuse(cluster: &Cluster, id: &ObjectId) -> Result<()> {
    let Some(known) = known(cluster, id)? else { return Ok(()) };
    let what =
        format!("an upgrade from PostgreSQL {} to {} was interrupted, and the database may be without its content", known.from, known.to);
    let hint = format!("{} update\ngoes on; the content is in {}", invocation::program(), known.file.display());
    Err(Problem::new(what).code(Code::DatabaseHeld).hint(hint).into())
}

/// The major version of a `Cluster`.
fn major(cluster: &Value) -> Option<u16> {
    let image = cluster.pointer("/status/image").or_else(|| cluster.pointer("/spec/imageName"));
    postgresql_major(image.and_then(Value::as_str)?)
}

/// Why the database has to be upgraded. For a probe: changes nothing.
pub(super) fn pending(cluster: &Cluster, id: &ObjectId, desired: &Value) -> Result<Option<String>> {
    if let Some(known) = known(cluster, id)? {
        return Ok(Some(format!("an upgrade from PostgreSQL {} to {} was interrupted", known.from, known.to)));
    }
    let there = cluster.get(id)?.as_ref().and_then(major);
    let (Some(from), Some(to)) = (there, desired["spec"]["imageName"].as_str().and_then(postgresql_major)) else { return Ok(None) };
    if from > to {
        return Ok(Some(format!("PostgreSQL {from} runs, and the configuration asks for {to}")));
    }
    let text = format!("PostgreSQL {from} becomes {to}: a snapshot, a new database, and a restore, during which it does not serve");
    Ok((from != to).then_some(text))
}

/// The `Cluster` that is there: its UID and its major version.
type There<'a> = Option<(&'a str, u16)>;

/// What a run does about the version before it applies the new `Cluster`.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// The old database goes on.
    Return(Upgrade),
    Begin {
        from: u16,
        to: u16,
    },
    /// The old database is gone. `true`: the present `Cluster` is of another version than wanted, and has no content.
    GoOn(Upgrade, bool),
    /// The new database has the content; only the record is left.
    Forget(Upgrade),
    /// There is no way from the first version to the second.
    Refuse(u16, u16),
}

fn step(known: Option<Upgrade>, there: There<'_>, desired: Option<u16>) -> Step {
    match (known, there, desired) {
        (Some(known), _, _) if known.is_restored => Step::Forget(known),
        (Some(known), Some((uid, there)), Some(desired)) if uid == known.old && there == desired => Step::Return(known),
        (Some(known), Some((uid, there)), _) if uid != known.old => Step::GoOn(known, desired.is_some_and(|it| it != there)),
        (Some(known), None, _) => Step::GoOn(known, false),
        (_, Some((_, from)), Some(to)) if from < to => Step::Begin { from, to },
        (_, Some((_, from)), Some(to)) if from > to => Step::Refuse(from, to),
        _ => Step::Nothing,
    }
}

fn no_way(from: u16, to: u16) -> Problem {
    let what = format!("the database runs PostgreSQL {from}, and the configuration asks for {to}: its files cannot go back");
    let hint = format!(
        "set database.version = {from}; or, to begin again with a snapshot of PostgreSQL {to}:\n\
         cargo xtask delete, then cargo xtask create --restore FILE"
    );
    Problem::config(what).hint(hint)
}

/// The `Cluster` that is there, and what is to be done about its version.
fn look(cluster: &Cluster, id: &ObjectId, desired: &Value) -> Result<(Option<Value>, Step)> {
    let there = match cluster.get(id) {
        // Without its CRD there is no database.
        Err(error) if errors::code(&error) == Code::NotFound => None,
        other => other?,
    };
    let uid = there.as_ref().and_then(|it| it.pointer("/metadata/uid")?.as_str()).unwrap_or_default();
    let seen = there.as_ref().and_then(major).map(|it| (uid, it));
    let to = desired["spec"]["imageName"].as_str().and_then(postgresql_major);
    let step = step(known(cluster, id)?, seen, to);
    Ok((there, step))
}

/// Fails if the configuration asks for an older version than the one that runs, before an image is made for it.
pub(super) fn refuse_older(cluster: &Cluster, id: &ObjectId, desired: &Value) -> Result<()> {
    match look(cluster, id, desired)?.1 {
        Step::Refuse(from, to) => Err(no_way(from, to).into()),
        _ => Ok(()),
    }
}

/// Takes the old database away once its content is in a proven snapshot. Returns the upgrade whose content the new database is to get.
pub(super) fn begin(env: &Env, cluster: &Cluster, id: &ObjectId, desired: &Value) -> Result<Option<Upgrade>> {
    let (there, step) = look(cluster, id, desired)?;
    match step {
        Step::Nothing => Ok(None),
        Step::Refuse(from, to) => Err(no_way(from, to).into()),
        Step::Return(known) => {
            snapshot::reopen(env, cluster, id, known.limit)?;
            env.note(ID, format!("the upgrade to PostgreSQL {} that was interrupted is given up: {id} goes on", known.to));
            forget(cluster, id, &known).map(|_| None)
        }
        Step::Forget(known) => {
            snapshot::reopen(env, cluster, id, known.limit)?;
            forget(cluster, id, &known)?;
            begin(env, cluster, id, desired)
        }
        Step::GoOn(known, is_other) => {
            if !known.file.is_file() {
                let what = format!("{} is gone: the upgrade from PostgreSQL {} needs it", known.file.display(), known.from);
                let hint = format!(
                    "move it back; or, to go on without its content: cargo xtask kubectl annotate namespace {} {RECORD}-",
                    id.namespace
                );
                return Err(Problem::new(what).hint(hint).into());
            }
            env.note(ID, format!("the upgrade from PostgreSQL {} goes on", known.from));
            if is_other || there.is_none() {
                // Also what is still ending.
                remove(env, cluster, id)?;
            }
            Ok(Some(known))
        }
        Step::Begin { from, to } => {
            // What the API server or a policy refuses is refused while the old database still serves.
            cluster.preview(desired).context("nothing was changed")?;
            start(env, cluster, id, there.as_ref(), (from, to)).map(Some)
        }
    }
}

/// The `Cluster` with which the new database begins: closed to the application, until it has its content.
pub(super) fn closed(env: &Env, desired: &Value) -> Value {
    let mut out = desired.clone();
    let statement = format!("ALTER DATABASE \"{}\" CONNECTION LIMIT 0", env.config.database.name);
    let list = &mut out["spec"]["bootstrap"]["initdb"]["postInitApplicationSQL"];
    let own = list.as_array().cloned().unwrap_or_default();
    *list = json!([own, vec![json!(statement)]].concat());
    out
}

fn start(env: &Env, cluster: &Cluster, id: &ObjectId, there: Option<&Value>, (from, to): (u16, u16)) -> Result<Upgrade> {
    if let Some(earlier) = known(cluster, id)? {
        // Its snapshot may be older than the content.
        snapshot::reopen(env, cluster, id, earlier.limit)?;
        forget(cluster, id, &earlier)?;
    }
    snapshot::refuse_others(env, cluster, id, &managed_roles(there))?;
    let limit = snapshot::connection_limit(env, cluster, id)?;
    let old = there.and_then(|it| it.pointer("/metadata/uid")?.as_str()).unwrap_or_default().to_owned();
    let upgrade = Upgrade { from, to, old, limit, file: snapshot::path_to_keep(env), is_restored: false };
    env.note(ID, format!("PostgreSQL {from} becomes {to}: the application has no database until the new one has its content"));
    write(cluster, id, &upgrade)?;
    let taken = snapshot::close(env, cluster, id)
        .and_then(|()| snapshot::take(env, ID, cluster, id, &upgrade.file, Proof::Restored))
        .and_then(|_| env.interrupt.check().context("upgrading the database"))
        // Certificates and password stay, so that the application's pods need no restart.
        .and_then(|()| {
            ["app", "ca"]
                .iter()
                .try_for_each(|it| cluster.disown(&ObjectId::new("v1", "Secret", &id.namespace, &format!("{}-{it}", id.name))))
        });
    if let Err(error) = taken {
        let back = snapshot::reopen(env, &cluster.for_cleaning(), id, limit).and_then(|()| forget(&cluster.for_cleaning(), id, &upgrade));
        return Err(match back {
            Ok(_) => error.context(format!("nothing was changed: PostgreSQL {from} goes on")),
            Err(left) => error.context(format!("the database is closed to the application, and the same command opens it: {left:#}")),
        });
    }
    remove(env, cluster, id).with_context(|| upgrade.goes_on())?;
    Ok(upgrade)
}

impl Upgrade {
    fn goes_on(&self) -> String {
        format!("the database's content is in {}, and the same command goes on", self.file.display())
    }
}

/// Deletes the `Cluster`, and waits until its pods and volumes are gone.
fn remove(env: &Env, cluster: &Cluster, id: &ObjectId) -> Result<()> {
    cluster.delete(id)?;
    let what = format!("the end of {id}");
    let wait = Wait { pause: PAUSE, ..Wait::new(env, &what, GONE_LIMIT) };
    cluster.wait_for(env, ID, &wait, || {
        if cluster.get(id)?.is_some() {
            return Ok(Verdict::NotYet("it is still there".to_owned()));
        }
        for kind in ["Pod", "PersistentVolumeClaim"] {
            if let Some(left) = cluster.list("v1", kind, &id.namespace, &initdb::of(id))?.first() {
                return Ok(Verdict::NotYet(format!("{} is still there", ObjectId::of(left)?)));
            }
        }
        Ok(Verdict::Yes)
    })
}

/// Gives the new database the content, and says how to return.
pub(super) fn finish(env: &Env, cluster: &Cluster, id: &ObjectId, mut upgrade: Upgrade) -> Result<()> {
    snapshot::close(env, cluster, id).with_context(|| upgrade.goes_on())?;
    // Nothing is written before the record says that it is restored.
    snapshot::restore_closed(env, ID, cluster, id, &upgrade.file).with_context(|| upgrade.goes_on())?;
    complete_content(env, cluster, ID).with_context(|| upgrade.goes_on())?;
    upgrade.is_restored = true;
    write(cluster, id, &upgrade)?;
    snapshot::reopen(env, cluster, id, upgrade.limit)?;
    let file = forget(cluster, id, &upgrade)?;
    let Upgrade { from, .. } = upgrade;
    env.note(
        ID,
        format!(
            "the new server has the content. To return to PostgreSQL {from}: database.version = {from}, cargo xtask delete, cargo xtask create --restore {}",
            file.display()
        ),
    );
    Ok(())
}

/// The snapshot gets the name of any other, and nothing is going on any more. Returns the snapshot's path.
fn forget(cluster: &Cluster, id: &ObjectId, upgrade: &Upgrade) -> Result<PathBuf> {
    let file = if upgrade.file.is_file() { snapshot::given_back(&upgrade.file)? } else { upgrade.file.clone() };
    cluster.annotate(&namespace(id), RECORD, "")?;
    Ok(file)
}

/// The roles that the operator makes by itself.
fn managed_roles(there: Option<&Value>) -> Vec<String> {
    let roles = there.and_then(|it| it.pointer("/spec/managed/roles")).and_then(Value::as_array);
    roles.into_iter().flatten().filter_map(|it| it["name"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known() -> Upgrade {
        Upgrade { from: 17, to: 18, old: "old".to_owned(), limit: -1, file: PathBuf::from("a.dump"), is_restored: false }
    }

    #[test]
    fn the_version_is_the_one_that_runs() {
        let of = |object: Value| major(&object);
        assert_eq!(of(json!({ "spec": { "imageName": "localhost/pocdeploy/postgresql:18-ab" } })), Some(18));
        assert_eq!(of(json!({ "spec": { "imageName": "x:18" }, "status": { "image": "ghcr.io/a/b:17.6-3@sha256:ab" } })), Some(17));
        assert_eq!(of(json!({ "spec": {} })), None);
    }

    #[test]
    fn a_run_does_what_the_versions_and_the_last_run_ask_for() {
        let restored = || Upgrade { is_restored: true, ..known() };
        for (earlier, there, desired, expected) in [
            (None, None, Some(17), Step::Nothing),
            (None, Some(("a", 17)), Some(17), Step::Nothing),
            (None, Some(("a", 17)), Some(18), Step::Begin { from: 17, to: 18 }),
            (None, Some(("a", 18)), Some(17), Step::Refuse(18, 17)),
            // A run ended before the old database was gone.
            (Some(known()), Some(("old", 17)), Some(18), Step::Begin { from: 17, to: 18 }),
            (Some(known()), Some(("old", 17)), Some(17), Step::Return(known())),
            // A run ended after it.
            (Some(known()), None, Some(18), Step::GoOn(known(), false)),
            (Some(known()), Some(("new", 18)), Some(18), Step::GoOn(known(), false)),
            // The version was set back: the old one begins again with the snapshot, also if a run with it was interrupted, too.
            (Some(known()), None, Some(17), Step::GoOn(known(), false)),
            (Some(known()), Some(("new", 17)), Some(17), Step::GoOn(known(), false)),
            (Some(known()), Some(("new", 17)), Some(18), Step::GoOn(known(), true)),
            (Some(known()), Some(("new", 18)), Some(17), Step::GoOn(known(), true)),
            // The content is there.
            (Some(restored()), Some(("new", 18)), Some(18), Step::Forget(restored())),
            (Some(restored()), Some(("new", 18)), Some(17), Step::Forget(restored())),
        ] {
            let text = format!("{earlier:?} {there:?} {desired:?}");
            assert_eq!(step(earlier, there, desired), expected, "{text}");
        }
    }
}
