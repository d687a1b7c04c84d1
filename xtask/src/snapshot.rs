//! Snapshots of the application's database: consistent dumps in files of the user. They are valuable, so they are outside `target/`, and
//! `delete` keeps them.

mod archive;
mod backup;
mod last;
pub(crate) mod primary;
mod rehearsal;
mod restore;
mod scratch;
mod store;

use std::{
    cell::RefCell,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tempfile::NamedTempFile;

pub use crate::snapshot::{
    archive::WrittenBy,
    backup::back_up,
    last::{close, connection_limit, refuse_others, reopen},
    rehearsal::{Rehearsal, rehearse},
    restore::{restore, restore_closed},
    store::{AtHand, Named, Store},
};
use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait},
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    record, regular,
    snapshot::{
        archive::{Archive, Facts},
        primary::{Primary, ROOM},
        scratch::MissingRoles,
    },
};

/// A folder beside `Pocdeploy.toml`; a `.gitignore` in it makes git ignore the folder.
pub const FOLDER: &str = "snapshots";
/// How long a dump waits for locks of sessions that change tables.
const LOCKS: &str = "--lock-wait-timeout=30s";
/// Since PostgreSQL 16: 1 GB of text is dumped in 7 s, with the default, gzip, in 15 s, and the file is smaller (17.9, 2026-11-29).
const ZSTD: &str = "--compress=zstd:1";
/// What pg_dump says that was built without it (`compress_io.c`). Debian's and CloudNativePG's images have it.
const LACKS_ZSTD: &str = "does not support compression with ZSTD";
/// For a database that is restarting.
const RETRY: Duration = Duration::from_secs(90);
/// Up to this size of the database, in bytes, the tool also checks its automatic snapshots: this takes a few seconds at most.
const QUICK: u64 = 256 << 20;
/// Free space in bytes that a server needs in addition to data and WAL.
pub(crate) const RESERVE: u64 = 128 << 20;
/// The number of automatic snapshots to keep.
const KEPT: usize = 10;
/// Prefix and suffix of the name of an incomplete file.
const PARTIAL: (&str, &str) = (".pocdeploy-", ".part");
/// A part of the names of automatic snapshots.
const BEFORE: &str = "-before-";

/// A file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub path: PathBuf,
    pub size: u64,
}

/// How a snapshot is checked before it gets its final name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Restored,
    /// It is read to its end.
    Read,
}

/// The default path: `polls-3f59e9-20261124T060000.000Z.dump`, or `…-before-update.dump`. Milliseconds, since a small database is dumped
/// more than once a second.
pub fn default_path(env: &Env, before: Option<&str>) -> PathBuf {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S.%3fZ");
    let reason = before.map(|it| format!("{BEFORE}{it}")).unwrap_or_default();
    env.path(FOLDER).join(format!("{}-{now}{reason}.dump", env.instance))
}

/// The end of the name of a database's content that its instance is to get back.
const OFFERED: &str = "-kept.dump";

/// The path for the content of a database whose instance is deleted: `polls-3f59e9-20261124T060000.000Z-kept.dump`.
pub fn path_to_keep(env: &Env) -> PathBuf {
    let plain = default_path(env, None).display().to_string();
    PathBuf::from(format!("{}{OFFERED}", plain.strip_suffix(".dump").unwrap_or(&plain)))
}

/// Whether a file is content that `delete` has kept of this instance's database.
fn is_kept(name: &str, instance: &str) -> bool {
    name.strip_prefix(instance).and_then(|rest| rest.strip_suffix(OFFERED)).is_some_and(is_time)
}

/// The newest content that `delete` has kept of this instance's database, and that no instance has got back yet.
pub fn kept(env: &Env) -> Result<Option<PathBuf>> {
    let is_own = |it: &Path| is_kept(&it.file_name().unwrap_or_default().to_string_lossy(), &env.instance);
    Ok(list(env)?.into_iter().map(|it| it.path).rfind(|it| is_own(it)))
}

