//! Ctrl-C, SIGTERM and SIGHUP at moments of a `create`: what is left on the machine.

use std::{fs, path::PathBuf, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::{support::Ran, world::World};

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
    let mut interrupted = 0;
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
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), sent).ok();
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert!([0, code, -1].contains(&ran.code), "{sent:?}: {} {}", ran.code, ran.stderr);
        interrupted += usize::from(ran.code == code);
        assert_eq!(unfinished(&world, &temporary), Vec::<PathBuf>::new(), "{sent:?} after {number} times 3 requests: {}", ran.stderr);
        assert_eq!((world.engine.containers(), world.engine.networks()), (containers.clone(), networks.clone()));
    }
    world.create();
    eprintln!("{interrupted} of 18 runs were interrupted");
    assert!(interrupted >= 6, "{interrupted}");
}
