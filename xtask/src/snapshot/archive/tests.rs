//! Parsing of a snapshot's file and of messages of PostgreSQL's programs.

use std::fs;

use super::*;

fn write(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[test]
fn a_file_that_is_no_snapshot_is_refused_before_anything_happens() {
    let refused = |bytes: &[u8]| {
        let (_dir, path) = write("file", bytes);
        Archive::open(&path, WrittenBy::PgDump).err().map(|it| it.to_string()).unwrap_or_default()
    };
    assert_eq!(refused(b"PGDMP\x01"), "");
    assert!(refused(b"").contains("is not a snapshot"));
    assert!(refused(b"SELECT 1;").contains("is not a snapshot"));
    assert!(Archive::open(Path::new("/no/such/file"), WrittenBy::PgDump).is_err());
}

#[test]
fn the_facts_stand_after_the_archive_and_pg_restore_is_given_the_archive_alone() {
    let facts = Facts { extensions: [("lo".to_owned(), "po\"lls".to_owned())].into(), public: false, size: 7, exact: true };
    let mut bytes = b"PGDMP and \npocdeploy-facts in a row".to_vec();
    write_facts(&mut bytes, &facts).unwrap();
    let (_dir, path) = write("file", &bytes);
    let mut archive = Archive::open(&path, WrittenBy::Snapshot).unwrap();
    assert_eq!(archive.facts, Some(facts));
    for _ in 0..2 {
        let mut read = Vec::new();
        archive.read().unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, b"PGDMP and \npocdeploy-facts in a row");
    }
}

#[test]
fn a_snapshot_that_is_cut_anywhere_in_its_last_line_or_before_it_is_refused() {
    let mut bytes = b"PGDMP as it was".to_vec();
    let length = bytes.len();
    write_facts(&mut bytes, &Facts::default()).unwrap();
    let opened = |bytes: &[u8], writer| {
        let (_dir, path) = write("file", bytes);
        Archive::open(&path, writer).map_err(|it| it.to_string())
    };
    // Without the last newline the facts are still complete.
    for end in length..bytes.len() - 1 {
        let said = opened(&bytes[..end], WrittenBy::Snapshot).err().unwrap_or_else(|| panic!("cut at {end}, and accepted"));
        assert!(said.contains("is truncated"), "{end}: {said}");
    }
    assert!(opened(&bytes, WrittenBy::Snapshot).unwrap().facts.is_some());
    let mut archive = opened(&bytes[..length], WrittenBy::PgDump).unwrap();
    assert_eq!(archive.facts, None);
    let mut read = Vec::new();
    archive.read().unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, b"PGDMP as it was");
}

#[test]
fn the_table_of_contents_tells_the_owner_the_databases_own_entries_and_the_subscriptions() {
    let list = "\
;
; Archive created at 2026-11-27 12:17:46 UTC
;     dbname: my polls
;     TOC Entries: 93
;
3480; 1262 16716 DATABASE - my polls the owner
2; 3079 16724 EXTENSION - lo
3481; 0 0 COMMENT - DATABASE \"my polls\" the owner
3482; 0 0 ACL - DATABASE \"my polls\" the owner
3483; 0 0 DATABASE PROPERTIES - my polls the owner
3486; 0 0 ACL public TABLE DATABASE polls
3490; 6100 16800 SUBSCRIPTION - far postgres
";
    let contents = Contents::of(list);
    assert_eq!(contents.owner, "the owner");
    let numbers: Vec<&str> = contents.properties.iter().map(|it| it.split(';').next().unwrap()).collect();
    assert_eq!(numbers, ["3481", "3482", "3483"]);
    assert_eq!(contents.subscriptions, ["far postgres"]);
}

#[test]
fn settings_rights_and_comment_are_said_of_the_database_that_is_restored_to() {
    let text = r#"--
-- PostgreSQL database dump
--

\restrict eimc5wTTgY

SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);

CREATE DATABASE polls WITH TEMPLATE = template0 ENCODING = 'UTF8';


