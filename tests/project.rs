//! The rules of this project as tests: layers, file heads and sizes, words, documents that must match the code.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests fail by panicking, and start the tool itself")]

mod clock;
mod documents;
mod flushed;
mod layers;
mod trust;
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
};

use pocdeploy::{
    config::{Config, Service, schema},
    errors::Code,
    graph::TaskId,
    layout,
    report::{Event, RunEvent, Told, Waiting, wire},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn sources() -> Vec<(String, String)> {
    sources_of("xtask/src")
}

/// Every source file of a package: its path below that folder, and its text.
fn sources_of(folder: &str) -> Vec<(String, String)> {
    let dir = root().join(folder);
    let mut out = Vec::new();
    for entry in walkdir::WalkDir::new(&dir).sort_by_file_name() {
        let entry = entry.unwrap();
        if entry.path().extension().is_some_and(|it| it == "rs") {
            let name = entry.path().strip_prefix(&dir).unwrap().display().to_string();
            out.push((name, fs::read_to_string(entry.path()).unwrap()));
        }
    }
    assert!(out.len() > 4, "the sources were not found");
    out
}

#[test]
fn every_file_says_what_lives_in_it_and_keeps_to_a_readable_size() {
    for (name, text) in sources().into_iter().chain(sources_of("checks/src")).chain(sources_of("filetree/src")) {
        assert!(text.starts_with("//! "), "{name} does not open with `//!`");
        let lines = text.lines().count();
        assert!(lines <= 400, "{name} has {lines} lines: split it");
    }
}

#[test]
fn the_shipped_configuration_is_the_defaults_and_the_examples_text() {
    let shipped = Config::parse(&read("Pocdeploy.toml")).unwrap();
    assert_eq!(shipped.frontend.text, "Polls");
    let frontend = Service { text: String::new(), ..shipped.frontend };
    assert_eq!(Config { frontend, ..shipped }, Config::default());
}

#[test]
fn the_schema_for_editors_is_what_the_types_say_and_the_configuration_points_to_it() {
    assert!(read(schema::PLACE) == schema::text(), "write it again: cargo xtask config schema > {}", schema::PLACE);
    assert!(read("Pocdeploy.toml").starts_with(&format!("#:schema ./{}\n", schema::PLACE)));
}

#[test]
fn the_documents_name_every_command() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_xtask")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|it| *it != "Commands:")
        .skip(1)
        .take_while(|it| !it.is_empty())
        .filter_map(|it| it.strip_prefix("  ")?.split_whitespace().next())
        .filter(|it| *it != "help")
        .collect();
    assert!(commands.contains(&"create"), "{help}");
    for command in commands {
        let page = if ["bench", "test"].contains(&command) { "CONTRIBUTING.md" } else { "docs/daily-use.md" };
        assert!(read(page).contains(&format!("`cargo xtask {command}")), "{page} does not name `cargo xtask {command}`");
    }
}

#[test]
fn the_documents_list_every_path_of_the_work_folder() {
    let files = read("docs/files.md");
    assert!(files.contains(&layout::table()), "docs/files.md must hold this table:\n{}", layout::table());
}

#[test]
fn nothing_is_written_to_the_work_folder_that_the_layout_does_not_list() {
    let listed = |name: &str| layout::ENTRIES.iter().any(|it| it.name == name);
    let mut seen = 0;
    for (name, text) in sources() {
        for call in text.split(".work(").skip(1) {
            let Some(path) = call.trim_start_matches("format!(").strip_prefix('"').and_then(|it| it.split('"').next()) else { continue };
            let first = path.split('/').next().unwrap();
            assert!(first.is_empty() || listed(first), "{name} names {path}, which layout.rs does not list");
            seen += 1;
        }
    }
    assert!(seen > 10, "the calls were not found");
}

#[test]
fn every_error_code_that_is_described_is_used() {
    // The compiler ensures that every code in use is described.
    let code: String =
        sources().into_iter().chain(sources_of("checks/src")).filter(|(name, _)| name != "errors/codes.rs").map(|(_, text)| text).collect();
    for it in Code::ALL {
        let used = code.split(&format!("Code::{}", it.name())).skip(1).any(|rest| !rest.starts_with(char::is_alphanumeric));
        assert!(used, "{it} ({}) is described and never used", it.name());
    }
}

#[test]
fn the_dependencies_stay_within_their_budget() {
    // Every user compiles every crate before the first result.
    let lock = read("Cargo.lock");
    let count = lock.matches("[[package]]").count();
    assert!(count <= 303, "Cargo.lock holds {count} packages");
    for forbidden in ["openssl-sys", "aws-lc-rs", "reqwest", "native-tls"] {
        assert!(!lock.contains(&format!("name = \"{forbidden}\"")), "{forbidden} is in Cargo.lock");
    }
}

