//! The whole output of commands that need no engine, see `support/transcript.rs`.

use std::fs;

use expect_test::expect_file;

use crate::{
    support::{PATCH, Project},
    transcript::Transcript,
};

/// The output and exit codes of these commands in sequence.
fn told(project: &Project, calls: &[&[&str]]) -> String {
    let mut out = Transcript::default();
    for call in calls {
        // Without a UTF-8 locale the marks differ.
        out.add(&project.root, call, &project.command(call).env("LC_ALL", "C.UTF-8").output().unwrap().into());
    }
    out.text().to_owned()
}

#[test]
fn what_commands_show_of_a_project_in_which_nothing_was_done() {
    let project = Project::new();
    let calls: [&[&str]; 10] = [
        &["plan"],
        &["plan", "--output", "json"],
        &["graph"],
        &["graph", "--format", "mermaid"],
        &["graph", "--format", "dot"],
        &["graph", "--output", "json"],
        &["explain", "patch"],
        &["config", "show", "--origin"],
        &["db", "ls"],
        &["create", "--dry-run"],
    ];
    expect_file!["transcripts/nothing-done.txt"].assert_eq(&told(&project, &calls));
}

#[test]
fn what_explain_tells_of_a_code() {
    let calls: [&[&str]; 3] = [&["explain", "E0201"], &["explain", "e0201", "--output", "json"], &["explain", "E9999"]];
    expect_file!["transcripts/explain-code.txt"].assert_eq(&told(&Project::new(), &calls));
}

#[test]
fn what_a_task_tells_when_it_runs_rests_restores_and_fails() {
    let project = Project::new();
    let mut out = told(&project, &[&["patch", "--dry-run"], &["patch"], &["patch"], &["graph"], &["plan"]]);
    project.write("third_party/django-polls/views.py", "x = 1\n");
    out.push_str(&told(&project, &[&["explain", "patch"], &["patch"]]));
    fs::remove_file(project.root.join("target/pocdeploy/app/manage.py")).unwrap();
    out.push_str(&told(&project, &[&["patch"], &["patch", "--from", "patch"], &["patch", "--quiet"]]));
    project.write("build/patches/0002-late.patch", &PATCH.replace("DEBUG = True", "DEBUG = 7"));
    out.push_str(&told(&project, &[&["patch"], &["requirements"]]));
    expect_file!["transcripts/task.txt"].assert_eq(&out);
}

#[test]
fn what_is_said_to_a_call_that_cannot_be_meant() {
    let project = Project::new();
    let calls: [&[&str]; 13] = [
        &["creat"],
        &["create", "--nmae", "x"],
        &["create", "--type", "ek"],
        &["create", "--type", "eks", "--yes"],
        &["create", "--name", "Not_A_Name"],
        &["create", "--project", "nowhere"],
        &["create", "--config", "nowhere.toml"],
        &["patch", "--from", "image"],
        &["ls", "--dry-run"],
        &["plan", "--events"],
        &["dev", "--events"],
        &["patch", "--events", "--dry-run"],
        &["delete"],
    ];
    let mut out = told(&project, &calls);
    project.write("Pocdeploy.toml", "[frontend]\npathh = \"x\"\n\n[database]\ninstances = \"two\"\n");
    out.push_str(&told(&project, &[&["create", "--yes"], &["config", "show"]]));
    expect_file!["transcripts/mistakes.txt"].assert_eq(&out);
}

#[test]
fn what_install_and_eject_say() {
    let project = Project::new();
    project.write("deploy/kind/cluster.yaml", "kind: Cluster\n");
    let calls: [&[&str]; 5] =
        [&["install", "--dry-run"], &["install"], &["eject"], &["install", "--uninstall", "--dry-run"], &["install", "--uninstall"]];
    expect_file!["transcripts/install.txt"].assert_eq(&told(&project, &calls));
}
