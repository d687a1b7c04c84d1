//! Faults of the machine in `create`, `update` and `delete`: the first line of the error names the fault, the message has a way out, and the
//! same command succeeds afterwards.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    http::Ill,
    support::{Ran, tool},
    world::{INSTANCE, World},
};

/// Every wait for an answer ends before this, also on a busy machine. Those for pods take longer.
const LIMIT: Duration = Duration::from_secs(150);

/// A kind of fault.
struct Fault {
    kind: &'static str,
    plant: Plant,
    /// What the first line of the error of `create`, `update` and `delete` says. `WELL`: the fault does not concern the command, which
    /// succeeds.
    says: [&'static str; 3],
}

const WELL: &str = "";

enum Plant {
    /// The engine has it after so many answers to `create`, `update` and `delete`.
    Engine(fn() -> Ill, [usize; 3]),
    /// The same for the API server.
    Server(fn() -> Ill, [usize; 3]),
    /// A shell runs this first, then the tool, in a mount namespace of its own. `$R` is the project.
    Shell(&'static str),
    /// A program of this name comes first on PATH.
    Program(&'static str, &'static str),
    Variable(&'static str, &'static str),
    /// Standard output is this file.
    Output(&'static str),
    /// Another process has the instance's lock.
    Lock,
}
use Plant::{Engine, Lock, Output, Program, Server, Shell, Variable};

/// An API server's refusal.
fn status(code: u16, reason: &str, message: &str) -> Ill {
    let body = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code });
    Ill::Answers(code, "application/json", body.to_string())
}

fn engine_says(code: u16, message: &str) -> Ill {
    Ill::Answers(code, "application/json", json!({ "message": message }).to_string())
}

fn page() -> Ill {
    Ill::Answers(200, "text/html", "<html><title>Log in</title></html>".to_owned())
}

/// A copy of a folder on a file system of its own, of which `$full` is used up.
const FULL: &str = "full() { mkdir -p $1 $R/was && mount --bind $1 $R/was && mount -t tmpfs -o $2 none $1 && cp -a $R/was/. $1/; }";
/// A folder that cannot be written.
const READ_ONLY: &str = "closed() { mkdir -p $1 && mount --bind $1 $1 && mount -o remount,ro,bind $1; }";

/// A few requests at the beginning are answered, so that the command is in the middle of its work.
const MIDDLE: [usize; 3] = [9, 9, 5];
const OF_SERVER: [usize; 3] = [4, 14, 0];

fn faults() -> Vec<Fault> {
    let fault = |kind, plant, says| Fault { kind, plant, says };
    let same = |says: &'static str| [says; 3];
    // `delete` removes the node, and asks no API server.
    let not_of_delete = |says: &'static str| [says, says, WELL];
    vec![
        // The slow ones first: other kinds go on beside them.
        fault("the engine hangs meanwhile", Engine(|| Ill::Hangs, MIDDLE), same("does not answer: not even a ping")),
        fault(
            "the API server hangs meanwhile",
            Server(|| Ill::Hangs, OF_SERVER),
            not_of_delete("the API server does not answer: no answer within 5 s"),
        ),
        fault(
            "the API server is overloaded",
            Server(|| status(429, "TooManyRequests", "too many requests"), OF_SERVER),
            not_of_delete("the API server does not answer: too many requests"),
        ),
        fault("another command hangs", Lock, same("waiting for another command of this instance: `")),
        fault("no engine", Variable("DOCKER_HOST", "unix:///nonexistent/docker.sock"), same("no engine answers there")),
        fault("the engine's socket is closed to the user", Engine(|| engine_says(403, "not for you"), [0; 3]), same("not for you")),
        fault("the engine hangs", Engine(|| Ill::Hangs, [0; 3]), same("no engine answers there: no answer within 5 s")),
        fault("another program has the engine's socket", Engine(page, [0; 3]), same("its answer is not an engine's")),
        fault("the engine ends meanwhile", Engine(|| Ill::Closes, MIDDLE), same("does not answer: connection closed")),
        fault(
            "the engine's disk is full",
            Engine(|| engine_says(500, "write x: no space left on device"), [6, 9, 5]),
            same("no space left on device"),
        ),
        fault(
            "the API server ends meanwhile",
            Server(|| Ill::Closes, OF_SERVER),
            not_of_delete("connection closed before message completed"),
        ),
        fault("a proxy has the API server's address", Server(page, OF_SERVER), not_of_delete("the answer is not that of an API server")),
        fault(
            "the credentials have ended",
            Server(|| status(401, "Unauthorized", "Unauthorized"), OF_SERVER),
            not_of_delete("Unauthorized"),
        ),
        fault(
            "a permission is missing",
            Server(|| status(403, "Forbidden", "User \"u\" may not"), OF_SERVER),
            not_of_delete("User \"u\" may not"),
        ),
        fault(
            "the API server's storage is away",
            Server(|| status(500, "InternalError", "etcdserver: no leader"), OF_SERVER),
            not_of_delete("etcdserver: no leader"),
        ),
        fault(
            "the engine's disk has errors",
            Engine(|| engine_says(500, "read x: input/output error"), [6, 9, 5]),
            same("read x: input/output error"),
        ),
        fault(
            "the API server starts again",
            Server(|| status(503, "ServiceUnavailable", "apiserver is shutting down"), OF_SERVER),
            not_of_delete("the API server does not answer: apiserver is shutting down"),
        ),
        fault(
            "the API server's answers are cut",
            Server(|| Ill::Answers(200, "application/json", "{\"kind\": \"Pod".to_owned()), OF_SERVER),
            not_of_delete("the answer is not that of an API server"),
        ),
        fault(
            "the engine's answers are cut",
            Engine(|| Ill::Answers(200, "application/json", "{\"Id\": \"a".to_owned()), MIDDLE),
            same("its answer is not an engine's"),
        ),
        fault("the temporary folder is gone, and not needed", Variable("TMPDIR", "/nonexistent"), same(WELL)),
        fault(
            "the disk of the project is full",
            Shell("full $R/target size=8m; dd if=/dev/zero of=$R/target/fill bs=4k 2>/dev/null; true"),
            ["No space left on device", "No space left on device", WELL],
        ),
        fault(
            "no inodes are left",
            Shell("full $R/target nr_inodes=$(($(find $R/target | wc -l) + 4))"),
            ["No space left on device", "No space left on device", WELL],
        ),
        fault(
            "the disk of the cache is full",
            Shell("full $R/cache size=60m; dd if=/dev/zero of=$R/cache/fill bs=4k 2>/dev/null; true"),
            ["disk (cache): 0.0 GB free", WELL, WELL],
        ),
        fault("the project is read-only", Shell("closed $R"), same("Read-only file system")),
        fault("the cache is read-only", Shell("closed $R/cache"), ["disk (cache): ", WELL, WELL]),
        // `delete` opens the fewest.
        fault(
            "too few open files are allowed",
            Shell("ulimit -n $([ \"$2\" = delete ] && echo 10 || echo 12)"),
            same("Too many open files"),
        ),
        fault(
            "git is missing",
            Shell("mkdir -p $R/none; PATH=$R/fakes:$R/none"),
            ["git: not on PATH", "`git` is not on this machine's PATH", WELL],
        ),
        fault("git is killed", Program("git", "kill -9 $$"), ["was ended by signal 9", "was ended by signal 9", WELL]),
        fault(
            "the output cannot be written",
            Output("/dev/full"),
            ["print the result: No space left on device", "print the result: No space left on device", WELL],
        ),
    ]
}

/// What runs the tool with the fault.
fn command(world: &World, fault: &Fault, words: &[&str]) -> Command {
    let root = &world.project.root;
    let script = match fault.plant {
        Shell(script) => script,
        _ => "true",
    };
    let mut command = match fault.plant {
        Shell(_) => {
            let mut command = world.command_of(Path::new("unshare"), &["--mount", "--propagation", "private", "sh", "-c"]);
            command
                .arg(format!("R={}; {FULL}; {READ_ONLY}; {script}; cd $R; exec \"$@\"", root.display()))
                .arg("sh")
                .arg(tool())
                .args(words);
            command
        }
        _ => world.command(words),
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match fault.plant {
        Variable(name, value) => drop(command.env(name, value)),
        Output(file) => drop(command.stdout(fs::File::options().write(true).open(file).unwrap())),
        Program(name, script) => {
            world.project.write(&format!("fakes/{name}"), &format!("#!/bin/sh\n{script}\n"));
            fs::set_permissions(root.join("fakes").join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        _ => {}
    }
    command
}

/// Runs `create`, `update` and `delete`, each with the fault and then without it.
fn suffer(fault: &Fault) -> Vec<String> {
    let (world, mut wrong) = (World::new(), Vec::new());
    for (place, (word, says)) in ["create", "update", "delete"].into_iter().zip(fault.says).enumerate() {
        // Something to do, from the patch on.
        world.project.write("third_party/django-polls/manage.py", &format!("import django\nDEBUG = True\nlast = 1\nnumber = {place}\n"));
        let is_early = matches!(fault.plant, Shell(_) | Program(..)) && says != WELL;
        if !is_early {
            world.run(&["patch"]).ends_with(0);
            world.build();
        }
        match fault.plant {
            Engine(ill, after) => world.engine.health.fall(ill(), after[place]),
            Server(ill, after) => world.cluster.health.fall(ill(), after[place]),
            _ => {}
        }
        let (mut words, mut held) = (vec![word, "--yes"], None);
        if let Lock = fault.plant {
            let file = fs::File::options().write(true).open(world.project.root.join("target/pocdeploy/lock")).unwrap();
            file.lock().unwrap();
            held = Some(file);
            // Enough for a busy machine to come to the lock.
            words.extend(["--timeout", "10s"]);
        }
        let began = Instant::now();
        let ran = Ran::from(command(&world, fault, &words).output().unwrap());
        let took = began.elapsed();
        drop(held);
        world.engine.health.recover();
        world.cluster.health.recover();
        if let Program(name, _) = fault.plant {
            fs::remove_file(world.project.root.join("fakes").join(name)).unwrap();
        }
        let error = ran.stderr.split_once("error[").map(|it| it.1).unwrap_or_default();
        let first = error.lines().next().unwrap_or_default();
        eprintln!("{} in {word}: {} after {:.1} s: {first}", fault.kind, ran.code, took.as_secs_f32());
        let is_named = first.contains(says) && (error.contains("\nhint: ") || says == WELL);
        if !is_named || (ran.code == 0) != (says == WELL) || took > LIMIT {
            wrong.push(format!("{} in {word}: exit code {} after {took:?}\n{}", fault.kind, ran.code, ran.stderr));
        }
        if word == "delete" && ran.code == 0 {
            continue;
        }
        if is_early {
            world.run(&["patch"]).ends_with(0);
            world.build();
        }
        let again = world.run(&[word, "--yes"]);
        if again.code != 0 {
            wrong.push(format!("{} in {word}: without the fault: {}", fault.kind, again.stderr));
        }
    }
    if world.engine.containers() != Vec::<String>::new() {
        wrong.push(format!("{}: {} is left of {INSTANCE}", fault.kind, world.engine.containers().join(", ")));
    }
    wrong
}

/// Whether a process of this user may mount file systems in a namespace of its own.
fn may_mount() -> bool {
    #[expect(clippy::disallowed_methods, reason = "asks what the machine allows")]
    let tried = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|it| it.success())
}

#[test]
fn a_fault_of_the_machine_is_named_first_and_the_next_run_goes_on() {
    let only = std::env::var("FAULT").unwrap_or_default();
    let mut faults = faults();
    faults.retain(|it| it.kind.contains(&only));
    let all = faults.len();
    assert!(all >= 29 || !only.is_empty(), "{all}");
    let can_mount = may_mount();
    faults.retain(|it| can_mount || !matches!(it.plant, Shell(_)));
    let (left, wrong) = (Mutex::new(faults.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(fault) = { left.lock().unwrap().next() } {
                    let found = suffer(fault);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    eprintln!("{} kinds of faults in create, update and delete; not possible here: {}", faults.len(), all - faults.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
