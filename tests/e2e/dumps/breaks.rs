//! Restores that fail in the middle, at each kind of object.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use pocdeploy::{
    cluster::{Cluster, ObjectId},
    graph::TaskId,
    report::Recorder,
    snapshot::{self, WrittenBy},
};

use super::{EVERY_KIND, facts, same};
use crate::bench::Bench;

/// The start of the snapshot's statements, at least one of each kind; `^` stands for a line break inside one.
const STATEMENTS: &str = include_str!("statements.txt");

/// All failures on one instance, with one object of each kind.
pub(crate) fn everywhere(bench: &Bench) {
    bench.script(EVERY_KIND);
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
