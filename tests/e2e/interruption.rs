//! Ctrl-C and SIGTERM in each task of a real `create`, which continues afterwards; two checkouts in parallel; a plan after a change.

use std::{
    io::{BufRead as _, BufReader},
    process::{ChildStdout, Stdio},
    time::{Duration, Instant},
};

use pocdeploy::graph::TaskId;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::bench::Bench;

/// The interrupted tasks, in an order in which each runs.
const TASKS: [TaskId; 8] =
    [TaskId::Patch, TaskId::Requirements, TaskId::Image, TaskId::Cluster, TaskId::Load, TaskId::Operator, TaskId::Database, TaskId::Deploy];

/// The tool must exit within this time; its commands get five seconds to exit.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends the signal a moment after the task has started to work; returns the exit code, or `None` if the task had nothing to do.
fn interrupt(bench: &Bench, task: TaskId, signal: Signal) -> Option<i32> {
    let mut command = bench.command(&["create", "--yes", "--events"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let works = reached(&mut lines, task);
    if works {
        // In the middle of the work.
        std::thread::sleep(Duration::from_millis(300));
    }
    // Also if the task had nothing to do, so that later tasks are interrupted while they work.
    kill_process(Pid::from_child(&child), signal).unwrap();
    let began = Instant::now();
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let status = child.wait().unwrap();
    assert!(began.elapsed() < PATIENCE, "it took {:?} to stop in {}", began.elapsed(), task.name());
    let last: Value = serde_json::from_str(rest.last().unwrap()).unwrap();
    assert_eq!(last["event"], "run-ended", "{last}");
    // The last task may end before it notices the signal.
    status.code().filter(|it| works && *it != 0)
}

fn reached(lines: &mut std::io::Lines<BufReader<ChildStdout>>, task: TaskId) -> bool {
    for line in lines.map_while(Result::ok) {
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["task"] == task.name() {
            match event["event"].as_str() {
                Some("started" | "restoring") => return true,
                Some("skipped" | "done") => return false,
                _ => {}
            }
        }
    }
    false
}

pub(crate) fn create_goes_on_from_wherever_it_was_stopped(bench: &Bench) -> String {
    bench.edit_source(&format!("# so that an image is built: {}\n", bench.instance));
    let mut stopped = Vec::new();
    for (index, task) in TASKS.into_iter().enumerate() {
        let (signal, code) = if index % 2 == 0 { (Signal::INT, 130) } else { (Signal::TERM, 143) };
        match interrupt(bench, task, signal) {
            Some(found) => {
                assert_eq!(found, code, "{}", task.name());
                stopped.push(task.name());
            }
            None => eprintln!("   {} had ended before it could be stopped", task.name()),
        }
        assert_eq!(bench.processes(), Vec::<String>::new(), "left behind by {}", task.name());
    }
    assert!(stopped.len() >= 5 && stopped.iter().any(|it| it == "cluster"), "only {stopped:?} were stopped");
    eprintln!("   stopped in {}", stopped.join(", "));
    let created = bench.run(&["create", "--yes"]);
    created.ends_with(0);
    let url = created.stdout.trim_end().to_owned();
    bench.wait_for_page(&url);
    url
}

/// The names of all objects in the cluster, and of the database's tables.
pub(crate) fn end_state(bench: &Bench) -> Vec<String> {
    let kinds = "deployments,statefulsets,services,ingresses,configmaps,secrets,persistentvolumeclaims,networkpolicies,serviceaccounts,\
                 clusters.postgresql.cnpg.io,poddisruptionbudgets,horizontalpodautoscalers,roles,rolebindings";
    let of = |namespace: &str| bench.kubectl(&format!("-n {namespace} get {} -o name", kinds.replace(' ', "")));
    let tables = bench.sql("SELECT string_agg(schemaname || '.' || tablename || ' ' || tableowner, ',' ORDER BY 1) FROM (SELECT * FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename) t");
    let mut out: Vec<String> =
        ["polls", "cnpg-system"].iter().flat_map(|it| of(it).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    out.sort();
    out.push(tables);
    out
}

/// Another checkout on the same machine, in parallel. Its cluster has no shortcuts and reaches the same state.
pub(crate) fn two_checkouts_do_not_collide(bench: &Bench, other: &Bench, url: &str) {
    other.configure("[cluster]\nshortcuts = false\n");
    let (mine, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| other.run(&["create", "--yes"]));
        // This checkout is changed meanwhile.
        bench.edit_source("# an edit\n");
        (bench.run(&["create", "--yes"]), theirs.join().unwrap())
    });
    mine.ends_with(0);
    theirs.ends_with(0);
    let their_url = theirs.stdout.trim_end();
    assert_ne!(their_url, url);
    assert_eq!(mine.stdout.trim_end(), url);
    bench.wait_for_page(url);
    other.wait_for_page(their_url);
    let listed = bench.run(&["ls"]);
    for name in [&bench.instance, &other.instance] {
        assert!(listed.stdout.lines().any(|it| it.starts_with(name.as_str()) && it.contains("running")), "{}", listed.stdout);
    }
    assert_eq!(end_state(other), end_state(bench), "with and without shortcuts");
    other.run(&["validate"]).ends_with(0);
    other.run(&["delete", "--yes"]).ends_with(0);
    assert_eq!(other.traces(), Vec::<String>::new());
    bench.wait_for_page(url);
}

pub(crate) fn a_plan_after_an_edit_names_the_file_and_is_applied_or_refused(bench: &Bench) {
    let plan = bench.path("plan.json");
    let plan = plan.to_str().unwrap();
    bench.edit_source("# planned\n");
    let planned = bench.run(&["plan", "--out", plan, "--detailed-exitcode"]);
    planned.ends_with(2);
    assert!(planned.stdout.contains("views.py"), "{}", planned.stdout);
    bench.edit_source("# not planned\n");
    bench.run(&["create", "--yes", "--plan", plan]).ends_with(1).says("is out of date; nothing was changed");
    bench.run(&["plan", "--out", plan]).ends_with(0);
    bench.run(&["create", "--yes", "--plan", plan]).ends_with(0);
    bench.run(&["plan", "--detailed-exitcode"]).ends_with(0);
}