/// Gives kept content the name of any other snapshot, so that it is offered to no further instance. Returns the new path.
pub fn given_back(kept: &Path) -> Result<PathBuf> {
    let name = kept.display().to_string();
    let to = PathBuf::from(format!("{}.dump", name.strip_suffix(OFFERED).unwrap_or(&name)));
    refuse_used(&to)?;
    fs::rename(kept, &to).with_context(|| format!("rename {}", kept.display()))?;
    Ok(to)
}

/// An error if the file exists, since snapshots never overwrite a file.
pub fn refuse_used(file: &Path) -> Result<()> {
    if file.exists() {
        return Err(Problem::usage(format!("{} exists already; it was not overwritten", file.display())).into());
    }
    Ok(())
}

/// Writes the database's content to a new file and returns its size. The file is complete, readable again, by default proven to be
/// restorable, and accessible to its owner only. After an error there is no file.
pub fn take(env: &Env, task: TaskId, cluster: &Cluster, database: &ObjectId, file: &Path, proof: Proof) -> Result<u64> {
    refuse_used(file)?;
    let dir = folder(env, file)?;
    let primary = Primary::find(cluster, database)?;
    let (out, facts) = dump(env, &primary, &dir)?;
    match proof {
        Proof::Read => check(&primary, &out, file)?,
        Proof::Restored => {
            enough_room(&primary, facts.size)?;
            prove(env, task, &primary, &out, file)?;
        }
    }
    persist(out, file)
}

/// Takes an automatic snapshot before a change of the database, and deletes the oldest ones. If the snapshot cannot be restored, or
/// checking it would take long, it is kept with a note, so that the update can continue.
pub fn take_before(env: &Env, task: TaskId, cluster: &Cluster, database: &ObjectId, what: &str) -> Result<PathBuf> {
    let file = default_path(env, Some(what));
    let dir = folder(env, &file)?;
    // After a change of its settings the operator restarts the database, which takes seconds.
    let wait = Wait::new(env, "a snapshot of the database", RETRY);
    let dumped = RefCell::new(None);
    cluster.wait_for(env, task, &wait, || {
        let primary = Primary::find(cluster, database)?;
        let (out, facts) = dump(env, &primary, &dir)?;
        check(&primary, &out, &file)?;
        dumped.replace(Some((primary, out, facts)));
        Ok(Verdict::Yes)
    })?;
    let (primary, out, facts) = dumped.into_inner().context("no snapshot came of the wait")?;
    let proven = if facts.size > QUICK {
        let size = facts.size >> 20;
        Err(Problem::new(format!("a database of {size} MB is checked only by `cargo xtask db snapshot`")).into())
    } else {
        enough_room(&primary, facts.size).and_then(|()| prove(env, task, &primary, &out, &file))
    };
    persist(out, &file)?;
    if let Err(error) = proven {
        env.interrupt.check()?;
        env.note(task, format!("{} is not proven to be restorable: {error:#}", file.display()));
    }
    let own = |it: &Snapshot| it.path.file_name().is_some_and(|name| is_own(&name.to_string_lossy(), &env.instance));
    let mut own: Vec<Snapshot> = list(env)?.into_iter().filter(own).collect();
    own.truncate(own.len().saturating_sub(KEPT));
    for old in own {
        fs::remove_file(&old.path).with_context(|| format!("remove {}", old.path.display()))?;
    }
    Ok(file)
}

fn dump(env: &Env, primary: &Primary, dir: &Path) -> Result<(NamedTempFile, Facts)> {
    let mut out = partial(dir).with_context(|| format!("write to {}", dir.display()))?;
    let live = &env.config.database.name;
    let connection = primary::connection(live);
    let dump = |compression: &[&str], out: &mut NamedTempFile| {
        primary.run(&[&["pg_dump", "--format=custom", LOCKS, "--dbname", &connection], compression].concat(), None, out)
    };
    let lacks_it = |it: &anyhow::Error| format!("{it:#}").contains(LACKS_ZSTD);
    let dumped = match dump(&[ZSTD], &mut out) {
        Err(error) if lacks_it(&error) => dump(&[], &mut out),
        other => other,
    };
    dumped.or_else(|error| {
        let error = error.context("take a snapshot of the database");
        primary.end_sessions(scratch::maintenance(live));
        // `--lock-wait-timeout` of pg_dump sets `statement_timeout` (LockTableData in pg_dump.c), and the words are those of one.
        if !format!("{error:#}").contains("canceling statement due to statement timeout") {
            return Err(error);
        }
        let holders = scratch::holders(primary, live)?;
        Err(error.context(format!("after 30 s these sessions still change tables: {holders}")))
    })?;
    let facts = Facts { exact: true, ..Facts::read(primary, live)? };
    archive::write_facts(&mut out, &facts)?;
    out.as_file().sync_all()?;
    Ok((out, facts))
}