#[test]
fn no_dependency_asks_for_a_newer_compiler_than_the_stated_one() {
    // clippy's `incompatible_msrv` checks our own code against `rust-version`.
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let said = std::process::Command::new(&cargo).arg("-vV").output().unwrap();
    let host = String::from_utf8_lossy(&said.stdout).lines().find_map(|it| it.strip_prefix("host: ").map(str::to_owned)).unwrap();
    // Only the crates of this platform: a fresh machine has no others.
    let out = std::process::Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &host])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let minor = |version: &str| version.split('.').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0_u32);
    let versions = metadata["packages"].as_array().unwrap();
    let stated = minor(versions.iter().find(|it| it["name"] == "xtask").unwrap()["rust_version"].as_str().unwrap());
    let newer: Vec<&str> = versions
        .iter()
        .filter(|it| it["rust_version"].as_str().is_some_and(|it| minor(it) > stated))
        .filter_map(|it| it["name"].as_str())
        .collect();
    assert!(newer.is_empty(), "these need more than Rust 1.{stated}: {}", newer.join(", "));
}

#[test]
fn the_recipes_and_the_manifests_agree_on_the_versions() {
    let versions = read("build/images/versions.toml");
    let namespace = read("deploy/frontend/namespace.yaml");
    let kubernetes = versions.lines().find_map(|it| it.strip_prefix("kubernetes = \"")).unwrap();
    let minor: Vec<&str> = kubernetes.split('.').take(2).collect();
    assert!(namespace.contains(&format!("enforce-version: v{}", minor.join("."))), "{minor:?}");
}

#[test]
fn the_document_of_events_names_each_with_its_fields() {
    let document = read("docs/events.md");
    let documented: Vec<(String, Vec<String>)> = document
        .lines()
        .skip_while(|it| !it.starts_with("| event | fields |"))
        .skip(2)
        .take_while(|it| it.starts_with('|'))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (
                cells[1].trim_matches('`').to_owned(),
                cells[2].split(", ").filter(|it| !it.is_empty()).map(|it| it.trim_matches('`').to_owned()).collect(),
            )
        })
        .collect();
    let told: Vec<(String, Vec<String>)> = one_of_each()
        .iter()
        .map(|told| {
            let line: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(&wire::line(std::time::Duration::ZERO, told)).unwrap();
            let fields = line.keys().filter(|it| !["schema", "at", "task", "event"].contains(&it.as_str())).cloned().collect();
            (line["event"].as_str().unwrap().to_owned(), fields)
        })
        .collect();
    assert_eq!(documented, told);
    assert!(document.contains(&format!("| `schema` | `{}`.", wire::SCHEMA)));
}

/// A new event does not compile here until it is in the list.
fn one_of_each() -> Vec<Told> {
    let text = String::new;
    let run = |event: RunEvent| {
        match event {
            RunEvent::Began { .. } | RunEvent::Planned { .. } | RunEvent::Settled => {}
            RunEvent::Closing { .. } | RunEvent::Result { .. } | RunEvent::Ended { .. } => {}
        }
        Told::Run(event)
    };
    let task = |event: Event| {
        match event {
            Event::Checking | Event::Started { .. } | Event::Restoring { .. } | Event::StepBegan { .. } | Event::StepEnded { .. } => {}
            Event::Progress { .. }
            | Event::Waiting(_)
            | Event::Note { .. }
            | Event::Detail { .. }
            | Event::Done { .. }
            | Event::Skipped { .. } => {}
            Event::Failed { .. } | Event::Cancelled { .. } | Event::NotRun { .. } => {}
        }
        Told::Task(TaskId::Image, event)
    };
    vec![
        run(RunEvent::Began { run: text(), command: text(), time: text(), logs: text() }),
        run(RunEvent::Planned { tasks: Vec::new(), needs: Default::default() }),
        task(Event::Checking),
        task(Event::Started { reason: text() }),
        task(Event::Restoring { reason: text() }),
        task(Event::StepBegan { name: text() }),
        task(Event::StepEnded { name: text() }),
        task(Event::Progress { text: text() }),
        task(Event::Waiting(Waiting { what: text(), seen: text(), waited: 0, limit: 0 })),
        task(Event::Note { text: text() }),
        task(Event::Detail { text: text() }),
        task(Event::Done { text: text() }),
        task(Event::Skipped { reason: text() }),
        task(Event::Failed { text: text() }),
        task(Event::Cancelled { text: text() }),
        task(Event::NotRun { because: TaskId::Patch }),
        run(RunEvent::Settled),
        run(RunEvent::Closing { text: text() }),
        run(RunEvent::Result { result: serde_json::Value::Null }),
        run(RunEvent::Ended { error: Some(serde_json::Value::Null) }),
    ]
}
