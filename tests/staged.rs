//! What is staged of a project's folder, from outside: neither FIFOs nor the tool's own files, and submodules only if they were fetched.

use std::{fs, os::unix::fs::FileTypeExt as _, path::Path};

use crate::{
    patches::{SOURCE, STAGED, commit, git, tree},
    support::{PATCH, Project},
};

fn fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
    assert!(fs::symlink_metadata(path).unwrap().file_type().is_fifo());
}

#[test]
fn a_fifo_or_socket_stops_nothing() {
    let project = Project::new();
    fifo(&project.root.join(SOURCE).join("pipe"));
    let _socket = std::os::unix::net::UnixListener::bind(project.root.join(SOURCE).join("socket")).unwrap();
    project.run(&["patch"]).ends_with(0).says("pipe is a FIFO and is not staged").says("socket is a socket and is not staged");
    project.run(&["patch"]).ends_with(0).says("skipped");
    let project = Project::new();
    fifo(&project.root.join("build/patches/0002-x.patch"));
    project.run(&["patch"]).ends_with(3).says("it is a FIFO, not a file");
    let project = Project::new();
    fifo(&project.root.join("snapshot.dump"));
    project.run(&["db", "restore", "--yes", "snapshot.dump"]).ends_with(2).says("it is a FIFO, not a file");
    let dir = tempfile::tempdir().unwrap();
    fifo(&dir.path().join("more.yaml"));
    let error = pocdeploy::deploy::manifests::read_folder(dir.path()).unwrap_err();
    assert!(format!("{error:#}").contains("it is a FIFO, not a file"), "{error:#}");
}

#[test]
fn a_project_that_is_its_own_application_is_staged_without_the_tools_files_and_settles() {
    for path in [".", "./", "./."] {
        let outer = Project::new();
        let project = outer.root.join("app");
        for (name, text) in [
            (
                "Pocdeploy.toml",
                format!("[frontend]\npath = \"{path}\"\npatch_dir = \"patches\"\n[database]\npassword = \"canary-canary\"\n"),
            ),
            ("manage.py", "import django\nDEBUG = True\nlast = 1\n".to_owned()),
            ("patches/0001-a.patch", PATCH.to_owned()),
            ("build/requirements.txt", "# Pinned for Python 3.13 by pocdeploy\ndjango==1\n".to_owned()),
            ("snapshots/x.dump", "rows".to_owned()),
            ("target/pocdeploy/kubeconfig", "key".to_owned()),
            ("other/target/pocdeploy/kubeconfig", "key".to_owned()),
            // What `export` wrote, and a file of the application beside it.
            ("export/compose/.pocdeploy-export.json", "{}".to_owned()),
            ("export/compose/secrets/db-app/password", "secret".to_owned()),
            (".gitlab/.pocdeploy-export.json", "{ \".gitlab-ci.yml\": [] }".to_owned()),
            (".gitlab-ci.yml", "stages: []".to_owned()),
            ("export/own.py", String::new()),
        ] {
            outer.write(&format!("app/{name}"), &text);
        }
        let run = |arguments: &[&str]| {
            let mut all = vec!["--project", project.to_str().unwrap()];
            all.extend(arguments);
            outer.run(&all)
        };
        run(&["patch"]).ends_with(0);
        let names: Vec<String> = tree(&project.join(STAGED)).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["export/own.py", "manage.py"], "{path}");
        run(&["patch"]).ends_with(0).says("skipped");
        run(&["patch", "--name", "other"]).ends_with(0);
        run(&["patch"]).ends_with(0).says("skipped");
    }
}

#[test]
fn git_sees_nothing_of_what_a_run_makes() {
    let project = Project::new();
    git(&project.root, &["init", "--quiet"]);
    fs::remove_dir_all(project.root.join("cache")).ok();
    commit(&project.root, "mine");
    project.run(&["patch"]).ends_with(0);
    let status = git(&project.root, &["status", "--short", "--untracked-files=all"]);
    assert!(!status.contains("target"), "{status}");
    project.run(&["delete", "--yes"]);
    assert!(!git(&project.root, &["status", "--short", "--untracked-files=all"]).contains("target"));
}

#[test]
fn a_submodule_that_was_not_fetched_is_named_with_the_command_that_fetches_it() {
    let project = Project::new();
    project
        .write(&format!("{SOURCE}/.gitmodules"), "[submodule \"theme\"]\n\tpath = static/theme\n\turl = https://example.invalid/theme\n");
    fs::create_dir_all(project.root.join(SOURCE).join("static/theme")).unwrap();
    project.run(&["patch"]).ends_with(0).says("the git submodule static/theme is empty: git submodule update --init --recursive");
    let project = Project::new();
    fs::remove_file(project.root.join(SOURCE).join("manage.py")).unwrap();
    project.write(".gitmodules", "[submodule \"polls\"]\n  path = third_party/django-polls\n");
    project.run(&["patch"]).ends_with(3).says("there is no file of an application").says("git submodule update --init --recursive");
}

#[test]
fn a_submodule_inside_a_submodule_is_named_until_it_is_fetched_and_gits_own_files_are_not_staged() {
    let project = Project::new();
    let folder = |name: &str| project.root.join(name);
    for (name, submodule) in [("inner", None), ("theme", Some("inner")), ("polls", Some("theme"))] {
        fs::create_dir(folder(name)).unwrap();
        git(&folder(name), &["init", "--quiet"]);
        fs::write(folder(name).join(format!("{name}.py")), "x = 1\n").unwrap();
        if let Some(submodule) = submodule {
            let url = folder(submodule).display().to_string();
            git(&folder(name), &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &url, &format!("lib/{submodule}")]);
        }
        commit(&folder(name), name);
    }
    fs::remove_dir_all(project.root.join(SOURCE)).unwrap();
    fs::remove_file(project.root.join("build/patches/0001-debug.patch")).unwrap();
    git(&project.root, &["clone", "--quiet", folder("polls").to_str().unwrap(), SOURCE]);
    let fetch = |options: &[&str]| {
        let arguments = [&["-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init"][..], options].concat();
        git(&project.root.join(SOURCE), &arguments);
    };
    let named = |path: &str| format!("the git submodule {path} is empty: git submodule update --init --recursive");
    project.run(&["patch"]).ends_with(0).says(&named("lib/theme"));
    fetch(&[]);
    project.run(&["patch"]).ends_with(0).says(&named("lib/theme/lib/inner"));
    fetch(&["--recursive"]);
    let ran = project.run(&["patch"]);
    ran.ends_with(0);
    assert!(!ran.stderr.contains("submodule"), "{}", ran.stderr);
    let staged: Vec<String> = tree(&project.root.join(STAGED)).into_iter().map(|it| it.0).collect();
    for file in ["polls.py", "lib/theme/theme.py", "lib/theme/lib/inner/inner.py"] {
        assert!(staged.iter().any(|it| it == file), "no {file} in {staged:?}");
    }
    assert!(!staged.iter().any(|it| it.ends_with("/.git") || it.contains("/.git/")), "{staged:?}");
}
