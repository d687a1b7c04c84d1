//! Ctrl-C, SIGTERM and `--timeout` from outside: real signals to a real process whose child, a fake python3, hangs.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::{
    fs,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use support::{Project, Ran, command, content, tool};

/// Generous, since the machine may be busy.
const LIMIT: Duration = Duration::from_secs(120);

/// A program with two children, one of which ignores SIGTERM, that waits.
const HANGS: &str =
    "#!/bin/sh\nsleep 300 &\necho $! >> \"$PIDS\"\n(trap '' TERM; exec sleep 300) &\necho $! >> \"$PIDS\"\necho $$ >> \"$PIDS\"\nwait\n";

fn project() -> Project {
    let project = Project::new();
    project.write("build/images/versions.toml", include_str!("../build/images/versions.toml"));
    project.write("bin/python3", HANGS);
    fs::set_permissions(project.root.join("bin/python3"), fs::Permissions::from_mode(0o755)).unwrap();
    project
}

fn start(project: &Project, arguments: &[&str]) -> Child {
    start_program(tool(), project, arguments)
}

fn start_program(program: &Path, project: &Project, arguments: &[&str]) -> Child {
    let path = format!("{}:{}", project.root.join("bin").display(), std::env::var("PATH").unwrap());
    let mut command = command(program, &project.root, arguments);
    command
        .env("PATH", path)
        .env("PIDS", project.root.join("pids"))
        .env("POCDEPLOY_CACHE_DIR", project.root.join("cache"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "{what}: not within {} s", LIMIT.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes of the fake that have begun.
fn begun(project: &Project) -> Vec<i32> {
    let text = fs::read_to_string(project.root.join("pids")).unwrap_or_default();
    text.lines().filter_map(|it| it.parse().ok()).collect()
}

/// The three processes of the fake, once all exist.
fn children(project: &Project) -> Vec<i32> {
    wait_until("the fake python3 to start", || begun(project).len() == 3);
    begun(project)
}

/// A zombie counts as ended.
fn is_alive(id: i32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(id.to_string()).join("stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|it| !it.is_empty() && !it.starts_with('Z'))
}

fn signal(process: i32, signal: Signal) {
    kill_process(Pid::from_raw(process).unwrap(), signal).unwrap();
}

fn id(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

fn ended(child: Child) -> Ran {
    Ran::from(child.wait_with_output().unwrap())
}

#[track_caller]
fn all_are_gone(ids: &[i32]) {
    let left: Vec<&i32> = ids.iter().filter(|it| is_alive(**it)).collect();
    assert!(left.is_empty(), "still there: {left:?}");
}

#[test]
fn signals_end_the_run_with_all_its_children_and_their_own_exit_codes() {
    for (sent, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 143)] {
        let project = project();
        let run = start(&project, &["requirements"]);
        let children = children(&project);
        signal(id(&run), sent);
        ended(run).ends_with(code).says("interrupted").says("run the same command again");
        all_are_gone(&children);
    }
}

#[test]
fn neither_the_tool_nor_what_it_starts_leaves_a_core_dump() {
    let project = project();
    // As on machines where core dumps are switched on.
    let shell = ["-c", "ulimit -c unlimited; exec \"$@\"", "sh", tool().to_str().unwrap(), "requirements"];
    let run = start_program(Path::new("sh"), &project, &shell);
    let limit = |process: i32| {
        let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
        let line = limits.lines().find(|it| it.starts_with("Max core file size")).unwrap().to_owned();
        line.split_whitespace().nth(4).unwrap().to_owned()
    };
    let children = children(&project);
    for process in children.iter().copied().chain([id(&run)]) {
        assert_eq!(limit(process), "0", "process {process}");
    }
    signal(id(&run), Signal::INT);
    ended(run).ends_with(130);
}

#[test]
fn a_second_ctrl_c_neither_hurries_nor_changes_the_end() {
    let project = project();
    let run = start(&project, &["requirements"]);
    let children = children(&project);
    let staged = content(&project.root.join("target/pocdeploy/app"));
    for _ in 0..3 {
        signal(id(&run), Signal::INT);
        std::thread::sleep(Duration::from_millis(100));
    }
    signal(id(&run), Signal::TERM);
    ended(run).ends_with(130);
    all_are_gone(&children);
    // Nothing is half-written: the earlier copy is complete, and the next run continues.
    assert_eq!(content(&project.root.join("target/pocdeploy/app")), staged);
    assert!(project.read("target/pocdeploy/log/requirements.log").contains("$ python3"));
    project.run(&["patch"]).ends_with(0).says("skipped");
}

#[test]
fn a_limit_for_the_whole_run_ends_it_and_says_what_it_waited_for() {
    // A busy machine may need longer than the shorter limits to start the fake.
    let mut limits = [2, 8, 32, 128].into_iter();
    let (limit, ran, children) = limits
        .find_map(|limit| {
            let project = project();
            let ran = ended(start(&project, &["requirements", "--timeout", &format!("{limit}s")]));
            let children = begun(&project);
            (children.len() == 3).then_some((limit, ran, children))
        })
        .unwrap();
    ran.ends_with(6)
        .says("error[E0003]: requirements was stopped")
        .says("python3")
        .says("was stopped")
        .says(&format!("the limit of the whole run, {limit} s, is reached"));
    all_are_gone(&children);
}

#[test]
fn whoever_waits_sees_who_holds_the_lock_and_the_lock_dies_with_its_process() {
    let project = project();
    let mut holder = start(&project, &["requirements"]);
    let children = children(&project);
    // A busy machine may reach the lock later.
    let mut ran = ["1s", "8s", "64s"].into_iter().map(|limit| ended(start(&project, &["patch", "--timeout", limit])));
    ran.find(|it| it.stderr.contains("waiting for another command")).unwrap().ends_with(6).says(&format!(
        "waiting for another command of this instance (0 of at most 1800 s): `cargo xtask requirements`, process {}, for ",
        holder.id()
    ));
    let mut waits = start(&project, &["patch"]);
    let mut stderr = waits.stderr.take().unwrap();
    // It has printed what it waits for, so it waits.
    let mut said = [0; 1];
    stderr.read_exact(&mut said).unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(waits.wait().unwrap().success());
    for child in children {
        signal(child, Signal::KILL);
    }
}

#[test]
fn a_waiting_run_is_interrupted_and_the_holder_is_not() {
    let project = project();
    let holder = start(&project, &["requirements"]);
    let children = children(&project);
    let mut waits = start(&project, &["patch"]);
    let mut stderr = waits.stderr.take().unwrap();
    let mut said = [0; 1];
    stderr.read_exact(&mut said).unwrap();
    signal(id(&waits), Signal::TERM);
    assert_eq!(waits.wait().unwrap().code(), Some(143));
    assert!(children.iter().all(|it| is_alive(*it)));
    signal(id(&holder), Signal::INT);
    ended(holder).ends_with(130);
    all_are_gone(&children);
}
