//! Two commands of an instance at the same time, and one command many times: what each leaves.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use pocdeploy::tasks::image::INPUTS_LABEL;

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
    let label = [(INPUTS_LABEL, "of another day")];
    for name in ["polls:1.0.0-earlier", "polls:0.9.0-earlier", "theirs:1.0.0-earlier"] {
        world.engine.image(name, &label);
    }
    let current = world.engine.images_below("").into_iter().find(|it| it.starts_with("polls:1.0.0-") && !it.ends_with("earlier")).unwrap();
    let (upstream, removed) = (world.upstream(), Arc::new(Mutex::new(Vec::new())));
    let (kept, seen) = (current.clone(), removed.clone());
    world.engine.answer_exec(move |_, command| match command {
        it if it.contains("images ls -q") => (format!("docker.io/library/{kept}\n{}\n", upstream.join("\n")), 0),
        it if it.contains("images ls") => {
            let rows = [
                &format!("docker.io/library/{kept} t sha256:a"),
                "sha256:1 t sha256:a",
                "docker.io/library/polls:1.0.0-earlier t sha256:b",
            ];
            ([&rows[..], &["sha256:2 t sha256:b", "docker.io/library/theirs:1 t sha256:c", "sha256:3 t sha256:c"]].concat().join("\n"), 0)
        }
        it if it.contains("images rm") => {
            seen.lock().unwrap().push(it.to_owned());
            (String::new(), 0)
        }
        _ => (String::new(), 0),
    });
    for number in 2..=5 {
        assert_eq!((removed.lock().unwrap().len(), world.engine.images_below("").contains(&"polls:1.0.0-earlier".to_owned())), (0, true));
        let object = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: words}}\ndata: {{word: 'number {number}'}}\n");
        world.project.write("deploy/frontend/zz-words.yaml", &object);
        world.run(&["update"]).ends_with(0).says(&format!("revision {number} serves"));
    }
    let left = world.engine.images_below("");
    assert_eq!(left.iter().filter(|it| it.ends_with("earlier")).collect::<Vec<_>>(), ["theirs:1.0.0-earlier"]);
    assert!(left.contains(&current) && left.contains(&"polls:1.0.0".to_owned()), "{left:?}");
    let removed = removed.lock().unwrap();
    assert!(removed.len() == 1 && removed[0].ends_with("images rm docker.io/library/polls:1.0.0-earlier sha256:2"), "{removed:?}");
}
