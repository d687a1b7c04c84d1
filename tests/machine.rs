//! `doctor` from outside: in time, readable, and without changes.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use support::{Project, content};

#[test]
fn the_doctor_answers_in_time_says_what_fails_and_changes_nothing() {
    let project = Project::new();
    project.write("Pocdeploy.toml", "naem = \"x\"\n");
    let before = content(&project.root);
    let began = std::time::Instant::now();
    let ran = project.run(&["doctor"]);
    let took = began.elapsed();
    ran.ends_with(4).says("error[E0113]").says("engine").says("configuration");
    assert!(took.as_secs() < 4, "it took {took:?}");
    let out = &ran.stdout;
    assert!(out.contains("DOCKER_HOST is unix:///nonexistent/docker.sock, and no engine answers there"), "{out}");
    assert!(out.contains("remedy: start that engine"), "{out}");
    assert!(out.contains("Pocdeploy.toml:1:1: unknown key `naem`; did you mean `name`?"), "{out}");
    assert!(content(&project.root) == before, "a file was written or changed");
    assert_eq!(project.read("Pocdeploy.toml"), "naem = \"x\"\n");
    let ran = project.run(&["doctor", "--output", "json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let engine = value["checks"].as_array().unwrap().iter().find(|it| it["name"] == "engine").unwrap();
    assert_eq!((&value["schema"], &engine["state"]), (&serde_json::json!(1), &serde_json::json!("fail")));
}