/// A temporary file that is locked while it is written. First deletes temporary files of killed runs.
fn partial(dir: &Path) -> Result<NamedTempFile> {
    for entry in fs::read_dir(dir)?.flatten() {
        let name = entry.file_name();
        let is_partial = name.to_string_lossy().strip_prefix(PARTIAL.0).is_some_and(|it| it.ends_with(PARTIAL.1));
        if is_partial && entry.file_type()?.is_file() && File::open(entry.path()).is_ok_and(|it| it.try_lock().is_ok()) {
            fs::remove_file(entry.path()).with_context(|| format!("remove {}", entry.path().display()))?;
        }
    }
    loop {
        let out = tempfile::Builder::new().prefix(PARTIAL.0).suffix(PARTIAL.1).tempfile_in(dir)?;
        out.as_file().lock()?;
        // Another run may have deleted the file before it was locked.
        if out.path().exists() {
            return Ok(out);
        }
    }
}

fn persist(out: NamedTempFile, file: &Path) -> Result<u64> {
    let size = out.as_file().metadata()?.len();
    out.persist_noclobber(file).map_err(|it| it.error).with_context(|| format!("write {}", file.display()))?;
    regular::settle(file)?;
    Ok(size)
}

fn open(out: &NamedTempFile, file: &Path) -> Result<Archive> {
    Archive::of(out.reopen()?, file)
}

/// Restores the file into a scratch database of the same server, and drops that database.
fn prove(env: &Env, task: TaskId, primary: &Primary, out: &NamedTempFile, file: &Path) -> Result<()> {
    let mut archive = open(out, file)?;
    scratch::with((env, task), primary, &mut archive, MissingRoles::Refuse, |_| Ok(())).or_else(|error| {
        env.interrupt.check()?;
        Err(scratch::unrestorable(error))
    })
}

/// Fails before the database's volume would be full, since PostgreSQL stops without space for its WAL.
fn enough_room(primary: &Primary, size: u64) -> Result<()> {
    let (room, needed) = (primary.room()?, size * 2 + RESERVE);
    if room >= needed {
        return Ok(());
    }
    let text = |bytes: u64| format!("{} MB", bytes >> 20);
    let what = format!(
        "nothing was changed: a second copy of the database and its log take {}, and its volume has {} left",
        text(needed),
        text(room)
    );
    Err(Problem::new(what).code(Code::DatabaseFull).hint(format!("{ROOM}\n`db snapshot --no-verify` needs no second copy")).into())
}

fn is_own(name: &str, instance: &str) -> bool {
    let rest = name.strip_prefix(instance).filter(|it| it.ends_with(".dump"));
    rest.and_then(|it| it.split_once(BEFORE)).is_some_and(|(time, _)| is_time(time))
}

/// Whether the text is `-20261124T060000.000Z`, so that what precedes it is the whole name of an instance.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
    // The second form has been written by earlier versions.
    ["-00000000T000000.000Z", "-00000000T000000Z"].contains(&shape.as_str())
}

/// All snapshots in the folder, sorted by name, so the oldest first.
pub fn list(env: &Env) -> Result<Vec<Snapshot>> {
    let Ok(entries) = fs::read_dir(env.path(FOLDER)) else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.path().extension().is_some_and(|it| it == "dump") {
            out.push(Snapshot { path: entry.path(), size: entry.metadata()?.len() });
        }
    }
    out.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(out)
}

/// When the instance's last snapshot or backup was taken, by the names of the files in the folder, and by the record of the last backup.
pub fn last(env: &Env) -> Option<jiff::Timestamp> {
    let files = list(env).ok()?;
    let snapshots = files.iter().filter_map(|it| taken(&it.path.file_name()?.to_string_lossy(), &env.instance));
    let backup = record::read_json::<String>(&env.work(BACKUP)).and_then(|it| taken(&it, &env.instance));
    snapshots.chain(backup).max()
}

