//! Two commands of an instance at the same time, and one command many times: what each leaves.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use pocdeploy::{fingerprint::Fingerprint, tasks::image::INPUTS_LABEL};
use serde_json::{Map, Value, json};

use crate::{support::Ran, world::World};

fn start(world: &World, words: &[&str]) -> Child {
    let mut command = world.command(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn ended(child: Child) -> Ran {
    Ran::from(child.wait_with_output().unwrap())
}

/// A node without an instance, and everything that takes minutes to build.
fn begin(world: &World) {
    world.engine.node("doors", world.cluster.port);
    world.run(&["patch"]).ends_with(0);
    world.build();
}

/// Numbers below `end` that look random and are the same in every run.
pub(crate) fn numbers(seed: u64, end: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % end
    })
}

/// Starts pairs of commands at different distances. Each ends well, the later one waits for the earlier one, and the end is that of one after
/// the other.
fn pairs(times: usize) {
    let pairs = [("create", "create"), ("create", "update"), ("create", "delete"), ("delete", "delete")];
    let (mut runs, mut waited) = (0, 0);
    for (seed, (first, second)) in pairs.into_iter().enumerate() {
        let world = World::new();
        for pause in numbers(seed as u64 + 1, 250).take(times) {
            begin(&world);
            if second == "update" {
                world.create();
            }
            let a = start(&world, &[first, "--yes"]);
            std::thread::sleep(Duration::from_millis(pause));
            let b = start(&world, &[second, "--yes"]);
            let (a, b) = (ended(a), ended(b));
            let about = format!("{first}, and {second} after {pause} ms:\n{}\n{}", a.stderr, b.stderr);
            let has_waited = [&a, &b].into_iter().filter(|it| it.stderr.contains("waiting for another command of this instance")).count();
            assert!(has_waited <= 1, "{about}");
            if has_waited == 1 {
                waited += 1;
                assert!(about.contains(": `cargo xtask ") && about.contains("`, process "), "{about}");
            }
            runs += 1;
            if second == "delete" {
                assert_eq!(b.code, 0, "{about}");
                // This engine cannot create a node, so a `create` after the `delete` fails, and leaves nothing.
                assert!(a.code == 0 || (first == "create" && a.stderr.contains("cluster")), "{about}");
                assert_eq!(world.engine.containers(), Vec::<String>::new(), "{about}");
                assert!(!world.project.root.join("target/pocdeploy/kubeconfig").exists(), "{about}");
            } else {
                assert_eq!((a.code, b.code), (0, 0), "{about}");
                world.run(&["create", "--yes"]).ends_with(0).says("nothing to do");
            }
        }
    }
    eprintln!("{runs} interleavings of four pairs; in {waited} one command waited for the other");
    assert!(waited > 0, "{waited} of {runs}");
}

#[test]
fn of_two_commands_at_once_one_acts_and_the_other_waits() {
    pairs(4);
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn of_two_commands_at_once_one_acts_and_the_other_waits_at_fifty_moments() {
    pairs(50);
}

/// The files below a folder.
fn count(folder: &Path) -> usize {
    walkdir::WalkDir::new(folder).into_iter().count()
}

/// Creates and deletes an instance; counts files of project, cache and the folder for temporary files, images, containers and networks.
fn again_and_again(times: usize) {
    let world = World::new();
    let temporary = world.project.root.join("temporary");
    fs::create_dir(&temporary).unwrap();
    let mut counts = Vec::new();
    for _ in 0..times {
        begin(&world);
        for word in ["create", "delete"] {
            let mut command = world.command(&[word, "--yes"]);
            Ran::from(command.env("TMPDIR", &temporary).output().unwrap()).ends_with(0);
        }
        let runs = world.project.root.join("target/pocdeploy/runs");
        assert!(fs::read_dir(&runs).unwrap().count() <= 10);
        counts.push([
            count(&world.project.root) - count(&runs),
            count(&temporary),
            world.engine.containers().len(),
            world.engine.networks().len(),
            world.engine.images_below("polls:").len(),
        ]);
    }
    eprintln!(
        "{times} times: {:?} files, temporary files, containers, networks and images after the first, {:?} after the last",
        counts[0],
        counts[times - 1]
    );
    assert!(counts.iter().all(|it| *it == counts[0]), "{counts:?}");
    assert_eq!(counts[0][1..], [1, 0, 0, 0]);
}

#[test]
fn a_create_and_a_delete_leave_what_they_found() {
    again_and_again(4);
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn a_hundred_creates_and_deletes_leave_what_they_found() {
    again_and_again(100);
}

/// Updates an instance again and again; the history keeps the newest revisions and nothing grows. `times` is more than the history keeps.
fn update_again_and_again(times: usize) {
    let world = World::new();
    world.create();
    let temporary = world.project.root.join("temporary");
    fs::create_dir(&temporary).unwrap();
    let history = || world.cluster.get("ConfigMap", "polls", "pocdeploy-history").unwrap()["data"].as_object().unwrap().clone();
    let runs = world.project.root.join("target/pocdeploy/runs");
    let mut counts = Vec::new();
    for number in 0..times {
        // As many bytes each time.
        let object = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: words}}\ndata: {{word: 'number {number:04}'}}\n");
        world.project.write("deploy/frontend/zz-words.yaml", &object);
        let mut command = world.command(&["update"]);
        Ran::from(command.env("TMPDIR", &temporary).output().unwrap()).ends_with(0).says(&format!("revision {} serves", number + 2));
        assert!(fs::read_dir(&runs).unwrap().count() <= 10);
        counts.push([
            count(&world.project.root) - count(&runs),
            count(&temporary),
            world.engine.containers().len(),
            world.cluster.objects().len(),
            history().len(),
        ]);
    }
    let (full, last) = (counts[times / 2], counts[times - 1]);
    eprintln!(
        "{times} updates: {full:?} files, temporary files, containers, objects and revisions after half of them, {last:?} at the end"
    );
    assert_eq!(full, last);
}

