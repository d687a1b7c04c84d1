//! Snapshots of the application's database: its content, consistent, in a file of the user's. They are precious: nothing of
//! them lies below `target/`, and `delete` leaves them.

mod restore;

use std::{
    fs,
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

pub use crate::snapshot::restore::restore;
use crate::{
    cluster::{Cluster, Exec, ObjectId, Verdict, Wait},
    env::Env,
    errors::Problem,
    graph::TaskId,
};

/// Beside `Pocdeploy.toml`; a file in it keeps git away.
pub const FOLDER: &str = "snapshots";
/// For all that a database of a proof of concept holds.
const LIMIT: Duration = Duration::from_secs(600);
/// For a database that is just being restarted.
const RETRY: Duration = Duration::from_secs(90);
/// The first bytes of `pg_dump`'s custom format.
const MAGIC: &[u8] = b"PGDMP";
/// Those that the tool took by itself are kept up to this many.
const KEPT: usize = 10;
/// In the names of those.
const BEFORE: &str = "-before-";

/// One file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub path: PathBuf,
    pub size: u64,
}

/// The database's primary, where commands are run.
pub(crate) struct Primary {
    namespace: String,
    pod: String,
}

impl Primary {
    /// Of the `Cluster` object.
    pub(crate) fn find(cluster: &Cluster, database: &ObjectId) -> Result<Primary> {
        let object = cluster.get(database)?;
        let pod = object.as_ref().and_then(|it| it.pointer("/status/currentPrimary")).and_then(Value::as_str);
        match pod {
            Some(pod) => Ok(Primary { namespace: database.namespace.clone(), pod: pod.to_owned() }),
            None => Err(Problem::new(format!("{database} has no primary")).hint("`cargo xtask create` brings it up").into()),
        }
    }

    fn exec<'a>(&'a self, command: &'a [&'a str]) -> Exec<'a> {
        Exec { namespace: &self.namespace, pod: &self.pod, container: "postgres", command, limit: LIMIT }
    }
}

/// Where a snapshot goes that nobody named: `polls-3f59e9-20261124T060000Z.dump`, or `…-before-update.dump`.
pub fn default_path(env: &Env, before: Option<&str>) -> PathBuf {
    let now: String = jiff::Timestamp::now().to_string().chars().take(19).filter(|it| !matches!(it, '-' | ':')).collect();
    let reason = before.map(|it| format!("{BEFORE}{it}")).unwrap_or_default();
    env.path(FOLDER).join(format!("{}-{now}Z{reason}.dump", env.instance))
}

/// Writes the database's content to a file that is not there yet: whole, readable again and only for its owner, or not at all.
/// Returns its size.
pub fn take(env: &Env, cluster: &Cluster, database: &ObjectId, file: &Path) -> Result<u64> {
    if file.exists() {
        return Err(Problem::usage(format!("{} is there already and is not overwritten", file.display())).into());
    }
    let dir = folder(env, file)?;
    let primary = Primary::find(cluster, database)?;
    let mut out = tempfile::NamedTempFile::new_in(&dir).with_context(|| format!("write to {}", dir.display()))?;
    let name = &env.config.database.name;
    let dump = ["pg_dump", "--format=custom", "--dbname", name];
    cluster.exec_streams(primary.exec(&dump), None, &mut out).context("take a snapshot of the database")?;
    out.as_file().sync_all()?;
    out.rewind()?;
    let size = out.as_file().metadata()?.len();
    check(cluster, &primary, &mut out, file)?;
    out.persist_noclobber(file).map_err(|it| it.error).with_context(|| format!("write {}", file.display()))?;
    Ok(size)
}

/// One of the tool's own, before it changes the database; the oldest of these go.
pub fn take_before(env: &Env, task: TaskId, cluster: &Cluster, database: &ObjectId, what: &str) -> Result<PathBuf> {
    let file = default_path(env, Some(what));
    // A database whose own settings just changed is restarted by its operator: it is back in seconds.
    let wait = Wait::new(env, "a snapshot of the database", RETRY);
    cluster.wait_for(env, task, &wait, || take(env, cluster, database, &file).map(|_| Verdict::Yes))?;
    let own = |it: &Snapshot| it.path.file_name().is_some_and(|name| is_own(&name.to_string_lossy(), &env.instance));
    let mut own: Vec<Snapshot> = list(env)?.into_iter().filter(own).collect();
    own.truncate(own.len().saturating_sub(KEPT));
    for old in own {
        fs::remove_file(&old.path).with_context(|| format!("remove {}", old.path.display()))?;
    }
    Ok(file)
}

fn is_own(name: &str, instance: &str) -> bool {
    name.strip_prefix(instance).is_some_and(|rest| rest.starts_with("-20") && rest.contains(BEFORE) && rest.ends_with(".dump"))
}

/// Every snapshot in the folder, oldest first by name.
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

/// What can be seen of a file without a database: that it is there and begins as a snapshot does.
pub fn look(file: &Path) -> Result<fs::File> {
    let mut open = fs::File::open(file)
        .map_err(|error| Problem::usage(format!("{}: {error}", file.display())).hint("`cargo xtask db ls` lists the snapshots"))?;
    let mut first = Vec::new();
    (&mut open).take(MAGIC.len() as u64).read_to_end(&mut first)?;
    if first != MAGIC {
        return Err(Problem::usage(format!(
            "{} is no snapshot: it does not begin with {}",
            file.display(),
            String::from_utf8_lossy(MAGIC)
        ))
        .into());
    }
    open.rewind()?;
    Ok(open)
}

/// Reads the whole file as a restore would, into nothing.
fn check(cluster: &Cluster, primary: &Primary, input: &mut dyn std::io::Read, file: &Path) -> Result<()> {
    let read = ["pg_restore", "--file=/dev/null"];
    cluster
        .exec_streams(primary.exec(&read), Some(input), &mut std::io::sink())
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
        fs::File::create(dir.join(".gitignore"))?.write_all(b"*\n")?;
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_snapshots_that_the_tool_took_by_itself_are_its_own() {
        assert!(is_own("polls-3f59e9-20261124T060000Z-before-update.dump", "polls-3f59e9"));
        for name in [
            "polls-3f59e9-20261124T060000Z.dump",
            "other-20261124T060000Z-before-update.dump",
            "polls-3f59e9-mine-before-lunch.dump",
            "precious.dump",
        ] {
            assert!(!is_own(name, "polls-3f59e9"), "{name}");
        }
    }

    #[test]
    fn a_file_that_is_no_snapshot_is_refused_before_anything_happens() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        assert!(look(&write("good", b"PGDMP\x01")).is_ok());
        assert!(look(&write("empty", b"")).is_err());
        assert!(look(&write("sql", b"SELECT 1;")).unwrap_err().to_string().contains("is no snapshot"));
        assert!(look(&dir.path().join("absent")).is_err());
    }
}