/// The record with the name of the last backup.
const BACKUP: &str = "record/backup.json";

/// The time in the default name of a snapshot of this instance, for whatever reason it was taken.
fn taken(name: &str, instance: &str) -> Option<jiff::Timestamp> {
    let rest = name.strip_prefix(instance)?.strip_suffix(".dump")?;
    let time = rest.split_once("Z-").map_or(rest.to_owned(), |(time, _)| format!("{time}Z"));
    if !is_time(&time) {
        return None;
    }
    let civil = jiff::civil::DateTime::strptime("-%Y%m%dT%H%M%S%.fZ", &time).ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Checks a file without a database: it exists, and starts and ends like a file of this writer.
pub fn look(file: &Path, writer: WrittenBy) -> Result<()> {
    Archive::open(file, writer).map(drop)
}

/// Reads the whole file like a restore, without writing.
fn check(primary: &Primary, out: &NamedTempFile, file: &Path) -> Result<()> {
    primary
        .run(&["pg_restore", "--file=/dev/null"], Some(&mut open(out, file)?.read()?), &mut std::io::sink())
        .with_context(|| format!("{} cannot be read to its end; nothing was changed", file.display()))
}

fn folder(env: &Env, file: &Path) -> Result<PathBuf> {
    let dir = match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    if dir == env.path(FOLDER) && !dir.is_dir() {
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        File::create(dir.join(".gitignore"))?.write_all(b"*\n")?;
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_file_goes_when_nobody_writes_it_any_more_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let names = || {
            let mut out: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
            out.sort();
            out
        };
        for name in [".pocdeploy-killed.part", "mine.part", ".pocdeploy-mine.dump", "a.dump"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let written = partial(dir.path()).unwrap();
        let own = written.path().file_name().unwrap().to_str().unwrap().to_owned();
        let another = partial(dir.path()).unwrap();
        assert!(names().contains(&own), "{own} is still written");
        drop((written, another));
        assert_eq!(names(), [".pocdeploy-mine.dump", "a.dump", "mine.part"]);
    }

    #[test]
    fn only_snapshots_that_the_tool_took_by_itself_are_its_own() {
        // The first form has been written by earlier versions.
        for name in ["polls-3f59e9-20261124T060000Z-before-update.dump", "polls-3f59e9-20261124T060000.123Z-before-update.dump"] {
            assert!(is_own(name, "polls-3f59e9"), "{name}");
        }
        for name in [
            "polls-3f59e9-20261124T060000.123Z.dump",
            "other-20261124T060000Z-before-update.dump",
            "polls-3f59e9-mine-before-lunch.dump",
            "polls-3f59e9-20-20261124T060000.123Z-before-update.dump",
            "precious.dump",
        ] {
            assert!(!is_own(name, "polls-3f59e9"), "{name}");
        }
    }

    #[test]
    fn the_time_of_a_snapshot_is_in_its_name() {
        for name in
            ["polls-20261124T060000.123Z.dump", "polls-20261124T060000.123Z-before-update.dump", "polls-20261124T060000.123Z-kept.dump"]
        {
            assert_eq!(taken(name, "polls").unwrap().to_string(), "2026-11-24T06:00:00.123Z", "{name}");
        }
        assert!(taken("polls-20261124T060000Z.dump", "polls").is_some());
        for name in ["polls-20-20261124T060000.123Z.dump", "mine.dump", "polls-20261199T060000.123Z.dump"] {
            assert_eq!(taken(name, "polls"), None, "{name}");
        }
    }

    #[test]
    fn what_was_kept_is_of_one_instance_alone() {
        assert!(is_kept("polls-20261124T060000.123Z-kept.dump", "polls"));
        for (name, instance) in [
            ("polls-20-20261124T060000.123Z-kept.dump", "polls"),
            ("polls-20261124T060000.123Z-kept.dump", "polls-20"),
            ("polls-20261124T060000.123Z.dump", "polls"),
            ("polls-2026-kept.dump", "polls"),
        ] {
            assert!(!is_kept(name, instance), "{name} {instance}");
        }
    }
}
