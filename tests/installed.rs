//! `install`, `eject`, and an installed program, from outside, in a separate home folder.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::support::{self, PATCH, Project, content};

fn run(project: &Project, program: &Path, arguments: &[&str]) -> support::Ran {
    support::Ran::from(project.command_of(program, arguments).output().unwrap())
}

/// A checkout with a manifest, installed into a separate `home`, and a project elsewhere.
fn installed() -> (Project, Project, PathBuf) {
    let checkout = Project::new();
    checkout.write("deploy/kind/cluster.yaml", "kind: Cluster\n");
    let program = checkout.root.join("home/.cargo/bin/pocdeploy");
    let ran = checkout.run(&["install"]);
    ran.ends_with(0);
    let completions = ["home/.local/share/bash-completion/completions/pocdeploy", "home/.local/share/zsh/site-functions/_pocdeploy"];
    for path in completions.map(|it| checkout.root.join(it)).iter().chain([&program]) {
        assert!(path.is_file() && ran.stdout.contains(&path.display().to_string()), "{}", path.display());
    }
    let elsewhere = Project::new();
    fs::remove_dir_all(elsewhere.root.join("build")).unwrap();
    (checkout, elsewhere, program)
}

#[test]
fn an_installed_program_brings_its_patches_to_the_application_that_they_are_for() {
    let (_checkout, elsewhere, program) = installed();
    run(&elsewhere, &program, &["patch"]).ends_with(0);
    assert!(elsewhere.read("target/pocdeploy/app/manage.py").contains("DEBUG = False"));
    // A patch of the project is added to the queue, or replaces an embedded one with the same name.
    elsewhere.write("build/patches/0002-new.patch", "--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+x = 1\n");
    elsewhere.write("build/patches/0001-debug.patch", &PATCH.replace("DEBUG = False", "DEBUG = 7"));
    run(&elsewhere, &program, &["patch"]).ends_with(0);
    assert_eq!(elsewhere.read("target/pocdeploy/app/manage.py"), "import django\nDEBUG = 7\nlast = 1\n");
    assert_eq!(elsewhere.read("target/pocdeploy/app/new.py"), "x = 1\n");
    // Another application has none of the files that the embedded patches change.
    fs::remove_dir_all(elsewhere.root.join("build")).unwrap();
    fs::rename(elsewhere.root.join("third_party/django-polls/manage.py"), elsewhere.root.join("third_party/django-polls/app.py")).unwrap();
    run(&elsewhere, &program, &["patch"]).ends_with(0);
    assert!(elsewhere.read("target/pocdeploy/app/app.py").contains("DEBUG = True"));
}

#[test]
fn an_installed_program_says_its_own_name() {
    let (_checkout, elsewhere, program) = installed();
    let help = run(&elsewhere, &program, &["image", "--help"]);
    assert!(help.stdout.contains("Usage: pocdeploy image"), "{}", help.stdout);
    run(&elsewhere, &program, &["eject", "nothing/there"]).ends_with(2).says("`pocdeploy eject --dry-run` lists them");
    // A checkout's program embeds nothing; it has the manifests that it would apply.
    elsewhere.run(&["eject"]).ends_with(0);
    assert!(elsewhere.read("deploy/frontend/deployment.yaml").contains("kind: Deployment"));
    elsewhere.run(&["eject"]).ends_with(2).says("there is nothing to write: deploy/ has all manifests");
}

#[test]
fn bench_and_test_are_commands_of_a_checkout_and_an_installed_program_has_neither() {
    let (checkout, elsewhere, program) = installed();
    // A fake cargo that prints its arguments.
    checkout.write("cargo", "#!/bin/sh\nfor it; do echo \"$it\"; done\nexit 7\n");
    let cargo = checkout.root.join("cargo");
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    for called in [&["--yes", "bench", "--runs", "1", "--help"][..], &["test"]] {
        let ran = support::Ran::from(checkout.command(called).env("CARGO", &cargo).output().unwrap());
        ran.ends_with(7);
        let asked: Vec<&str> = ran.stdout.lines().skip_while(|it| !it.ends_with("checks/Cargo.toml")).skip(2).collect();
        assert_eq!(asked, called, "{}", ran.stdout);
    }
    let menu = |ran: support::Ran| ran.stdout.lines().filter_map(|it| it.split_whitespace().next().map(str::to_owned)).collect::<Vec<_>>();
    let (here, there) = (menu(checkout.run(&["--help"])), menu(run(&elsewhere, &program, &["--help"])));
    for name in ["bench", "test"] {
        assert!(here.iter().any(|it| it == name) && !there.iter().any(|it| it == name), "{name}");
        run(&elsewhere, &program, &[name]).ends_with(2).says(&format!("unrecognized subcommand '{name}'"));
    }
}

