//! Snapshots of a database with one object of each kind: what a restore restores, and what a failed restore leaves.

pub(crate) mod breaks;

use std::path::PathBuf;

use crate::bench::Bench;

/// Creates one object of each kind, with various owners.
const EVERY_KIND: &str = include_str!("dumps/every_kind.sql");
/// Changes nearly all of them.
const BROKEN: &str = include_str!("dumps/broken.sql");
/// Objects that the text of `pg_dump` omits.
const WORLD: &str = include_str!("dumps/world.sql");

/// More than the connections to a container hold: a program that reads a part of a dump must not leave the rest waiting.
const BULK: &str = "CREATE TABLE zoo AS SELECT n, md5(n::text) || md5((n + 1)::text) AS word FROM generate_series(1, 600000) n; ALTER TABLE zoo OWNER TO polls";

/// Takes a snapshot, changes every kind of object, makes a restore fail, and restores. Returns the snapshot.
pub(crate) fn round_trip(bench: &Bench) -> PathBuf {
    bench.script(EVERY_KIND);
    bench.sql(BULK);
    bench.sql("UPDATE polls_choice SET votes = 7");
    let before = facts(bench);
    for part in ["CREATE TABLE public.kinds", "citext", "FOR VALUES IN (1)", "ENABLE ROW LEVEL SECURITY", "777001"] {
        assert!(before.contains(part), "no {part:?} in\n{before}");
    }
    let taken = bench.run(&["db", "snapshot"]);
    taken.ends_with(0).says("checked by a restore into a scratch database");
    let snapshot = PathBuf::from(taken.stdout.trim_end());
    same(&before, &facts(bench));

    // A generated column whose function finds another one only through the session's search_path, so it cannot be restored.
    bench.script(
        "SET ROLE polls; CREATE FUNCTION bare(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN doubled(i); END';
         SET search_path = public; ALTER TABLE kinds ADD COLUMN bare int GENERATED ALWAYS AS (bare(other::int)) STORED;",
    );
    let refused = bench.run(&["db", "snapshot"]);
    refused.ends_with(1).says("E0311").says("function doubled(integer) does not exist").says("SET search_path");
    let forced = bench.run(&["db", "snapshot", "--no-verify"]);
    forced.ends_with(0);
    let unrestorable = forced.stdout.trim_end().to_owned();
    bench.script(BROKEN);
    let broken = facts(bench);
    assert_ne!(broken, before);
    // The restore fails while it copies rows: tables and functions exist, but no keys, privileges and large objects.
    bench.run(&["db", "restore", "--yes", &unrestorable]).ends_with(1).says("nothing was changed").says("doubled(integer)");
    same(&broken, &facts(bench));

    bench.run(&["db", "restore", "--yes", snapshot.to_str().unwrap()]).ends_with(0).says("and the page answers");
    same(&before, &facts(bench));
    assert_eq!(bench.sql("SELECT count(DISTINCT word) FROM zoo").trim(), "600000");
    bench.sql("DROP TABLE zoo");
    snapshot
}

/// A description of schema, rows, sequence values, large objects, owners and privileges.
fn facts(bench: &Bench) -> String {
    let schema = bench.in_primary("pg_dump --schema-only --create -d polls", "");
    // pg_dump writes a random word against injected commands, different in each dump.
    let schema: String =
        schema.lines().filter(|it| !it.starts_with("\\restrict") && !it.starts_with("\\unrestrict")).collect::<Vec<_>>().join("\n");
    // No failed restore leaves anything.
    assert_eq!(bench.sql("SELECT string_agg(datname, ', ') FROM pg_database WHERE datname LIKE 'pocdeploy%'").trim(), "");
    format!("{schema}\n{}", bench.script(WORLD))
}

#[track_caller]
fn same(before: &str, after: &str) {
    let only =
        |one: &str, other: &str| one.lines().filter(|it| !other.lines().any(|line| line == *it)).map(str::to_owned).collect::<Vec<_>>();
    let (gone, new) = (only(before, after), only(after, before));
    assert!(gone.is_empty() && new.is_empty(), "gone: {gone:#?}\nnew: {new:#?}");
}
