//! Restores and snapshots that break in their middle: at each kind of object, by signals, and where the server has no room for them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::Child,
    sync::Arc,
    time::{Duration, Instant},
};

use pocdeploy::{
    cluster::{Cluster, ObjectId},
    graph::TaskId,
    report::Recorder,
    snapshot::{self, WrittenBy},
};
use rustix::process::{Pid, Signal, kill_process};

use super::{EVERY_KIND, facts, same};
use crate::bench::Bench;

/// The start of the snapshot's statements, at least one of each kind; `^` stands for a line break inside one.
const STATEMENTS: &str = include_str!("statements.txt");

/// All failures on one instance, with one object of each kind.
pub(crate) fn everywhere(bench: &Bench) {
    bench.script(EVERY_KIND);
    // Its rows are there at once; edited in a snapshot, they take a minute.
    bench.script("SET ROLE polls; CREATE MATERIALIZED VIEW slow AS SELECT pg_sleep('00'::text::float) IS NULL AS slept;");
    let before = facts(bench);
    let taken = bench.run(&["db", "snapshot", "--no-verify"]);
    taken.ends_with(0);
    let good = PathBuf::from(taken.stdout.trim_end());
    let bytes = fs::read(&good).unwrap();

    bench.step("a restore that breaks at any kind of object leaves schema, rows, owners and rights as they were", || {
        let mut broken: Vec<(String, Vec<u8>)> = STATEMENTS
            .lines()
            .map(|it| {
                let start = it.replace('^', "\n    ");
                (it.to_owned(), replaced(&bytes, &start, &format!("{}#{}", &start[..2], &start[3..])))
            })
            .collect();
        broken.push(("a setting of the database".to_owned(), replaced(&bytes, "SET \"app.words\" TO", "SET \"app words\" TO")));
        broken.push(("a large object's number".to_owned(), replaced(&bytes, "777002\n", "777001\n")));
        for (what, bytes) in &broken {
            let began = Instant::now();
            let file = write(bench, bytes);
            let error = restore(bench, &file).expect_err(what);
            assert!(error.contains("nothing was changed"), "{what}: {error}");
            eprintln!("   {what}: {:.1} s", began.elapsed().as_secs_f64());
        }
        same(&before, &facts(bench));
    });

    bench.step("a restore that is stopped or killed in its middle leaves all as it was, and the next command clears up", || {
        let slow = write(bench, &replaced(&bytes, "pg_sleep(('00'::text)", "pg_sleep(('60'::text)"));
        for signal in [Signal::INT, Signal::KILL] {
            let child = bench.start(&["db", "restore", "--yes", &text(&slow)]);
            until(bench, "SELECT count(*) FROM pg_stat_activity WHERE datname = 'pocdeploy-scratch' AND wait_event = 'PgSleep'");
            ended_by(bench, child, signal);
            same(&before, &facts(bench));
        }
    });

    bench.step("a restore that is stopped while it waits for the exchange leaves all as it was", || {
        let hold = "BEGIN; LOCK TABLE pg_catalog.pg_database IN ACCESS SHARE MODE; SELECT pg_sleep(60);";
        while_held(bench, "postgres", hold, || {
            let mut child = bench.start(&["db", "restore", "--yes", &text(&good)]);
            // No query could tell: a new connection reads the list of databases, and waits behind the exchange.
            let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
            assert!(lines.any(|it| it.contains("held by psql of postgres")), "it ended without a wait");
            ended_by(bench, child, Signal::TERM);
        });
        same(&before, &facts(bench));
    });

    bench.step("a snapshot that is stopped or killed while it waits leaves no session and, at the next command, no partial file", || {
        let hold = "BEGIN; LOCK TABLE kinds IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60);";
        while_held(bench, "polls", hold, || {
            for signal in [Signal::TERM, Signal::KILL] {
                let child = bench.start(&["db", "snapshot"]);
                until(bench, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pocdeploy' AND wait_event_type = 'Lock'");
                assert_eq!(partial(bench), 1);
                stop(child, signal);
                assert_eq!(partial(bench), usize::from(signal == Signal::KILL));
            }
            bench.run(&["db", "snapshot"]).ends_with(1).says("after 30 s these sessions still change tables: psql of postgres");
            assert_eq!(partial(bench), 0);
            let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pocdeploy'";
            assert_eq!(bench.in_primary("psql --no-psqlrc -tA -d postgres --file=-", ours).trim(), "0");
        });
        same(&before, &facts(bench));
    });

    bench.step("a server without a free connection, or without room for a second copy, refuses at once", || {
        let size = bytes.windows(7).rposition(|it| it == b"\"size\":").unwrap() + 7;
        let huge = [&bytes[..size], b"999999999", &bytes[size..]].concat();
        let error = restore(bench, &write(bench, &huge)).unwrap_err();
        assert!(error.contains("nothing was changed: a second copy of the database and its log take "), "{error}");
        // An idle session ends with its client at once, one in a statement not before that has ended.
        let fill = "for i in $(seq 120); do sleep 100 | psql --no-psqlrc -d postgres >/dev/null 2>&1 & done; wait";
        let free = "pkill -x 'psql|sleep'; until psql --no-psqlrc -d postgres -c 'SELECT 1' >/dev/null 2>&1; do sleep 0.2; done";
        std::thread::scope(|scope| {
            scope.spawn(|| bench.in_primary("bash -s", fill));
            let began = Instant::now();
            while !bench.run(&["db", "snapshot"]).stderr.contains("sorry, too many clients already") {
                assert!(began.elapsed() < Duration::from_secs(60), "there is always a free connection");
            }
            bench.run(&["db", "snapshot"]).ends_with(1).says("E0313").says("has no free connection").says("max_connections");
            let error = restore(bench, &good).unwrap_err();
            assert!(error.contains("no free connection"), "{error}");
            bench.in_primary("bash -s", free);
        });
        same(&before, &facts(bench));
    });

    fs::remove_file(&good).unwrap();
}

/// Replaces the first occurrence of `from` by text of the same length, so that the archive's lengths stay valid.
#[track_caller]
fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|it| it == from.as_bytes()).unwrap_or_else(|| panic!("no {from:?} in the snapshot"));
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}

