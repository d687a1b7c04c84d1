//! SIGKILL in the middle of `create`, `update`, `rollback` and `delete` on kind: the same command, run again, reaches the state of a clean run,
//! and leaves nothing behind.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{bench::Bench, interruption::end_state};

/// The tasks of `create` that are killed, and how long each has worked then, in milliseconds.
const CREATE: [(&str, u64); 9] = [
    ("patch", 0),
    ("requirements", 300),
    ("image", 300),
    ("cluster", 1_500),
    ("cluster", 6_000),
    ("load", 200),
    ("operator", 1_000),
    ("database", 3_000),
    ("deploy", 4_000),
];
const UPDATE: [(&str, u64); 4] = [("image", 100), ("load", 100), ("deploy", 100), ("deploy", 2_500)];
/// How long these commands have worked, in milliseconds.
const ROLLBACK: [u64; 3] = [200, 800, 2_500];
const DELETE: [u64; 4] = [50, 300, 1_000, 3_000];

/// Kills the command this long after the task has begun, or after its own begin; returns whether it was still at work.
fn kill(bench: &Bench, words: &[&str], task: Option<&str>, after: u64) -> bool {
    let mut command = bench.command(&[words, &["--events"]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        let event: Value = serde_json::from_str(&line).unwrap();
        let of_task = |task| event["task"] == task && ["started", "restoring"].iter().any(|it| event["event"] == *it);
        if task.is_none_or(of_task) {
            break;
        }
    }
    std::thread::sleep(Duration::from_millis(after));
    let at_work = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    at_work
}

/// Programs that the killed tool has started may end their work; none stays.
fn nothing_runs(bench: &Bench) {
    let began = Instant::now();
    while !bench.processes().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "{:#?}", bench.processes());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The first revision that has served and does not any more: one that was killed on its way has never served.
fn served_before(bench: &Bench) -> Option<String> {
    let history: Value = serde_json::from_str(&bench.run(&["history", "--output", "json"]).ends_with(0).stdout).unwrap();
    let all = history["revisions"].as_array().unwrap();
    all.iter().find(|it| it["state"] == "replaced").map(|it| it["number"].to_string())
}

pub(crate) fn everything_goes_on(bench: &Bench) -> usize {
    let mut killed = 0;
    let mut url = String::new();
    bench.step("create, killed in each task", || {
        bench.edit_source(&format!("# {}\n", bench.instance));
        for (task, after) in CREATE {
            let at_work = kill(bench, &["create", "--yes"], Some(task), after);
            eprintln!("   {task} after {after} ms: {}", if at_work { "killed" } else { "had ended" });
            killed += usize::from(at_work);
        }
        let created = bench.run(&["create", "--yes"]);
        url = created.ends_with(0).stdout.trim_end().to_owned();
        bench.run(&["validate"]).ends_with(0);
        nothing_runs(bench);
    });
    let first = end_state(bench);
    bench.step("update, killed in each task", || {
        for (number, (task, after)) in UPDATE.into_iter().enumerate() {
            bench.edit_source(&format!("# edit {number}\n"));
            killed += usize::from(kill(bench, &["update"], Some(task), after));
            bench.run(&["update"]).ends_with(0);
            bench.run(&["validate"]).ends_with(0);
        }
        nothing_runs(bench);
        bench.wait_for_page(&url);
    });
    bench.step("rollback, killed at three moments", || {
        for after in ROLLBACK {
            bench.run(&["update"]).ends_with(0);
            let target = served_before(bench).unwrap();
            killed += usize::from(kill(bench, &["rollback", &target], None, after));
            bench.run(&["rollback", &target]).ends_with(0);
            bench.run(&["validate"]).ends_with(0);
        }
        nothing_runs(bench);
        bench.wait_for_page(&url);
    });
    bench.step("delete, killed at four moments", || {
        for after in DELETE {
            killed += usize::from(kill(bench, &["delete", "--yes"], None, after));
        }
        bench.run(&["delete", "--yes"]).ends_with(0);
        nothing_runs(bench);
        assert_eq!(bench.traces(), Vec::<String>::new());
    });
    bench.step("a clean run reaches the same state", || {
        bench.run(&["create", "--yes"]).ends_with(0);
        assert_eq!(end_state(bench), first);
        bench.run(&["delete", "--yes"]).ends_with(0);
    });
    eprintln!("   {killed} killed at work");
    killed
}

/// Commands and the longest time before they are killed, in milliseconds.
const ANY: [(&[&str], u64); 4] =
    [(&["create", "--yes"], 26_000), (&["update"], 12_000), (&["rollback"], 6_000), (&["delete", "--yes"], 6_000)];

/// Kills a random command at a random moment, as often as `count` says. Each time the same command then ends well.
pub(crate) fn at_random(bench: &Bench, count: usize) {
    let mut state = u64::from(std::process::id());
    let mut random = |below: u64| {
        // Knuth's constants; the high bits are the random ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut exists, mut killed) = (false, 0);
    for number in 0..count {
        let (words, most) = if exists { ANY[usize::try_from(random(4)).unwrap()] } else { ANY[0] };
        let after = random(most);
        let target = if words[0] == "rollback" { served_before(bench) } else { None };
        // Nothing has served before: an update instead.
        let words = match &target {
            Some(target) => vec![words[0], target],
            None if words[0] == "rollback" => vec!["update"],
            None => words.to_vec(),
        };
        eprintln!("-- {number}: {words:?} is killed after {after} ms");
        if words[0] == "create" || words[0] == "update" {
            bench.edit_source(&format!("# random {number}\n"));
        }
        killed += usize::from(kill(bench, &words, None, after));
        bench.run(&words).ends_with(0);
        exists = words[0] != "delete";
        if exists {
            bench.run(&["validate"]).ends_with(0);
        } else {
            assert_eq!(bench.traces(), Vec::<String>::new());
        }
        nothing_runs(bench);
    }
    eprintln!("   {killed} of {count} killed at work");
    assert!(killed * 4 > count, "{killed} of {count}");
    bench.run(&["delete", "--yes"]).ends_with(0);
}
