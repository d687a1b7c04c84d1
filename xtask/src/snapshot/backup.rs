//! Backups: snapshots in a place of the user's choice, of which the newest stay.

use anyhow::{Context as _, Result};

use crate::{
    cluster::{Cluster, ObjectId},
    env::Env,
    graph::TaskId,
    record,
    snapshot::{self, BACKUP, Proof, Store, default_path, is_time},
};

/// Writes a backup, proven to be restorable, to `database.backup.to`, and then deletes those of this instance beyond `database.backup.keep`.
/// Returns the backup's place and size, and the places of the deleted ones.
pub fn back_up(env: &Env, task: TaskId, cluster: &Cluster, database: &ObjectId, store: &Store) -> Result<(String, u64, Vec<String>)> {
    store.prepare(env, task)?;
    let folder = tempfile::tempdir_in(env.work("record")).context("make a temporary folder")?;
    let name = default_path(env, None).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = folder.path().join(&name);
    let size = snapshot::take(env, task, cluster, database, &file, Proof::Restored)?;
    store.put(env, task, &file, &name)?;
    record::write_json(&env.work(BACKUP), &name)?;
    let all: Vec<String> = store.list(env, task)?.into_iter().map(|it| it.0).collect();
    let mut removed = Vec::new();
    for old in superseded(&all, &env.instance, env.config.database.backup.keep) {
        store.remove(env, task, old)?;
        removed.push(store.place(old));
    }
    Ok((store.place(&name), size, removed))
}

/// The backups of an instance other than the newest `keep`. Other files are nobody's business.
fn superseded<'a>(names: &'a [String], instance: &str, keep: u16) -> Vec<&'a str> {
    let is_own = |it: &&str| it.strip_prefix(instance).and_then(|it| it.strip_suffix(".dump")).is_some_and(is_time);
    let mut own: Vec<&str> = names.iter().map(String::as_str).filter(is_own).collect();
    own.sort_unstable();
    own.truncate(own.len().saturating_sub(usize::from(keep)));
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_backups_of_the_instance_go() {
        let names = [
            "polls-20261124T060000.123Z.dump",
            "polls-20261123T060000.123Z.dump",
            "polls-20261122T060000.123Z.dump",
            "polls-20-20261101T060000.123Z.dump",
            "polls-20261101T060000.123Z-kept.dump",
            "polls-mine.dump",
            "other",
        ]
        .map(str::to_owned);
        assert_eq!(superseded(&names, "polls", 1), ["polls-20261122T060000.123Z.dump", "polls-20261123T060000.123Z.dump"]);
        assert_eq!(superseded(&names, "polls", 2), ["polls-20261122T060000.123Z.dump"]);
        assert_eq!(superseded(&names, "polls", 3), [""; 0]);
    }
}