fn write(bench: &Bench, bytes: &[u8]) -> PathBuf {
    let file = bench.path("broken.dump");
    fs::write(&file, bytes).unwrap();
    file
}

/// Like `db restore`, without the snapshot before it.
fn restore(bench: &Bench, file: &Path) -> Result<(), String> {
    let mut env = bench.env();
    env.report = Arc::new(Recorder::default());
    let cluster = Cluster::open(&env, &env.kubeconfig()).unwrap();
    let database = ObjectId::new("postgresql.cnpg.io/v1", "Cluster", "polls", "polls-db");
    snapshot::restore(&env, TaskId::Snapshot, &cluster, &database, (file, WrittenBy::Snapshot)).map_err(|it| format!("{it:#}"))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Waits until the query counts something; half a minute at most.
#[track_caller]
fn until(bench: &Bench, query: &str) {
    let began = Instant::now();
    while bench.in_primary("psql --no-psqlrc -tA -d postgres --file=-", query).trim() == "0" {
        assert!(began.elapsed() < Duration::from_secs(30), "never: {query}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Sends the signal and waits; the exit code.
fn stop(mut child: Child, signal: Signal) -> Option<i32> {
    kill_process(Pid::from_child(&child), signal).unwrap();
    child.wait().unwrap().code()
}

/// Stops a run; after a signal that it cannot hear, the next command clears up.
fn ended_by(bench: &Bench, child: Child, signal: Signal) {
    let code = stop(child, signal);
    match signal {
        Signal::INT => assert_eq!(code, Some(130)),
        Signal::TERM => assert_eq!(code, Some(143)),
        _ => drop(bench.run(&["db", "snapshot"]).ends_with(0)),
    }
}

/// Does the work while a session holds what the script locked before it slept.
fn while_held(bench: &Bench, database: &str, hold: &str, work: impl FnOnce()) {
    let program = format!("psql --no-psqlrc --quiet -d {database} --file=-");
    let sleeps = "FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND application_name = 'psql'";
    std::thread::scope(|scope| {
        scope.spawn(|| bench.in_primary(&program, hold));
        until(bench, &format!("SELECT count(*) {sleeps}"));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // The statement ends, and with it what the session held.
        bench.sql(&format!("SELECT count(pg_cancel_backend(pid)) {sleeps}"));
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Files of snapshots that are not whole.
fn partial(bench: &Bench) -> usize {
    fs::read_dir(bench.path("snapshots")).unwrap().flatten().filter(|it| it.file_name().to_string_lossy().ends_with(".part")).count()
}
