//! Ctrl-C, SIGTERM and SIGHUP at moments of a `create`: what is left on the machine.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{kubernetes::Failure, support::Ran, world::World};

/// The files and folders that only a run in progress has: with random names, or with the endings of unfinished ones.
fn unfinished(world: &World, temporary: &PathBuf) -> Vec<PathBuf> {
    let all = walkdir::WalkDir::new(&world.project.root).min_depth(1).into_iter().map(|it| it.unwrap().into_path());
    let is_one = |it: &PathBuf| {
        let name = it.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(".tmp")
            || name.starts_with(".pocdeploy-")
            || name.ends_with(".part")
            || (it.starts_with(temporary) && it != temporary)
    };
    all.filter(is_one).collect()
}

#[test]
fn a_signal_leaves_no_temporary_file_and_no_container_and_the_next_run_goes_on() {
    let world = World::new();
    let temporary = world.project.root.join("temporary");
    fs::create_dir(&temporary).unwrap();
    world.create();
    // What it looks for is found.
    fs::write(temporary.join("x"), "").unwrap();
    assert_eq!(unfinished(&world, &temporary), [temporary.join("x")]);
    fs::remove_file(temporary.join("x")).unwrap();
    let asked = || world.engine.requests().len() + world.cluster.requests().len();
    let (containers, networks) = (world.engine.containers(), world.engine.networks());
    let mut interrupted = BTreeMap::from([(130, 0), (143, 0)]);
    for (number, (sent, code)) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 143)].into_iter().cycle().take(18).enumerate() {
        // Something to do, from the patch on.
        world.project.write("third_party/django-polls/manage.py", &format!("import django\nDEBUG = True\nlast = 1\nnumber = {number}\n"));
        world.run(&["patch"]).ends_with(0);
        world.build();
        let before = asked();
        let mut command = world.command(&["create", "--yes"]);
        command.env("TMPDIR", &temporary).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // The moment is a number of requests, so that a slow machine has the same ones.
        while asked() < before + number * 3 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // The number of a process that has ended may be another's.
        if child.try_wait().unwrap().is_none() {
            kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), sent).unwrap();
        }
        let ran = Ran::from(child.wait_with_output().unwrap());
        // At the first moment the tool may not listen to signals yet, which then end it.
        assert!([0, code].contains(&ran.code) || (number < 3 && ran.code == -1), "{sent:?}: {} {}", ran.code, ran.stderr);
        *interrupted.entry(code).or_insert(0) += usize::from(ran.code == code);
        assert_eq!(unfinished(&world, &temporary), Vec::<PathBuf>::new(), "{sent:?} after {number} times 3 requests: {}", ran.stderr);
        assert_eq!((world.engine.containers(), world.engine.networks()), (containers.clone(), networks.clone()));
    }
    world.create();
    eprintln!("of 18 runs were interrupted, by exit code: {interrupted:?}");
    assert!(interrupted[&130] >= 2 && interrupted[&143] >= 4, "{interrupted:?}");
}

/// An API server keeps a node port that a Service was about to have whose request is interrupted.
#[test]
fn an_interrupted_run_waits_for_the_answer_to_what_it_has_asked_for() {
    let world = World::new();
    world.cluster.fail("PATCH /api/v1/namespaces/polls/services/polls-frontend", 1, Failure::Slow(Duration::from_secs(1)));
    let mut command = world.command(&["create", "--yes"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while !world.cluster.requests().iter().any(|it| it == "apply Service polls-frontend") {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", world.cluster.requests());
        std::thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    Ran::from(child.wait_with_output().unwrap()).ends_with(130);
    assert!(world.cluster.get("Service", "polls", "polls-frontend").is_some());
}

#[test]
fn a_node_port_that_no_service_has_is_told_with_the_way_out() {
    let world = World::new();
    world.cluster.fail("PATCH /api/v1/namespaces/polls/services/polls-frontend", 1, Failure::PortTaken);
    let ran = world.run(&["create", "--yes"]);
    ran.ends_with(1).says("no Service has it, so an interrupted request has taken it").says("within about a quarter of an hour");
    let other = serde_json::json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "theirs", "namespace": "default" },
        "spec": { "type": "NodePort", "ports": [{ "port": 80, "nodePort": 30080 }] },
    });
    world.cluster.put(other);
    world.cluster.fail("PATCH /api/v1/namespaces/polls/services/polls-frontend", 1, Failure::PortTaken);
    world.run(&["create", "--yes"]).ends_with(1).says("Service theirs in default has it");
    world.cluster.remove("Service", "default", "theirs");
    world.create();
}
