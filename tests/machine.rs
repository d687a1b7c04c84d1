//! `doctor` from outside: in time, readable, and without changes.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use support::{Project, Ran, content};

#[test]
fn the_doctor_answers_in_time_says_what_fails_and_changes_nothing() {
    let project = Project::new();
    project.write("Pocdeploy.toml", "naem = \"x\"\n");
    // A program that does not answer is not waited for.
    project.write("bin/git", "#!/bin/sh\nexec sleep 300\n");
    fs::set_permissions(project.root.join("bin/git"), fs::Permissions::from_mode(0o755)).unwrap();
    let before = content(&project.root);
    let path = format!("{}:{}", project.root.join("bin").display(), std::env::var("PATH").unwrap());
    // A machine may be too busy to look for an engine in time, which the answer then says.
    let is_late = |ran: &Ran| !ran.stdout.contains("no engine answers there") && ran.stdout.contains("no answer in time");
    let ask = |run: &dyn Fn() -> Ran| {
        let again = || {
            let began = Instant::now();
            let ran = run();
            assert!(began.elapsed() < Duration::from_secs(120), "it took {:?}", began.elapsed());
            ran
        };
        std::iter::repeat_with(again).take(20).find(|it| !is_late(it)).unwrap()
    };
    let ran = ask(&|| Ran::from(project.command(&["doctor"]).env("PATH", &path).output().unwrap()));
    ran.ends_with(4).says("error[E0113]").says("engine").says("configuration");
    let out = &ran.stdout;
    assert!(out.contains("DOCKER_HOST is unix:///nonexistent/docker.sock, and no engine answers there"), "{out}");
    assert!(out.contains("remedy: start that engine"), "{out}");
    assert!(out.contains("Pocdeploy.toml:1:1: unknown key `naem`; did you mean `name`?"), "{out}");
    assert!(content(&project.root) == before, "a file was written or changed");
    assert_eq!(project.read("Pocdeploy.toml"), "naem = \"x\"\n");
    let ran = ask(&|| project.run(&["doctor", "--output", "json"]));
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let engine = value["checks"].as_array().unwrap().iter().find(|it| it["name"] == "engine").unwrap();
    assert_eq!((&value["schema"], &engine["state"]), (&serde_json::json!(1), &serde_json::json!("fail")));
}
