//! SIGKILL at random moments of `create`, `update`, `rollback` and `delete`: the same command, run again, ends well and reaches the state of a
//! clean run.

use std::{
    collections::BTreeMap,
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{together::numbers, world::World};

/// The commands of one round, each on the state that the one before left.
const ROUND: [&str; 4] = ["create", "update", "rollback", "delete"];

struct Bench {
    world: World,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench { world: World::without_node() };
        bench.begin();
        bench
    }

    /// An empty cluster and everything that takes minutes to build.
    fn begin(&self) {
        self.world.clear_cluster();
        self.world.engine.node("doors", self.world.cluster.port);
        self.write("create");
        self.world.run(&["patch"]).ends_with(0);
        self.world.build();
    }

    fn write(&self, word: &str) {
        let object = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: words}}\ndata: {{word: {word}}}\n");
        self.world.project.write("deploy/frontend/zz-words.yaml", &object);
    }

    /// The words of a command. Prepares what it needs: a change, or the revision that served before.
    fn words(&self, command: &str) -> Vec<String> {
        let words: &[&str] = match command {
            "update" => {
                self.write("update");
                &["update"]
            }
            "rollback" => &["rollback", &self.served_before()],
            command => &[command, "--yes"],
        };
        words.iter().map(|it| (*it).to_owned()).collect()
    }

    fn served_before(&self) -> String {
        let said = self.world.run(&["history", "--output", "json"]).ends_with(0).stdout.clone();
        let history: Value = serde_json::from_str(&said).unwrap();
        let found = history["revisions"].as_array().unwrap().iter().find(|it| it["state"] == "replaced").map(|it| it["number"].to_string());
        found.unwrap_or_else(|| panic!("{said}"))
    }

    /// The state that a run leaves: objects without what differs from run to run, containers, networks, and the files of the work folder but
    /// reports and records, which spare a later run a look.
    fn state(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        for (name, mut object) in self.world.cluster.objects() {
            plain(&mut object);
            out.insert(name, object.to_string());
        }
        for name in self.world.engine.containers() {
            out.insert(format!("container {name}"), String::new());
        }
        for name in self.world.engine.networks() {
            out.insert(format!("network {name}"), String::new());
        }
        let work = self.world.project.root.join("target/pocdeploy");
        for entry in
            walkdir::WalkDir::new(&work).into_iter().filter_entry(|it| !["runs", "record"].iter().any(|name| it.file_name() == *name))
        {
            let entry = entry.unwrap();
            out.insert(format!("file {}", entry.path().strip_prefix(&work).unwrap().display()), String::new());
        }
        out
    }

    fn run(&self, words: &[String]) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.world.run(&words).ends_with(0);
    }

    /// Starts a command and kills it after a while; returns whether it was at work.
    fn kill(&self, words: &[String], after: Duration) -> bool {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut child = self.world.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(after);
        let at_work = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        at_work
    }
}

/// Removes what differs from run to run: numbers and times of the server, numbers of revisions, and values drawn by chance.
fn plain(object: &mut Value) {
    let is_history = object["metadata"]["name"] == "pocdeploy-history";
    if object["kind"] == "Secret" || is_history {
        let names: Vec<String> = object["data"].as_object().into_iter().flatten().map(|it| it.0.clone()).collect();
        object["data"] = if is_history { Value::Null } else { names.into() };
    }
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
        metadata.remove(field);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("dev.pocdeploy/revision");
    }
    for owner in metadata.get_mut("ownerReferences").and_then(Value::as_array_mut).into_iter().flatten() {
        owner["uid"] = Value::Null;
    }
}

/// Kills each command of so many rounds at a random moment.
fn rounds(count: usize) {
    let bench = Bench::new();
    let mut clean = Vec::new();
    for command in ROUND {
        let words = bench.words(command);
        let began = Instant::now();
        bench.run(&words);
        let took = began.elapsed();
        clean.push((bench.state(), took));
    }
    let mut parts = numbers(7, 1_000);
    let mut killed = BTreeMap::new();
    for round in 0..count {
        bench.begin();
        for (command, (state, took)) in ROUND.into_iter().zip(&mut clean) {
            let words = bench.words(command);
            let after = took.mul_f64(parts.next().unwrap() as f64 / 1_000.0);
            let at_work = bench.kill(&words, after);
            // The machine may have been busier during the clean run.
            *took = if at_work { *took } else { after };
            *killed.entry(command).or_insert(0) += usize::from(at_work);
            bench.run(&words);
            let now = bench.state();
            let differ: Vec<String> = (state.keys().chain(now.keys()))
                .filter(|it| state.get(*it) != now.get(*it))
                .map(|it| format!("{it}\n{:?} of a clean run\n{:?} now", state.get(it), now.get(it)))
                .collect();
            assert!(differ.is_empty(), "round {round}, {command} killed after {after:?}:\n{}", differ.join("\n"));
        }
    }
    eprintln!("{} kills, at work: {killed:?}", count * ROUND.len());
    assert!(killed.values().sum::<usize>() * 4 > count * ROUND.len(), "{killed:?}");
    fs::remove_dir_all(bench.world.project.root.join("target")).unwrap();
}

#[test]
fn a_command_that_is_killed_reaches_the_state_of_a_clean_run_when_it_is_run_again() {
    rounds(4);
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn a_command_that_is_killed_at_any_of_two_hundred_moments_reaches_the_state_of_a_clean_run() {
    rounds(50);
}
