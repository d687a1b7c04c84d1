//! The tool from outside, without an engine: exit codes, messages, patches, and files after a failure.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod archives;
mod asked;
mod by_hand;
mod init;
mod installed;
mod kept;
mod moved;
mod patches;
mod queue;
mod staged;
mod support;
#[path = "support/transcript.rs"]
mod transcript;
mod transcripts;
mod upstream;

use std::{fs, os::unix::fs::symlink};

use support::{PATCH, Project, content};

#[test]
fn without_a_command_the_menu_is_shown_as_a_usage_error() {
    let ran = Project::new().run(&[]);
    ran.ends_with(2).says("Commands:");
}

#[test]
fn an_error_names_its_code_and_explain_tells_what_it_means_even_without_a_project() {
    let project = Project::new();
    project.write("Pocdeploy.toml", "[frontend]\npathh = \"x\"\n");
    project.run(&["patch"]).ends_with(3).says("error[E0201]: Pocdeploy.toml:2:1").says("more: cargo xtask explain E0201");
    let ran = project.run(&["explain", "e0201"]);
    ran.ends_with(0);
    for line in ["E0201: the configuration is not valid", "fix it in: the project", "usual causes", "what to do"] {
        assert!(ran.stdout.contains(line), "{}", ran.stdout);
    }
    project.run(&["explain", "E9999"]).ends_with(2).says("neither an error code nor one of the tasks");
}

#[test]
fn a_wrong_file_is_pointed_at_and_changes_nothing() {
    let project = Project::new();
    project.write("Pocdeploy.toml", "[frontend]\npathh = \"x\"\n");
    let before = content(&project.root);
    project.run(&["create", "--yes"]).ends_with(3).says("Pocdeploy.toml:2:1: unknown key `frontend.pathh`; did you mean `frontend.path`?");
    assert_eq!(content(&project.root), before);
}

#[test]
fn a_cloud_wants_to_know_who_may_reach_its_cluster_before_anything_is_made() {
    for name in ["eks", "aks", "gke"] {
        let project = Project::new();
        let said = format!("cluster.allowed_cidrs: a cluster of type `{name}` needs it");
        project.run(&["create", "--yes", "--type", name]).ends_with(3).says(&said);
        assert!(!project.root.join("target/pocdeploy/app").exists());
    }
}

#[test]
fn an_engine_that_was_named_and_does_not_answer_is_a_missing_requirement() {
    let project = Project::new();
    project.run(&["cluster", "--yes"]).ends_with(4).says("DOCKER_HOST is unix:///nonexistent/docker.sock, and no engine answers there");
}

#[test]
fn patches_change_the_staged_copy_and_never_the_source() {
    let project = Project::new();
    let source = content(&project.root.join("third_party"));
    project.run(&["patch"]).ends_with(0).says("not done yet");
    assert_eq!(project.read("target/pocdeploy/app/manage.py"), "import django\nDEBUG = False\nlast = 1\n");
    assert_eq!(content(&project.root.join("third_party")), source);
    project.run(&["patch"]).ends_with(0).says("skipped: the patched application is unchanged");
}

#[test]
fn what_changed_is_the_reason_to_stage_again() {
    let project = Project::new();
    project.run(&["patch"]).ends_with(0);
    project.write("build/patches/0002-more.patch", "--- a/new.py\n+++ b/new.py\n@@ -0,0 +1 @@\n+x = 1\n");
    fs::remove_file(project.root.join("build/patches/0002-more.patch")).unwrap();
    project.write("third_party/django-polls/views.py", "x = 1\n");
    project.run(&["patch"]).ends_with(0).says("third_party/django-polls/views.py is new");
    project.write("target/pocdeploy/app/manage.py", "by hand");
    project.run(&["patch", "--discard"]).ends_with(0).says("app/manage.py changed");
    assert!(project.read("target/pocdeploy/app/manage.py").contains("DEBUG = False"));
}

