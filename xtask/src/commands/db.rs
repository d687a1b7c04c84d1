//! `db`: snapshots of the application's database. Prints paths and lists on standard output.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    cluster::Cluster,
    commands::{answer, instance, reported},
    env::Env,
    errors::Problem,
    graph::TaskId,
    setup,
    snapshot::{self, AtHand, Named, Proof, Snapshot, Store, WrittenBy},
    tasks::{database, deploy, desired},
};

const TASK: TaskId = TaskId::Snapshot;

/// `db snapshot [--no-verify] [FILE]`.
pub(crate) fn take(env: &Env, file: Option<PathBuf>, no_verify: bool) -> Result<()> {
    instance::find(env)?;
    let file = file.unwrap_or_else(|| snapshot::default_path(env, None));
    reported(env, TASK, "dumping the database", || {
        database::refuse_interrupted(env, &Cluster::open(env, &env.kubeconfig())?)?;
        let (proof, proven) =
            if no_verify { (Proof::Read, "") } else { (Proof::Restored, ", checked by a restore into a scratch database") };
        let size = snapshot::take(env, TASK, &Cluster::open(env, &env.kubeconfig())?, &desired::database(env)?, &file, proof)?;
        Ok(format!("{} holds it ({} KB){proven}", file.display(), size.div_ceil(1000)))
    })?;
    let path = file.display().to_string();
    answer(env, &path, || json!({ "schema": 1, "snapshot": path }))
}

/// `db ls`.
pub(crate) fn ls(env: &Env) -> Result<()> {
    let mut out = text(&snapshot::list(env)?);
    if let Some(to) = &env.config.database.backup.to {
        let store = Store::of(env, to);
        for (name, size) in store.list(env, TASK)?.into_iter().filter(|it| it.0.ends_with(".dump")) {
            out.push_str(&format!("{:>9} KB  {}\n", size.div_ceil(1000), store.place(&name)));
        }
    }
    std::io::stdout().write_all(out.as_bytes()).context("print the snapshots")
}

/// `db restore [--from-pg-dump] FILE`.
pub(crate) fn restore(env: &Env, file: &Path, writer: WrittenBy) -> Result<()> {
    let named = Named::read(env, file)?;
    named.check(env, TASK, writer)?;
    instance::find(env)?;
    setup::consent(env, TASK, &format!("replaces the content of instance {}'s database by {}", env.instance, named.shown))?;
    let here = fetched(env, &named, writer)?;
    put(env, (&here, writer), true)
}

/// The named file on this machine, after its check.
pub(crate) fn fetched(env: &Env, named: &Named<'_>, writer: WrittenBy) -> Result<AtHand> {
    if !named.is_elsewhere() {
        return named.at_hand(env, TASK, writer);
    }
    let mut here = None;
    reported(env, TASK, &format!("fetching {}", named.shown), || {
        here = Some(named.at_hand(env, TASK, writer)?);
        Ok("it is a database's content".to_owned())
    })?;
    here.context("nothing was fetched")
}

/// `db snapshot --dry-run`.
pub(crate) fn preview_snapshot(env: &Env, file: Option<PathBuf>) -> Result<()> {
    instance::find(env)?;
    let file = file.unwrap_or_else(|| snapshot::default_path(env, None));
    snapshot::refuse_used(&file)?;
    writeln!(std::io::stdout(), "{}", file.display()).context("print where the snapshot would be")
}

/// `db restore --dry-run`.
pub(crate) fn preview_restore(env: &Env, file: &Path, writer: WrittenBy) -> Result<()> {
    Named::read(env, file)?.check(env, TASK, writer)?;
    instance::find(env)?;
    let text = format!("would replace the content of instance {}'s database by {}", env.instance, file.display());
    writeln!(std::io::stdout(), "{text}\nwould first take a snapshot in {}/", snapshot::FOLDER).context("print what would be done")
}

/// Replaces the content of the running database by the file's; with `keep`, takes a snapshot first.
pub(crate) fn put(env: &Env, (file, writer): (&AtHand, WrittenBy), keep: bool) -> Result<()> {
    reported(env, TASK, &format!("restoring {}", file.shown), || {
        let kept = deploy::restore(env, (&file.path, writer), keep)?;
        let back = kept.map(|it| format!("; to return: cargo xtask db restore {}", it.display())).unwrap_or_default();
        Ok(format!("the database holds what {} does, and the page answers{back}", file.shown))
    })
}

/// The file of `create --restore`, which restores into a new instance only, and never overwrites an existing database.
pub(crate) fn for_new(env: &Env, file: &Path) -> Result<AtHand> {
    let named = Named::read(env, file)?;
    named.check(env, TASK, WrittenBy::Snapshot)?;
    if is_used(env)? {
        return Err(exists(env, file));
    }
    fetched(env, &named, WrittenBy::Snapshot)
}

/// The error of `create --restore` for an instance that has a database.
pub(crate) fn exists(env: &Env, file: &Path) -> anyhow::Error {
    let what = format!("instance {} exists already: --restore needs a new instance", env.instance);
    Problem::usage(what).hint(format!("cargo xtask db restore {}", file.display())).into()
}

/// Whether the instance answers, and its application has served, so that its database may hold something.
pub(crate) fn is_used(env: &Env) -> Result<bool> {
    Ok(instance::find(env).is_ok() && deploy::serving(&deploy::revisions(env)?).is_some())
}

fn text(snapshots: &[Snapshot]) -> String {
    if snapshots.is_empty() {
        return format!("no snapshot in {}/\n", snapshot::FOLDER);
    }
    snapshots.iter().map(|it| format!("{:>9} KB  {}\n", it.size.div_ceil(1000), it.path.display())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_snapshot_is_a_line_and_none_is_said() {
        let one = Snapshot { path: PathBuf::from("/p/snapshots/a.dump"), size: 12_345 };
        assert_eq!(text(&[one]), "       13 KB  /p/snapshots/a.dump\n");
        assert_eq!(text(&[]), "no snapshot in snapshots/\n");
    }
}
