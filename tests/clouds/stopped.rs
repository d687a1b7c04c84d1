//! The tool itself, stopped anywhere while OpenTofu makes or removes a cluster: the same command goes on, and nothing is left.

use std::{
    fs,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{
    kubernetes::Kubernetes,
    sky::{Sky, here},
    support::{Project, Ran},
};

/// Of EKS with the images of one application.
pub(super) const ALL: usize = 21;

pub(super) struct World {
    pub(super) project: Project,
    pub(super) sky: Sky,
    _cluster: Kubernetes,
}

/// Who ends, and how.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// Ctrl-C in the terminal.
    Interrupted,
    /// The tool alone is killed; OpenTofu goes on without it.
    Killed,
    /// Everything is killed, as by a power cut.
    PowerCut,
}

impl World {
    fn new() -> World {
        World::of(Sky::new("eks"))
    }

    /// A project for EKS in this cloud.
    pub(super) fn of(sky: Sky) -> World {
        World::with(sky, "eks", "")
    }

    /// A project for this kind of cloud; `settings` begin in the table `cluster`.
    pub(super) fn with(sky: Sky, kind: &str, settings: &str) -> World {
        let (project, cluster) = (Project::new(), Kubernetes::start());
        project.write(
            "Pocdeploy.toml",
            &format!(
                "name = \"trial\"\n[cluster]\ntype = \"{kind}\"\nregion = \"eu-central-1\"\nallowed_cidrs = [\"192.0.2.7/32\"]\n{settings}"
            ),
        );
        for folder in [&format!("deploy/{kind}"), "build/images"] {
            for entry in walkdir::WalkDir::new(here().join(folder)).into_iter().flatten().filter(|it| it.file_type().is_file()) {
                let name = entry.path().strip_prefix(here()).unwrap();
                fs::create_dir_all(project.root.join(name).parent().unwrap()).unwrap();
                fs::copy(entry.path(), project.root.join(name)).unwrap();
            }
        }
        sky.cluster_is(&format!("http://127.0.0.1:{}", cluster.port), "");
        sky.settings(&json!({ "token": "t", "word": "w", "registry": "r.example.com" }));
        World { project, sky, _cluster: cluster }
    }