#[test]
fn updates_leave_nothing_behind() {
    update_again_and_again(24);
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn two_hundred_updates_leave_nothing_behind() {
    update_again_and_again(200);
}

#[test]
fn images_of_revisions_that_are_kept_no_longer_go_from_engine_and_node() {
    let world = World::new();
    world.create();
    let current = world.engine.images_below("polls:1.0.0-").remove(0);
    let inputs: Vec<Fingerprint> = (1..=13).map(|number: u32| [("number", number.to_string())].into_iter().collect()).collect();
    let images: Vec<String> = inputs.iter().map(|it| format!("polls:1.0.0-{}", it.short())).collect();
    for image in &images {
        world.engine.image(image, &[(INPUTS_LABEL, "of another day")]);
    }
    // The user gave one a further name.
    world.engine.same_image(&images[0], "polls:demo");
    // Revision 14 is the one that serves.
    world.cluster.edit("ConfigMap", "polls", "pocdeploy-history", |it| {
        let last: Value = serde_json::from_str(it["data"]["revision-1"].as_str().unwrap()).unwrap();
        let with = |number: usize| {
            let mut revision = last.clone();
            revision["number"] = json!(number);
            revision["image"] = json!(images.get(number - 1).unwrap_or(&current));
            (format!("revision-{number}"), json!(revision.to_string()))
        };
        it["data"] = (1..=14).map(with).collect::<Map<_, _>>().into();
    });
    world.cluster.put(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "kept", "namespace": "polls" },
        "spec": { "containers": [{ "name": "c", "image": images[1] }] },
    }));
    let other = world.project.root.join("other");
    world.project.write("other/target/pocdeploy/record/image.json", std::str::from_utf8(&inputs[2].to_json().unwrap()).unwrap());
    world.engine.node_of("another", other.to_str().unwrap(), 1);
    let (upstream, removed) = (world.upstream(), Arc::new(Mutex::new(Vec::new())));
    let (all, kept, seen) = (images.clone(), current.clone(), removed.clone());
    world.engine.answer_exec(move |node, command| match command {
        it if it.contains("images ls -q") => (format!("docker.io/library/{kept}\n{}\n", upstream.join("\n")), 0),
        it if it.contains("images ls") => {
            let row = |(number, name): (usize, &String)| {
                format!("docker.io/library/{name} t sha256:{number}\nsha256:id{number} t sha256:{number}\n")
            };
            (all.iter().chain([&kept]).enumerate().map(row).collect(), 0)
        }
        it if it.contains("images rm") => {
            seen.lock().unwrap().push(format!("{node}: {it}"));
            (String::new(), 0)
        }
        _ => (String::new(), 0),
    });
    world.project.write("deploy/frontend/zz-words.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: words}, data: {word: new}}\n");
    world.run(&["update"]).ends_with(0).says("revision 15 serves");
    let left = world.engine.images_below("polls:");
    // The history has ten; the second is a pod's, the third another instance's.
    let gone = [0, 3, 4].map(|it| images[it].clone());
    let wanted: Vec<&String> = images.iter().filter(|it| !gone.contains(it)).chain([&current]).collect();
    assert!(wanted.iter().all(|it| left.contains(it)) && !gone.iter().any(|it| left.contains(it)), "{left:#?}");
    assert!(left.contains(&"polls:demo".to_owned()) && left.contains(&"polls:1.0.0".to_owned()), "{left:#?}");
    let removed = removed.lock().unwrap();
    let names: String = [0, 2, 3, 4].map(|it| format!(" docker.io/library/{} sha256:id{it}", images[it])).concat();
    assert!(
        removed.len() == 1 && removed[0].starts_with("doors-control-plane: ") && removed[0].ends_with(&format!("images rm{names}")),
        "{removed:#?}"
    );
}