#[test]
fn a_project_without_patches_is_staged_as_it_is() {
    let project = Project::new();
    fs::remove_dir_all(project.root.join("build")).unwrap();
    let ran = project.run(&["patch"]);
    ran.ends_with(0);
    assert!(!ran.stderr.contains("patches"), "{}", ran.stderr);
    assert_eq!(project.read("target/pocdeploy/app/manage.py"), "import django\nDEBUG = True\nlast = 1\n");
}

#[test]
fn a_patch_that_does_not_fit_shows_both_sides_and_leaves_the_staged_tree() {
    let project = Project::new();
    project.run(&["patch"]).ends_with(0);
    let staged = content(&project.root.join("target/pocdeploy/app"));
    project.write("build/patches/0002-late.patch", &PATCH.replace("DEBUG = True", "DEBUG = 7"));
    let ran = project.run(&["patch"]);
    ran.ends_with(1)
        .says("patch 0002-late.patch does not apply to manage.py, hunk 1 of 1 at line 1")
        .says("- DEBUG = 7")
        .says("+ DEBUG = False");
    assert_eq!(content(&project.root.join("target/pocdeploy/app")), staged);
}

#[test]
fn hostile_patches_are_refused_and_write_nothing() {
    let add = |name: &str| format!("diff --git a/{name} b/{name}\nnew file mode 100644\n--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+x\n");
    let link =
        "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/tmp\n\\ No newline at end of file\n".to_owned();
    let rename = "diff --git a/manage.py b/../manage.py\nsimilarity index 100%\nrename from manage.py\nrename to ../manage.py\n".to_owned();
    for hostile in
        [add("../evil.py"), add("a/../../evil.py"), add(".git/hooks/x"), add(".GIT/x"), add("git~1/x"), add("out/evil.py"), link, rename]
    {
        let project = Project::new();
        symlink(&project.root, project.root.join("third_party/django-polls/out")).unwrap();
        project.write("build/patches/0002-hostile.patch", &hostile);
        project.run(&["patch"]).ends_with(1).says("patch 0002-hostile.patch is refused");
        assert!(!project.root.join("target/pocdeploy/app").exists(), "{hostile}");
        assert!(!project.root.join("evil.py").exists() && !project.root.join("target/pocdeploy/evil.py").exists(), "{hostile}");
    }
}

#[test]
fn a_patch_applies_inside_a_git_repository_too() {
    // By default git treats paths as those of the surrounding repository.
    let project = Project::new();
    fs::create_dir(project.root.join(".git")).unwrap();
    for (name, text) in [("HEAD", "ref: refs/heads/main\n"), ("config", "[core]\n\trepositoryformatversion = 0\n")] {
        project.write(&format!(".git/{name}"), text);
    }
    fs::create_dir_all(project.root.join(".git/objects")).unwrap();
    fs::create_dir_all(project.root.join(".git/refs")).unwrap();
    project.run(&["patch"]).ends_with(0);
    assert!(project.read("target/pocdeploy/app/manage.py").contains("DEBUG = False"));
}

#[test]
fn deleting_needs_consent_without_a_terminal() {
    let project = Project::new();
    project.run(&["patch"]).ends_with(0);
    project.run(&["delete"]).ends_with(4).says("run the same command with --yes");
    assert!(project.root.join("target/pocdeploy/app").exists());
}

#[test]
fn a_task_alone_asks_for_what_it_needs_and_makes_none_of_it() {
    let project = Project::new();
    project.run(&["requirements", "--only"]).ends_with(1).says("requirements needs patch, whose product is missing: not done yet");
    assert!(!project.root.join("target/pocdeploy/app").exists());
    project.run(&["patch", "--only"]).ends_with(0);
    assert!(project.root.join("target/pocdeploy/app").exists());
}

#[test]
fn from_a_task_on_everything_runs_again() {
    let project = Project::new();
    project.run(&["patch"]).ends_with(0);
    project.run(&["patch", "--from", "patch"]).ends_with(0).says("asked for with --from");
    project.run(&["patch", "--from", "image"]).ends_with(2).says("patch does not need image");
}