    pub(super) fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.project.command(arguments);
        self.sky.over(&mut command);
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        self.ran(&mut self.command(arguments))
    }

    pub(super) fn ran(&self, command: &mut std::process::Command) -> Ran {
        Ran::from(command.output().unwrap())
    }

    /// Each step of the provider takes this long, so that there is time to stop it.
    pub(super) fn slow(&self, seconds: f64) {
        let of = |on: &str| json!({ "type": "*", "on": on, "does": "slow", "times": 10_000, "seconds": seconds });
        self.sky.faults(&json!([of("create"), of("delete")]));
    }

    /// Starts the command, and ends it once `is_there` says so of the number of resources.
    pub(super) fn stop(&self, arguments: &[&str], end: End, is_there: impl Fn(usize) -> bool) {
        let mut child = self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while !is_there(self.sky.inventory().len()) && child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < Duration::from_secs(120), "{arguments:?} does not get there");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.end(&mut child, end);
        child.wait().unwrap();
    }

    fn end(&self, child: &mut Child, end: End) {
        let signal = |id: i32, signal| Pid::from_raw(id).map(|it| kill_process(it, signal));
        let own = i32::try_from(child.id()).unwrap();
        match end {
            End::Interrupted => drop(signal(own, Signal::INT)),
            End::Killed => drop(signal(own, Signal::KILL)),
            End::PowerCut => {
                signal(own, Signal::KILL);
                child.wait().unwrap();
                // One that is being started has no environment yet.
                for _ in 0..20 {
                    for id in self.sky.processes() {
                        signal(id, Signal::KILL);
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    /// Stopped with so many resources there, and again with so many left, the commands go on.
    pub(super) fn round(&self, made: usize, left: usize, end: End) {
        let about = format!("{end:?} at {made} made, {left} left");
        self.slow(0.08);
        self.stop(&["cluster", "--yes"], end, |count| count >= made);
        let again = self.run(&["cluster", "--yes"]);
        assert_eq!(again.code, 0, "{about}: {}", again.stderr);
        let there = self.sky.inventory();
        assert_eq!(there.len(), ALL, "{about}: {there:#?}\n{}", again.stderr);
        self.stop(&["delete", "--yes"], end, |count| count <= left);
        let again = self.run(&["delete", "--yes"]);
        assert_eq!(again.code, 0, "{about}: {}", again.stderr);
        assert_eq!(self.sky.inventory(), Vec::<String>::new(), "{about}");
        assert!(!self.project.root.join("target/pocdeploy/cloud").exists(), "{about}");
    }
}

#[test]
fn a_run_that_is_stopped_goes_on_and_leaves_nothing() {
    let world = World::new();
    for (made, left, end) in [(4, 18, End::Interrupted), (12, 9, End::PowerCut), (ALL, 1, End::Killed)] {
        world.round(made, left, end);
    }
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn a_run_that_is_stopped_anywhere_goes_on_and_leaves_nothing() {
    let world = World::new();
    for (at, end) in [End::PowerCut, End::Interrupted, End::Killed].into_iter().cycle().enumerate().take(12) {
        world.round((at * 2).min(ALL), ALL.saturating_sub(at * 2), end);
    }
}

#[test]
fn what_the_cloud_refuses_is_said_and_the_next_run_goes_on() {
    let world = World::new();
    // A quota, a throttled request, a lost answer.
    world.sky.settings(&json!({ "token": "t", "word": "w", "registry": "r.example.com", "quota": [5, 5] }));
    let said = world.run(&["cluster", "--yes"]);
    said.ends_with(4).says("nothing was created").says("quota of VPCs: 5 of 5 in eu-central-1");
    world.sky.settings(&json!({ "token": "t", "word": "w", "registry": "r.example.com", "login": false }));
    world.run(&["cluster", "--yes"]).ends_with(4).says("`aws` has no valid login").says("ExpiredToken").says("log in with: aws login");
    world.run(&["delete", "--yes"]).ends_with(4).says("`aws` has no valid login");
    world.sky.settings(&json!({ "token": "t", "word": "w", "registry": "r.example.com", "version": "EXTENDED_SUPPORT" }));
    world.run(&["cluster", "--yes"]).ends_with(4).says("out of standard support");
    world.sky.settings(&json!({ "token": "t", "word": "w", "registry": "r.example.com" }));
    assert_eq!(world.sky.inventory(), Vec::<String>::new());

    world.sky.faults(&json!([{ "type": "aws_eks_cluster", "on": "create", "does": "throttle", "times": 1 }]));
    world.run(&["cluster", "--yes"]).ends_with(1).says("OpenTofu could not apply").says("ThrottlingException: Rate exceeded");
    world.sky.faults(&json!([{ "type": "aws_eks_cluster", "on": "create", "does": "lost", "times": 1 }]));
    world.run(&["cluster", "--yes"]).ends_with(1).says("connection reset by peer");
    world.run(&["cluster", "--yes"]).ends_with(0).says("aws_eks_cluster.this exists and the state did not know it: taking it in");
    assert_eq!(world.sky.inventory().len(), ALL);

    // Something that Kubernetes made holds the network.
    fs::write(world.sky.blocker("k8s-elb-1"), "").unwrap();
    world.run(&["delete", "--yes"]).ends_with(1).says("DependencyViolation").says("k8s-elb-1");
    fs::remove_file(world.sky.blocker("k8s-elb-1")).unwrap();
    world.run(&["delete", "--yes"]).ends_with(0).says("audit: the cloud has nothing with this instance's tag or name");
    assert_eq!(world.sky.inventory(), Vec::<String>::new());
}

#[test]
fn a_lost_state_is_no_lost_bill() {
    let world = World::new();
    world.run(&["cluster", "--yes"]).ends_with(0);
    let listed = world.run(&["ls"]);
    assert!(listed.stdout.contains("trial") && listed.stdout.contains("about $0.00 so far"), "{}", listed.stdout);
    fs::remove_dir_all(world.project.root.join("target")).unwrap();
    // The cloud knows it by its tags.
    assert!(world.run(&["ls"]).stdout.contains("trial"));
    let said = world.run(&["delete", "--yes"]);
    said.ends_with(1)
        .says("EKS cluster trial (delete it with: aws eks delete-cluster --name trial --region eu-central-1 && ")
        .says("left: vpc ");
    world.run(&["cluster", "--yes"]).ends_with(1).says("that no state in this folder knows; nothing was created");
    assert_eq!(world.sky.inventory().len(), ALL);
}

#[test]
fn with_a_backend_another_machine_goes_on_with_the_cluster() {
    let world = World::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let configuration = world.project.read("Pocdeploy.toml");
    let backend = format!("[cluster.backend]\ntype = \"local\"\npath = {:?}\n", elsewhere.path().join("state"));
    world.project.write("Pocdeploy.toml", &format!("{configuration}{backend}"));
    world.run(&["cluster", "--yes"]).ends_with(4).says("POCDEPLOY_STATE_PASSPHRASE is not set");
    let run = |arguments: &[&str]| world.ran(world.command(arguments).env("POCDEPLOY_STATE_PASSPHRASE", "of sixteen letters or more"));
    run(&["cluster", "--yes"]).ends_with(0);
    assert!(elsewhere.path().join("state").is_file());
    // Another instance must not take the state for its own.
    run(&["cluster", "--yes", "--name", "other"]).ends_with(1).says("is of another instance than other");
    assert_eq!(world.sky.inventory().len(), ALL);
    fs::remove_dir_all(world.project.root.join("target")).unwrap();
    run(&["cluster", "--yes"]).ends_with(0).says("cluster trial is in the state of the backend: going on with it");
    assert_eq!(world.sky.inventory().len(), ALL);
    fs::remove_dir_all(world.project.root.join("target")).unwrap();
    run(&["delete", "--yes"]).ends_with(0).says("audit: the cloud has nothing with this instance's tag or name");
    assert_eq!(world.sky.inventory(), Vec::<String>::new());
}

#[test]
fn a_state_keeps_its_name_and_its_key_also_where_the_project_moves() {
    let world = World::new();
    world.run(&["cluster", "--yes"]).ends_with(0);
    // The script that the documents name reads the key by itself.
    let script = world.project.root.join("target/pocdeploy/cloud/tofu");
    let listed = world.sky.over(std::process::Command::new(script).args(["state", "list"])).output().unwrap();
    assert!(super::text(&listed.stdout).contains("aws_vpc.this\n"), "{}", super::text(&listed.stderr));
    let configuration = world.project.read("Pocdeploy.toml");
    let elsewhere = "[cluster.backend]\ntype = \"local\"\npath = \"elsewhere\"\n";
    world.project.write("Pocdeploy.toml", &format!("{configuration}{elsewhere}"));
    world.run(&["cluster", "--yes"]).ends_with(3).says("cluster.backend: the state of this cluster is in ");
    world.project.write("Pocdeploy.toml", &configuration.replace("\"trial\"", "\"renamed\""));
    for command in ["cluster", "delete"] {
        world.run(&[command, "--yes"]).ends_with(3).says("this folder has the state of instance `trial`, and is asked for `renamed`");
    }
    world.project.write("Pocdeploy.toml", &configuration);
    let moved = world.project.root.with_extension("moved");
    fs::rename(&world.project.root, &moved).unwrap();
    let run = |arguments: &[&str]| world.ran(world.command(arguments).current_dir(&moved).env("POCDEPLOY_CACHE_DIR", moved.join("cache")));
    let keys = world.sky.keys();
    let key = fs::read_dir(&keys).unwrap().flatten().next().unwrap().path();
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let said = run(&["delete", "--yes"]);
    said.ends_with(1).says("the key of OpenTofu's state is missing: put back the file").says("left: EKS cluster trial");
    assert_eq!(world.sky.inventory().len(), ALL);
    fs::write(&key, kept).unwrap();
    run(&["delete", "--yes"])
        .ends_with(0)
        .says("audit: the cloud has nothing with this instance's tag or name in account 111122223333, eu-central-1");
    assert!(world.sky.inventory().is_empty() && !key.exists());
    fs::remove_dir_all(moved).unwrap();
}
