//! A newer major version of PostgreSQL: the content goes through a snapshot into a new database.
//!
//! `pg_upgrade` would take the files over, but it needs the programs of both versions in one image, and indexes on text are wrong where the
//! new image sorts differently; a snapshot has neither, and is the way back.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait},
    config::postgresql_major,
    env::Env,
    errors::Problem,
    record,
    snapshot::{self, Proof, WrittenBy},
    tasks::database::{ID, PAUSE, complete_content, initdb},
};

/// The upgrade that is going on.
const RECORD: &str = "record/upgrade.json";
/// For the pods of three instances to end, and their volumes to go.
const GONE_LIMIT: Duration = Duration::from_secs(300);

/// An upgrade from its first change until the new database has the content.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upgrade {
    from: u16,
    to: u16,
    /// The old database's limit of connections.
    limit: i64,
    file: PathBuf,
    /// The new database has the content, and the application writes to it.
    is_restored: bool,
}

/// The major version of a `Cluster`.
fn major(cluster: &Value) -> Option<u16> {
    let image = cluster.pointer("/status/image").or_else(|| cluster.pointer("/spec/imageName"));
    postgresql_major(image.and_then(Value::as_str)?)
}

/// Why the database has to be upgraded. For a probe: changes nothing.
pub(super) fn pending(env: &Env, there: Option<&Value>, desired: &Value) -> Option<String> {
    if let Some(known) = record::read_json::<Upgrade>(&env.work(RECORD)) {
        return Some(format!("an upgrade from PostgreSQL {} to {} was interrupted", known.from, known.to));
    }
    let (from, to) = (major(there?)?, postgresql_major(desired["spec"]["imageName"].as_str()?)?);
    if from > to {
        return Some(format!("PostgreSQL {from} runs, and the configuration asks for {to}"));
    }
    (from != to)
        .then(|| format!("PostgreSQL {from} becomes {to}: a snapshot, a new database, and a restore, during which it does not serve"))
}

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
    /// The old database is gone, or the new one is there.
    GoOn(Upgrade),
    /// There is no way from the first version to the second.
    Refuse(u16, u16),
}

fn step(known: Option<Upgrade>, there: Option<u16>, desired: Option<u16>) -> Step {
    match (known, there, desired) {
        (Some(known), None, _) => Step::GoOn(known),
        (Some(known), Some(there), Some(desired)) if there == known.from && there == desired => Step::Return(known),
        (Some(known), Some(there), _) if there != known.from => Step::GoOn(known),
        (_, Some(from), Some(to)) if from < to => Step::Begin { from, to },
        (_, Some(from), Some(to)) if from > to => Step::Refuse(from, to),
        _ => Step::Nothing,
    }
}

/// Takes the old database away once its content is in a proven snapshot. Returns the upgrade whose content the new database is to get.
pub(super) fn begin(env: &Env, cluster: &Cluster, id: &ObjectId, desired: &Value) -> Result<Option<Upgrade>> {
    let known: Option<Upgrade> = record::read_json(&env.work(RECORD));
    // Without its CRD there is no database.
    let there = cluster.get(id).ok().flatten();
    env.interrupt.check()?;
    let to = desired["spec"]["imageName"].as_str().and_then(postgresql_major);
    match step(known, there.as_ref().and_then(major), to) {
        Step::Nothing => Ok(None),
        Step::Refuse(from, to) => {
            let what = format!("the database runs PostgreSQL {from}, and the configuration asks for {to}: its files cannot go back");
            let hint = format!(
                "set database.version = {from}; or, to begin again with a snapshot of PostgreSQL {to}:\n\
                 cargo xtask delete, then cargo xtask create --restore FILE"
            );
            Err(Problem::config(what).hint(hint).into())
        }
        Step::Return(known) => {
            snapshot::reopen(env, cluster, id, known.limit)?;
            env.note(ID, format!("the upgrade to PostgreSQL {} that was interrupted is given up: {id} goes on", known.to));
            forget(env, &known).map(|_| None)
        }
        Step::GoOn(known) => {
            if !known.is_restored && !known.file.is_file() {
                let what = format!("{} is gone: the upgrade to PostgreSQL {} needs it", known.file.display(), known.to);
                let hint = format!("move it back; or, to have a new database without its content, remove {}", env.work(RECORD).display());
                return Err(Problem::new(what).hint(hint).into());
            }
            env.note(ID, format!("the upgrade to PostgreSQL {} goes on", known.to));
            Ok(Some(known))
        }
        Step::Begin { from, to } => start(env, cluster, id, there.as_ref(), (from, to)).map(Some),
    }
}