#[test]
fn ejected_files_are_never_overwritten_unasked() {
    let (_checkout, elsewhere, program) = installed();
    run(&elsewhere, &program, &["eject", "--dry-run"]).ends_with(0);
    assert!(!elsewhere.root.join("deploy").exists());
    run(&elsewhere, &program, &["eject", "deploy"]).ends_with(0);
    assert_eq!(elsewhere.read("deploy/kind/cluster.yaml"), "kind: Cluster\n");
    assert!(!elsewhere.root.join("build").exists());
    elsewhere.write("deploy/kind/cluster.yaml", "mine");
    run(&elsewhere, &program, &["eject"]).ends_with(1).says("nothing was written").says("deploy/kind/cluster.yaml");
    assert!(elsewhere.read("deploy/kind/cluster.yaml") == "mine" && !elsewhere.root.join("build").exists());
    run(&elsewhere, &program, &["eject", "--force"]).ends_with(0);
    assert_eq!(elsewhere.read("deploy/kind/cluster.yaml"), "kind: Cluster\n");
}

#[test]
fn uninstalling_leaves_nothing_but_what_is_not_ours() {
    let (checkout, _elsewhere, program) = installed();
    let before = content(&checkout.root.join("home"));
    checkout.write("home/.config/fish/completions/pocdeploy.fish", "# my own");
    checkout.run(&["install"]).ends_with(1).says("was not written by this tool");
    checkout.run(&["install", "--uninstall", "--dry-run"]).ends_with(0);
    assert_eq!(content(&checkout.root.join("home")).len(), before.len());
    checkout.run(&["install", "--uninstall"]).ends_with(0);
    let left: Vec<String> = content(&checkout.root.join("home")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, [checkout.root.join("home/.config/fish/completions/pocdeploy.fish").display().to_string()]);
    checkout.run(&["install", "--uninstall"]).ends_with(0);
    // Another program with that name.
    checkout.write("home/.cargo/bin/pocdeploy", "#!/bin/sh\n");
    checkout.run(&["install"]).ends_with(1).says("is another program with this name");
    assert_eq!(fs::read_to_string(program).unwrap(), "#!/bin/sh\n");
}

#[test]
fn eject_passes_over_the_pins_that_are_generated() {
    let checkout = Project::new();
    checkout.write("deploy/kind/cluster.yaml", "kind: Cluster\n");
    checkout.write("build/requirements.txt", "the pins of another application\n");
    checkout.run(&["install"]).ends_with(0);
    let program = checkout.root.join("home/.cargo/bin/pocdeploy");
    let elsewhere = Project::new();
    fs::remove_dir_all(elsewhere.root.join("build")).unwrap();
    for own in [None, Some("own pins\n")] {
        if let Some(own) = own {
            elsewhere.write("build/requirements.txt", own);
        }
        run(&elsewhere, &program, &["eject"]).ends_with(0).says("skipped: build/requirements.txt, which `pocdeploy requirements` writes");
        let left = fs::read_to_string(elsewhere.root.join("build/requirements.txt")).ok();
        assert_eq!(left.as_deref(), own);
    }
    run(&elsewhere, &program, &["eject", "--force", "build"]).ends_with(0);
    assert_eq!(elsewhere.read("build/requirements.txt"), "own pins\n");
    // A file that the user names is ejected like any other.
    run(&elsewhere, &program, &["eject", "build/requirements.txt"]).ends_with(1).says("build/requirements.txt");
}
