//! The rehearsal of a restore: how long the database's content takes to be dumped and restored, and what comes back.

use std::{path::Path, time::Instant};

use anyhow::{Context as _, Result};

use crate::{
    cluster::{Cluster, ObjectId},
    env::Env,
    graph::TaskId,
    snapshot::{
        self, WrittenBy,
        archive::Archive,
        enough_room,
        primary::Primary,
        scratch::{self, MissingRoles},
        store::room,
    },
};

/// The tables of the scratch database and their rows, each table counted. Tables of PostgreSQL itself and partitioned ones, whose partitions
/// have the rows, do not count.
const ROWS: &str = "SELECT count(*), coalesce(sum((xpath('/row/rows/text()', \
    query_to_xml(format('SELECT count(*) AS rows FROM %s', oid::regclass), false, true, '')))[1]::text::bigint), 0) \
    FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text !~ '^(pg_|information_schema$)'";

/// The result of a rehearsal.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearsal {
    /// The size of the file in bytes.
    pub file: u64,
    /// Seconds to write the file; `None` for a given file.
    pub dumped: Option<f64>,
    /// Seconds until the scratch database had the content.
    pub restored: f64,
    pub tables: u64,
    pub rows: u64,
}

/// Restores the content of the database, or of an earlier snapshot, into a scratch database of the same server, which is dropped. The
/// application's database does not change.
pub fn rehearse(env: &Env, task: TaskId, cluster: &Cluster, database: &ObjectId, file: Option<&Path>) -> Result<Rehearsal> {
    let primary = Primary::find(cluster, database)?;
    let began = Instant::now();
    let folder = room(env)?;
    let (mut archive, size, content, dumped) = match file {
        Some(file) => {
            let archive = Archive::open(file, WrittenBy::Snapshot)?;
            let content = archive.facts.as_ref().map(|it| it.size).unwrap_or_default();
            (archive, std::fs::metadata(file)?.len(), content, None)
        }
        None => {
            let (out, facts) = snapshot::dump(env, &primary, folder.path())?;
            let size = out.as_file().metadata()?.len();
            (snapshot::open(&out, out.path())?, size, facts.size, Some(began.elapsed().as_secs_f64()))
        }
    };
    enough_room(&primary, content.max(size))?;
    let began = Instant::now();
    let count = |it: &scratch::Scratch<'_>| {
        let restored = began.elapsed().as_secs_f64();
        it.inside(ROWS).map(|it| (restored, it))
    };
    let restored = scratch::with((env, task), &primary, &mut archive, MissingRoles::Refuse, count);
    let (restored, counted) = restored.or_else(|error| {
        env.interrupt.check()?;
        Err(scratch::unrestorable(error))
    })?;
    let mut numbers = counted.trim().split('|').map(|it| it.trim().parse().with_context(|| format!("read the rows {counted:?}")));
    let mut next = || numbers.next().unwrap_or(Ok(0));
    Ok(Rehearsal { file: size, dumped, restored, tables: next()?, rows: next()? })
}