\connect -reuse-previous=on "dbname='it''s; ALTER DATABASE polls'"
COMMENT ON DATABASE polls IS 'it''s; the DATABASE polls';
ALTER DATABASE polls SET search_path TO '', 'A b', 'public';
ALTER DATABASE polls SET "app.x" TO 'one
ALTER DATABASE two';
ALTER ROLE "IN DATABASE polls" IN DATABASE polls SET work_mem TO '5MB';
SET SESSION AUTHORIZATION giver;
GRANT CONNECT ON DATABASE polls TO "DATABASE";
RESET SESSION AUTHORIZATION;
"#;
    let wanted = r#"COMMENT ON DATABASE "a""b" IS 'it''s; the DATABASE polls';
ALTER DATABASE "a""b" SET search_path TO '', 'A b', 'public';
ALTER DATABASE "a""b" SET "app.x" TO 'one
ALTER DATABASE two';
ALTER ROLE "IN DATABASE polls" IN DATABASE "a""b" SET work_mem TO '5MB';
SET SESSION AUTHORIZATION giver;
GRANT CONNECT ON DATABASE "a""b" TO "DATABASE";
RESET SESSION AUTHORIZATION;
"#;
    assert_eq!(properties(text, "a\"b").unwrap(), wanted);
    let other = text.replace(" polls ", " \"my polls\" ");
    assert_eq!(properties(&other, "a\"b").unwrap().replace("my polls", "polls").matches("DATABASE \"a\"\"b\"").count(), 5);
}

#[test]
fn a_statement_about_the_database_that_is_not_known_is_named_and_not_passed_over() {
    let said = |statement: &str| properties(&format!("SET row_security = off;\n\n{statement};\n\n"), "a").map_err(|it| it.to_string());
    let unknown = "UPDATE pg_catalog.pg_database SET datfrozenxid = '731' WHERE datname = 'polls'";
    assert_eq!(said(unknown), Err(format!("it says of the database itself what this version does not know: {unknown}")));
    assert!(said("ALTER SYSTEM SET work_mem TO '5MB'").is_err());
    assert!(said("SELECT pg_catalog.set_config('role', 'polls', false)").is_err());
    assert_eq!(said("ALTER DATABASE polls CONNECTION LIMIT = 7"), Ok("ALTER DATABASE \"a\" CONNECTION LIMIT = 7;\n".to_owned()));
}

/// The output of pg_restore 17.12 for a generated column whose function calls another without its schema.
const COPY: &str = "\
`env pg_restore` in pod polls-db-1 failed: pg_restore: error: COPY failed for table \"gen\": ERROR:  function inner_f(integer) does not exist
LINE 1: inner_f(i)
        ^
HINT:  No function matches the given name and argument types. You might need to add explicit type casts.
QUERY:  inner_f(i)
CONTEXT:  PL/pgSQL function public.outer_p(integer) line 1 at RETURN
COPY gen, line 1: \"1\"
pg_restore: error: could not execute query: ERROR:  role \"rep\" does not exist
Command was: CREATE POLICY p ON public.gen TO rep USING (true);


pg_restore: error: could not execute query: ERROR:  role \"we\"ird\" does not exist
Command was: GRANT SELECT ON TABLE public.gen TO rep;


pg_restore: error: could not execute query: ERROR:  role \"rep\" does not exist
pg_restore: warning: errors ignored on restore: 4";

#[test]
fn the_first_thing_that_cannot_be_put_back_is_named_with_its_place() {
    assert_eq!(
        reason(COPY),
        "COPY failed for table \"gen\": function inner_f(integer) does not exist; in PL/pgSQL function public.outer_p(integer) line 1 at RETURN"
    );
    let statement = "x failed: pg_restore: error: could not execute query: ERROR:  could not create unique index \"u\"\n\
        DETAIL:  Key (a)=(1) is duplicated.\nCommand was: CREATE UNIQUE INDEX u ON public.t (a);\n\n";
    assert_eq!(
        reason(statement),
        "could not create unique index \"u\"; Key (a)=(1) is duplicated.; from CREATE UNIQUE INDEX u ON public.t (a);"
    );
    let cut = "pg_restore: error: could not read from input file: end of file";
    assert_eq!(reason(cut), "could not read from input file: end of file");
    assert_eq!(reason(" the pod went away "), "the pod went away");
}

#[test]
fn every_missing_role_is_found_once() {
    assert_eq!(missing_roles(COPY), ["rep", "we\"ird"]);
    assert!(missing_roles("ERROR:  relation \"role\" does not exist").is_empty());
}