#[test]
fn looking_changes_nothing() {
    let project = Project::new();
    let before = content(&project.root);
    for arguments in
        [&["graph"][..], &["graph", "--format", "dot"], &["graph", "--output", "json"], &["plan"], &["plan", "--output", "json"]]
    {
        let ran = project.run(arguments);
        ran.ends_with(0);
        if arguments.contains(&"json") {
            let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
            assert_eq!(value["schema"], 1, "{arguments:?}");
        }
    }
    assert_eq!(content(&project.root), before);
}

#[test]
fn a_file_that_is_no_plan_is_refused() {
    let project = Project::new();
    project.write("plan.json", "{\"schema\": 99}");
    project.run(&["create", "--yes", "--plan", "plan.json"]).ends_with(3).says("has schema 99; this version knows schema 1");
    assert!(!project.root.join("target/pocdeploy/app").exists());
    project.run(&["plan", "--out", "plan.json"]).ends_with(0);
    project.write("build/patches/0002-more.patch", "--- a/new.py\n+++ b/new.py\n@@ -0,0 +1 @@\n+x = 1\n");
    project.run(&["create", "--yes", "--plan", "plan.json"]).ends_with(1).says("patch: patch 0002-more.patch is new since");
    assert!(!project.root.join("target/pocdeploy/app").exists());
}

#[test]
fn a_second_run_says_why_it_does_nothing_and_writes_nothing() {
    let project = Project::new();
    project.run(&["patch"]).ends_with(0).says("patch        ran in").says(": not done yet");
    // A file that was written within the last tick of the clock is remembered by the second run only.
    let records = || {
        let mut out = content(&project.root);
        out.retain(|(path, _)| !path.ends_with("target/pocdeploy/hashes"));
        out
    };
    let before = records();
    project.run(&["patch"]).ends_with(0).says("= patch        skipped: the patched application is unchanged");
    assert_eq!(records(), before);
}

#[test]
fn what_was_lost_is_restored_and_what_changed_runs() {
    let project = Project::new();
    project.run(&["patch"]).ends_with(0);
    fs::remove_file(project.root.join("target/pocdeploy/app/manage.py")).unwrap();
    project.run(&["patch"]).ends_with(0).says("restores: ").says("patch        restored in");
    project.write("third_party/django-polls/views.py", "x = 1\n");
    project.run(&["patch"]).ends_with(0).says("patch        ran in");
}

