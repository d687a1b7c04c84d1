//! The whole, again and again: the machine has no more of it after the last time than after the second. Counts what the whole machine has, so
//! nothing else may use its engine and its cache meanwhile.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use crate::bench::Bench;

/// What is never zero, by the start of its name.
const MEASURED: [&str; 7] = ["MB", "descriptors", "files of the cache", "images", "snapshots", "ReplicaSets", "entries"];

type Seen = BTreeMap<&'static str, u64>;

/// What the machine has: of the engine, of its processes, of the cache without the engine's own data, and temporary files.
fn machine(bench: &Bench) -> Seen {
    let count = |arguments: &str| docker(bench, arguments).lines().count() as u64;
    let mut out = Seen::from([
        ("containers", count("ps --all --quiet")),
        ("networks", count("network ls --quiet")),
        ("volumes", count("volume ls --quiet")),
        ("images", count("images --all --quiet")),
        ("files of the cache", files(&bench.env().cache(""), "engine")),
        ("temporary files", fs::read_dir(bench.path("tmp")).unwrap().count() as u64),
        // Of the runs, the last ten are kept.
        ("files of the project", files(&bench.path("target/pocdeploy"), "runs")),
    ]);
    let (mut descriptors, mut memory) = (0, 0);
    for process in fs::read_dir("/proc").unwrap().flatten().map(|it| it.path()) {
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        let inside = fs::read_to_string(process.join("cgroup")).unwrap_or_default().contains("/docker/");
        if matches!(name.trim(), "dockerd" | "containerd") && !inside {
            descriptors += fs::read_dir(process.join("fd")).map_or(0, Iterator::count) as u64;
            memory += field(&fs::read_to_string(process.join("status")).unwrap_or_default(), "VmRSS:") / 1024;
        }
    }
    out.extend([("descriptors of the engine", descriptors), ("MB of the engine", memory)]);
    out
}

/// The kubelet looks once a minute for containers of pods that are gone.
const SETTLED: Duration = Duration::from_secs(90);

/// What the instance has in its node and cluster, once the pods of the last updates have left nothing more to remove.
fn instance(bench: &Bench) -> Seen {
    std::thread::sleep(SETTLED);
    let count = |text: String| text.lines().count() as u64;
    let inside = |command: &str| bench.engine().exec(&bench.node(), &["sh", "-c", command]).unwrap().ok(command).unwrap();
    let number = |text: String| text.split_whitespace().next().and_then(|it| it.parse().ok()).unwrap_or_default();
    let history: serde_json::Value = serde_json::from_str(&bench.kubectl("-n polls get configmap pocdeploy-history -o json")).unwrap();
    let mut out = machine(bench);
    out.extend([
        ("images of the node", count(inside("ctr --namespace k8s.io images ls --quiet"))),
        ("snapshots of the node", count(inside("ctr --namespace k8s.io snapshots ls"))),
        ("MB of the node", number(inside("du -sm /var"))),
        ("pods", count(bench.kubectl("-n polls get pods --field-selector status.phase=Running -o name"))),
        ("ReplicaSets", count(bench.kubectl("-n polls get replicasets -o name"))),
        ("Secrets and ConfigMaps", count(bench.kubectl("-n polls get secrets,configmaps -o name"))),
        ("entries of the history", history["data"].as_object().unwrap().len() as u64),
        ("MB of the API server", field(&inside("cat /proc/$(pgrep -x kube-apiserver)/status"), "VmRSS:") / 1024),
    ]);
    out
}

fn docker(bench: &Bench, arguments: &str) -> String {
    let out = Command::new("docker").env("DOCKER_HOST", &bench.engine().host).args(arguments.split(' ')).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).unwrap()
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|it| it.strip_prefix(name));
    line.and_then(|it| it.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// The files below a folder, without those of its subfolder `without`.
fn files(folder: &Path, without: &str) -> u64 {
    let all = walkdir::WalkDir::new(folder).into_iter().filter_entry(|it| it.depth() != 1 || it.file_name() != without);
    all.flatten().filter(|it| it.file_type().is_file()).count() as u64
}

/// Fails if something is more than before, and prints both. Memory and descriptors come and go; they may be a quarter more.
fn compare(what: &str, before: &Seen, after: &Seen) {
    eprintln!("   {what}:");
    let mut more = Vec::new();
    for (name, was) in before {
        let is = after[name];
        eprintln!("      {name:<28} {was:>8} {is:>8}");
        let may_be = if name.starts_with("MB") || name.starts_with("descriptors") { was + was / 4 } else { *was };
        if is > may_be {
            more.push(format!("{name}: {was}, then {is}"));
        }
    }
    let unread: Vec<&&str> =
        before.iter().filter(|(name, was)| **was == 0 && MEASURED.iter().any(|it| name.starts_with(it))).map(|it| it.0).collect();
    assert!(unread.is_empty(), "{what}: not measured: {unread:?}");
    assert!(more.is_empty(), "{what}: {}", more.join("; "));
}

fn run(bench: &Bench, arguments: &[&str]) {
    let ran = bench.ran_quietly(bench.command(arguments).env("TMPDIR", bench.path("tmp")));
    ran.ends_with(0);
}

/// `create` and `delete` so many times, then so many updates of one instance.
pub(crate) fn leaves_nothing(bench: &Bench, times: usize, updates: usize) {
    fs::create_dir_all(bench.path("tmp")).unwrap();
    let mut second = Seen::new();
    bench.step("the whole again and again", || {
        for time in 1..=times {
            run(bench, &["create", "--yes"]);
            run(bench, &["validate"]);
            run(bench, &["delete", "--yes"]);
            if time == 2 {
                second = machine(bench);
            }
        }
        compare(&format!("after the second and the last of {times} times"), &second, &machine(bench));
    });
    bench.step("updates of one instance", || {
        run(bench, &["create", "--yes"]);
        let mut half = Seen::new();
        for number in 1..=updates {
            bench.edit_source(&format!("# {number}\n"));
            run(bench, &["update"]);
            if number == updates / 2 {
                half = instance(bench);
            }
        }
        run(bench, &["validate"]);
        compare(&format!("after half and all of {updates} updates"), &half, &instance(bench));
        run(bench, &["delete", "--yes"]);
    });
}
