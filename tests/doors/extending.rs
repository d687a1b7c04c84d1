//! Follows `docs/extending.md`: in a copy of the source, its task and its provider compile and work.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    support::{Ran, command, tool},
    world::World,
};

/// The folder of the workspace.
fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The code blocks of the document with a file as title: language, file, lines.
fn blocks(document: &str) -> Vec<(&str, &str, Vec<&str>)> {
    let mut parts = document.split("\n```");
    let mut out = Vec::new();
    // Each fence opens or closes a block.
    while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
        let (header, rest) = block.split_once('\n').unwrap();
        if let Some((language, title)) = header.split_once(" title=") {
            out.push((language, title.trim_matches('"'), rest.lines().collect()));
        }
    }
    out
}

/// Makes the change of a block: the file has its lines without `+` once; those with `-` go, those with `+` come.
fn change(file: &Path, lines: &[&str]) {
    let of = |other: char| lines.iter().filter(|it| !it.starts_with(other)).map(|it| format!("{}\n", &it[1..])).collect::<String>();
    let (before, after) = (of('+'), of('-'));
    let source = fs::read_to_string(file).unwrap();
    assert_eq!(source.matches(&before).count(), 1, "{} must have once:\n{before}", file.display());
    fs::write(file, source.replace(&before, &after)).unwrap();
}

/// A copy of the workspace that followed the document, in `root`.
fn extended(root: &Path) {
    let skipped = [".git", "target", "third_party", "node_modules"];
    let entries = walkdir::WalkDir::new(workspace()).into_iter();
    for entry in entries.filter_entry(|it| !skipped.iter().any(|name| it.file_name() == *name)).flatten() {
        let to = root.join(entry.path().strip_prefix(workspace()).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(to).unwrap();
        } else if entry.file_type().is_file() {
            fs::copy(entry.path(), to).unwrap();
        }
    }
    let (source, document) = (root.join("xtask/src"), read("docs/extending.md"));
    let (mut changes, mut files) = (0, 0);
    for (language, title, lines) in blocks(&document) {
        let file = source.join(title);
        if language == "diff" {
            change(&file, &lines);
            changes += 1;
        } else {
            assert!(!file.exists(), "{title} exists already");
            fs::write(file, lines.join("\n") + "\n").unwrap();
            files += 1;
        }
    }
    assert!(changes >= 10 && files == 2, "{changes} changes, {files} files");
}

/// Builds the copy. Its dependencies are those that cargo built for this test.
fn built(root: &Path) -> PathBuf {
    let target = tool().ancestors().nth(2).unwrap();
    let mut cargo = command(Path::new(env!("CARGO")), root, &["build", "--offline", "--package", "xtask", "--bin", "xtask"]);
    // Cargo describes the tests' own package by these. Build scripts of dependencies read variables of the same names: with others than in the
    // user's shell these packages would be compiled again, here and in the next build of the user.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|it| name.to_string_lossy().starts_with(it)) {
            cargo.env_remove(name);
        }
    }
    // What is compiled incrementally is of no use to another folder, whose warnings would count here.
    cargo.env("CARGO_INCREMENTAL", "0").env("CARGO_BUILD_BUILD_DIR", target).env("CARGO_TARGET_DIR", root.join("target"));
    let ran = Ran::from(cargo.output().unwrap());
    ran.ends_with(0);
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    root.join("target/debug/xtask")
}

#[test]
fn the_task_and_the_provider_of_the_document_compile_and_work() {
    let copy = tempfile::tempdir().unwrap();
    extended(copy.path());
    let program = built(copy.path());

    let world = World::new();
    let run = |arguments: &[&str]| Ran::from(world.command_of(&program, arguments).output().unwrap());
    let graph = run(&["graph"]);
    graph.ends_with(0);
    assert!(graph.stdout.contains("packages"), "{}", graph.stdout);
    run(&["create", "--yes"]).ends_with(0).says("packages     ran in");
    assert_eq!(world.project.read("target/pocdeploy/packages.txt"), "# nothing, by hand\n");
    run(&["create", "--yes"]).ends_with(0).says("packages     skipped: packages.txt lists the pinned packages");
    fs::remove_file(world.project.root.join("target/pocdeploy/packages.txt")).unwrap();
    let plan = run(&["plan", "--output", "json"]);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    let packages = plan["tasks"].as_array().unwrap().iter().find(|it| it["task"] == "packages").unwrap_or_else(|| panic!("{plan:#}"));
    assert!(packages.to_string().contains("packages.txt differs from the pins"), "{packages:#}");

    let graph = run(&["graph", "--type", "other"]);
    graph.ends_with(0);
    assert!(graph.stdout.contains("cluster") && !graph.stdout.contains("node-image"), "{}", graph.stdout);
    run(&["create", "--yes", "--type", "other"]).ends_with(3).says("clusters of type `other` are not supported yet");
    run(&["create", "--yes", "--type", "another"]).ends_with(2).says("kind, existing, eks, aks, gke, other");
}

#[test]
fn the_document_names_every_method_that_a_provider_must_have() {
    let document = read("docs/extending.md");
    let source = read("xtask/src/provider.rs");
    let contract = source.split("pub trait Provider: Sync {").nth(1).unwrap().split("\n}\n").next().unwrap();
    let required: Vec<&str> = contract
        .lines()
        .filter(|it| it.trim_start().starts_with("fn ") && it.ends_with(';'))
        .map(|it| it.trim_start().trim_start_matches("fn ").split('(').next().unwrap())
        .collect();
    assert!(required.len() > 10, "{required:?}");
    let table: String = document.lines().filter(|it| it.starts_with("| `")).collect();
    for method in required {
        assert!(table.contains(&format!("`{method}`")), "docs/extending.md does not name {method}");
    }
}
