//! Restores a snapshot into a second database, which then takes the name of the first in one transaction. The application does not see the
//! second database before, and no statement of the snapshot runs in that transaction.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{
    cluster::{Cluster, ObjectId},
    env::Env,
    errors::{Problem, code, exit_code, hint},
    graph::TaskId,
    report::Waiting,
    snapshot::{
        archive::{self, Archive, WrittenBy},
        enough_room,
        primary::Primary,
        scratch::{self, Exchanged, MissingRoles, Scratch},
    },
};

/// For sessions that hold a lock on `pg_database`, for example a transaction that has read it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Replaces the application's database by one with the file's content: tables, rows, owners, privileges, large objects, settings. Nothing
/// changes until the new database is complete, and an error leaves the old one unchanged. Sessions of the old database are ended when they
/// are idle, or after five seconds.
pub fn restore(env: &Env, task: TaskId, cluster: &Cluster, database: &ObjectId, (file, writer): (&Path, WrittenBy)) -> Result<()> {
    replace(env, task, cluster, database, (file, writer), false)
}

/// Like `restore`, from a file of this writer; the new content lets only superusers in.
pub fn restore_closed(env: &Env, task: TaskId, cluster: &Cluster, database: &ObjectId, file: &Path) -> Result<()> {
    replace(env, task, cluster, database, (file, WrittenBy::Snapshot), true)
}

fn replace(
    env: &Env,
    task: TaskId,
    cluster: &Cluster,
    database: &ObjectId,
    (file, writer): (&Path, WrittenBy),
    is_closed: bool,
) -> Result<()> {
    let mut archive = Archive::open(file, writer)?;
    let primary = Primary::find(cluster, database)?;
    let live = &env.config.database.name;
    let hinders = primary.sql(scratch::maintenance(live), include_str!("sql/hinders.sql"), &[("live", live)])?;
    if !hinders.is_empty() {
        let what =
            format!("nothing was changed: the database has objects that a snapshot does not contain: {}", hinders.replace('\n', ", "));
        return Err(Problem::new(what).hint("if you do not need them, drop them first: cargo xtask psql").into());
    }
    // A file of pg_dump's own does not say how large its database was: not smaller than the file.
    enough_room(&primary, archive.facts.as_ref().map_or(archive.length, |it| it.size))?;
    scratch::with((env, task), &primary, &mut archive, MissingRoles::Make, |scratch| {
        if is_closed {
            scratch.close()?;
        }
        exchange(env, task, scratch)
    })
    .map_err(|error| {
        if error.is::<Exchanged>() {
            return error;
        }
        if env.interrupt.is_set() {
            return error.context(format!("nothing was changed: {} is not restored", file.display()));
        }
        let what = format!("nothing was changed: {} cannot be restored: {}", file.display(), archive::reason(&format!("{error:#}")));
        let problem = Problem { exit: exit_code(&error), ..Problem::new(what).code(code(&error)) };
        problem.hint(hint(&error).unwrap_or("a snapshot fits a PostgreSQL that is not older and has the same extensions")).into()
    })
}

fn exchange(env: &Env, task: TaskId, scratch: &Scratch<'_>) -> Result<()> {
    let began = Instant::now();
    loop {
        let error = match scratch.exchange() {
            Ok(ended) => {
                if !ended.is_empty() {
                    env.note(task, format!("ended with the old content, after five seconds: {ended}"));
                }
                return Ok(());
            }
            Err(error) => error,
        };
        if !format!("{error:#}").contains("lock timeout") {
            return Err(error);
        }
        let holders = scratch.holders()?;
        let waiting = Waiting::new("a lock on pg_database", format!("held by {holders}"), began.elapsed(), PATIENCE);
        if began.elapsed() > PATIENCE {
            let hint = "end these sessions, or run the same command when they are done";
            return Err(Problem::timed_out(waiting.timed_out()).hint(hint).into());
        }
        env.waiting(task, waiting);
        env.interrupt.check().context("waiting for other sessions")?;
        thread::sleep(Duration::from_secs(1));
    }
}