#[test]
fn a_failure_names_a_log_that_holds_it() {
    let project = Project::new();
    project.write("build/patches/0002-late.patch", &PATCH.replace("DEBUG = True", "DEBUG = 7"));
    let ran = project.run(&["requirements"]);
    ran.ends_with(1).says("- requirements not run: patch failed");
    let log = ran.stderr.split("log: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    assert!(project.read(&log).contains("does not apply to manage.py"), "{}", project.read(&log));
    assert!(project.read("target/pocdeploy/log/patch.log").contains("does not apply"));
}

#[test]
fn only_the_last_runs_are_kept() {
    let project = Project::new();
    for number in 0..12 {
        project.write("third_party/django-polls/views.py", &format!("x = {number}\n"));
        project.run(&["patch"]).ends_with(0);
    }
    let runs = fs::read_dir(project.root.join("target/pocdeploy/runs")).unwrap().count();
    assert_eq!(runs, 10);
    assert!(project.root.join("target/pocdeploy/log/patch.log").is_file());
}

#[test]
fn events_are_lines_of_json_and_the_last_says_how_it_ended() {
    let project = Project::new();
    let ran = project.run(&["patch", "--events"]);
    ran.ends_with(0);
    let names = |ran: &support::Ran| -> Vec<String> {
        let read = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
        ran.stdout
            .lines()
            .map(|line| read(line)["event"].as_str().unwrap().to_owned())
            .filter(|it| !["detail", "progress", "waiting"].contains(&it.as_str()))
            .collect()
    };
    assert_eq!(names(&ran), ["run-began", "run-planned", "checking", "started", "done", "run-settled", "run-ended"]);
    let failed = project.run(&["cluster", "--events"]);
    failed.ends_with(4);
    let last = failed.stdout.lines().last().unwrap().to_owned();
    assert!(last.contains("\"event\":\"run-ended\"") && last.contains("\"exit\":4"), "{last}");
    project.write("Pocdeploy.toml", "wrong = 1");
    assert_eq!(names(&project.run(&["patch", "--events"])), ["run-ended"]);
    project.run(&["ls", "--events"]).ends_with(2);
}

#[test]
fn a_dockerfile_that_nobody_can_build_is_refused_before_anything_is_made() {
    let project = Project::new();
    project.run(&["create"]).ends_with(3).says("there is no Dockerfile at build/Dockerfile.frontend");
    project.write("build/Dockerfile.frontend", "FROM x\nRUN --mount=type=cache,target=/c true\nRUN --security=insecure true\n");
    project.run(&["create"]).ends_with(3).says("build/Dockerfile.frontend, line 3: `RUN --security` cannot be done");
    assert!(!project.root.join("target/pocdeploy/app").exists());
}

#[test]
fn a_failed_create_prints_its_object_and_asks_nothing() {
    let project = Project::new();
    project.write("build/Dockerfile.frontend", "FROM x\n");
    let ran = project.run(&["create", "--output", "json"]);
    ran.ends_with(4);
    let object: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(object["ok"], false);
    assert_eq!(object["error"]["exit"], 4);
    let engine = object["tasks"].as_array().unwrap().iter().find(|it| it["task"] == "engine").unwrap();
    assert_eq!(engine["outcome"], "failed");
}

#[test]
fn github_gets_an_annotation_and_a_summary() {
    let project = Project::new();
    let summary = project.root.join("summary.md");
    let mut command = project.command(&["cluster"]);
    let ran = support::Ran::from(command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary).output().unwrap());
    ran.says("::error title=pocdeploy engine failed::");
    assert!(project.read("summary.md").contains("| engine | failed |"), "{}", project.read("summary.md"));
}

#[test]
fn a_report_is_one_page_of_the_last_runs() {
    let project = Project::new();
    project.write("build/images/versions.toml", include_str!("../build/images/versions.toml"));
    project.run(&["patch"]).ends_with(0);
    let ran = project.run(&["report"]);
    ran.ends_with(0);
    let page = fs::read_to_string(ran.stdout.trim_end()).unwrap();
    assert!(
        page.contains("patch <span class=\"ok\">done</span>") && page.contains("not done yet") && page.contains("CloudNativePG"),
        "{page}"
    );
    let other = project.root.join("other.html");
    let ran = project.run(&["report", "--out", other.to_str().unwrap(), "--output", "json"]);
    assert!(ran.stdout.contains("\"runs\":1") && other.is_file(), "{}", ran.stdout);
}

#[test]
fn a_configuration_that_is_no_utf8_file_is_refused_with_its_place_and_changes_nothing() {
    let project = Project::new();
    let file = project.root.join("Pocdeploy.toml");
    fs::write(&file, b"[frontend]\ntext = \"Stra\xdfe\"\n").unwrap();
    let before = content(&project.root);
    for command in [&["create", "--yes"][..], &["patch"], &["delete", "--yes"], &["plan"], &["config", "show"]] {
        project.run(command).ends_with(3).says("error[E0201]").says("Pocdeploy.toml:2:13: the byte here is not UTF-8");
    }
    assert_eq!(content(&project.root), before);
    fs::remove_file(&file).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    project.run(&["create", "--yes"]).ends_with(3).says("this is a pipe, a socket or a device, not a file");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    project.run(&["create", "--yes"]).ends_with(3).says("this is a folder, not a file");
    assert!(!project.root.join("target").exists());
}