fn start(env: &Env, cluster: &Cluster, id: &ObjectId, there: Option<&Value>, (from, to): (u16, u16)) -> Result<Upgrade> {
    if let Some(earlier) = record::read_json::<Upgrade>(&env.work(RECORD)) {
        // Its snapshot may be older than the content.
        snapshot::reopen(env, cluster, id, earlier.limit)?;
        forget(env, &earlier)?;
    }
    snapshot::refuse_others(env, cluster, id, &managed_roles(there))?;
    let limit = snapshot::connection_limit(env, cluster, id)?;
    let upgrade = Upgrade { from, to, limit, file: snapshot::path_to_keep(env), is_restored: false };
    env.note(ID, format!("PostgreSQL {from} becomes {to}: the application has no database until the new one has its content"));
    record::write_json(&env.work(RECORD), &upgrade)?;
    let taken = snapshot::close(env, cluster, id)
        .and_then(|()| snapshot::take(env, ID, cluster, id, &upgrade.file, Proof::Restored))
        .and_then(|_| env.interrupt.check().context("upgrading the database"));
    if let Err(error) = taken {
        snapshot::reopen(env, cluster, id, limit).and_then(|()| forget(env, &upgrade))?;
        return Err(error.context(format!("nothing was changed: PostgreSQL {from} goes on")));
    }
    // Certificates and password stay, so that the application's pods need no restart.
    for secret in ["app", "ca"] {
        cluster.disown(&ObjectId::new("v1", "Secret", &id.namespace, &format!("{}-{secret}", id.name)))?;
    }
    let content = || format!("the database's content is in {}, and the same command goes on", upgrade.file.display());
    remove(env, cluster, id).with_context(content)?;
    Ok(upgrade)
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
    if !upgrade.is_restored {
        let content = || format!("the database's content is in {}, and the same command goes on", upgrade.file.display());
        snapshot::close(env, cluster, id).with_context(content)?;
        // The snapshot is of a closed database: so is the restored one, and nothing is written before the record says that it is restored.
        snapshot::restore(env, ID, cluster, id, (&upgrade.file, WrittenBy::Snapshot)).with_context(content)?;
        complete_content(env, cluster, ID)?;
        upgrade.is_restored = true;
        record::write_json(&env.work(RECORD), &upgrade)?;
    }
    snapshot::reopen(env, cluster, id, upgrade.limit)?;
    let file = forget(env, &upgrade)?;
    let Upgrade { from, to, .. } = upgrade;
    env.note(
        ID,
        format!(
            "PostgreSQL {to} has the content. To return: database.version = {from}, cargo xtask delete, cargo xtask create --restore {}",
            file.display()
        ),
    );
    Ok(())
}

/// The snapshot gets the name of any other, and nothing is going on any more. Returns the snapshot's path.
fn forget(env: &Env, upgrade: &Upgrade) -> Result<PathBuf> {
    let file = if upgrade.file.is_file() { snapshot::given_back(&upgrade.file)? } else { upgrade.file.clone() };
    let path = env.work(RECORD);
    std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
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
        Upgrade { from: 17, to: 18, limit: -1, file: PathBuf::from("a.dump"), is_restored: false }
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
        for (earlier, there, desired, expected) in [
            (None, None, Some(17), Step::Nothing),
            (None, Some(17), Some(17), Step::Nothing),
            (None, Some(17), Some(18), Step::Begin { from: 17, to: 18 }),
            (None, Some(18), Some(17), Step::Refuse(18, 17)),
            // A run ended before the old database was gone.
            (Some(known()), Some(17), Some(18), Step::Begin { from: 17, to: 18 }),
            (Some(known()), Some(17), Some(17), Step::Return(known())),
            // A run ended after it.
            (Some(known()), None, Some(18), Step::GoOn(known())),
            (Some(known()), Some(18), Some(18), Step::GoOn(known())),
            // The old version begins again with the snapshot.
            (Some(known()), None, Some(17), Step::GoOn(known())),
        ] {
            let text = format!("{earlier:?} {there:?} {desired:?}");
            assert_eq!(step(earlier, there, desired), expected, "{text}");
        }
    }
}
